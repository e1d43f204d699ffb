"""Measures of a classifier on labelled rows that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.shown import Shown

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


@dataclass(frozen=True, slots=True)
class ClassReport:
    """Measures of one class, in [0, 1]; `support` is its number of held-out examples."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Shown):
    """Measures over all held-out rows, and of each class.

    Attributes:
        accuracy: Share of rows whose most probable class is right.
        macro_f1: Mean F1 of the classes: small classes count as much as large ones.
        num_examples: Number of held-out rows.
        classes: One report for each class.
        confusions: ``(true, predicted, count)`` of wrong predictions, most frequent first.
    """

    accuracy: float
    macro_f1: float
    num_examples: int
    classes: tuple[ClassReport, ...]
    confusions: tuple[tuple[str, str, int], ...]

    def plot(self) -> PillowImage:
        """Draw the confusion matrix: a row for each true class, a column for each predicted one.

        Of more than 30 classes those are drawn that are most often taken for others.

        Returns:
            A Pillow image, which a notebook shows; ``plot().save("confusions.png")`` keeps it.
        """
        from featx.report.confusion_matrix import draw_confusion_matrix

        return draw_confusion_matrix(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def evaluate(targets: np.ndarray, predicted: np.ndarray, names: tuple[str, ...]) -> Evaluation:
    """Compare predicted with true class numbers.

    Precision is the share of right predictions among those of a class, recall the share of a
    class's rows that were predicted, F1 their harmonic mean; 0 where there are no such rows.

    Args:
        targets: True class numbers, (N,).
        predicted: Predicted class numbers, (N,).
        names: C class names.

    Example:
        >>> evaluate(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ("cat", "dog")).accuracy
        0.75
    """
    count = len(names)
    confusion = np.zeros((count, count), dtype=np.int64)
    np.add.at(confusion, (targets, predicted), 1)
    right = np.diag(confusion).astype(np.float64)
    support, named = confusion.sum(axis=1), confusion.sum(axis=0)
    recall = right / np.maximum(support, 1)
    precision = right / np.maximum(named, 1)
    f1 = 2 * right / np.maximum(support + named, 1)
    present = support > 0
    wrong = [
        (names[true], names[other], int(confusion[true, other]))
        for true, other in zip(*np.nonzero(confusion), strict=True)
        if true != other
    ]
    return Evaluation(
        accuracy=float(right.sum() / max(len(targets), 1)),
        macro_f1=float(f1[present].mean()) if present.any() else 0.0,
        num_examples=len(targets),
        classes=tuple(
            ClassReport(name, float(p), float(r), float(f), int(s))
            for name, p, r, f, s in zip(names, precision, recall, f1, support, strict=True)
        ),
        confusions=tuple(sorted(wrong, key=lambda item: (-item[2], item[0], item[1]))),
    )
