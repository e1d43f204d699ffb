"""What a head says of each picture that it was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from featx.heads.outcomes import Outcomes
from featx.images.roots import Root


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPictures:
    """N pictures that a head had not seen.

    Attributes:
        root: What the keys are relative to.
        keys: N keys.
        content_hash: uint8 (N, 16), of the pictures' bytes.
        straddling: Whether a near-duplicate was fitted on, bool (N,).
        folds: Number of the fold in which it was held out, from 0, (N,); None without
            cross-validation.
    """

    root: Root
    keys: tuple[str, ...]
    content_hash: np.ndarray
    straddling: np.ndarray
    folds: np.ndarray | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut(HeldOutPictures):
    """N pictures that a classifier had not seen, with their true and predicted classes.

    Attributes:
        classes: C class names.
        targets: True class numbers, (N,).
        predicted: Numbers of the most probable classes, (N,).
        confidence: Probabilities of these, (N,), in [0, 1].
        own: Probabilities of the true classes, (N,), in [0, 1].
    """

    classes: tuple[str, ...]
    targets: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    own: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class is the true one, bool (N,)."""
        return np.asarray(self.predicted == self.targets)

    def mistakes(self) -> np.ndarray:
        """Return the rows of the wrong predictions, (M,), the most confident first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def confusion(self) -> np.ndarray:
        """Return how often each true class (rows) was predicted as each class, int (C, C)."""
        count = len(self.classes)
        matrix = np.zeros((count, count), np.int64)
        np.add.at(matrix, (self.targets, self.predicted), 1)
        return matrix


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutLabels(HeldOutPictures):
    """N pictures that a head of several labels had not seen.

    Attributes:
        classes: C labels.
        targets: Which of them apply, bool (N, C).
        predicted: Which were said to apply, bool (N, C).
        probabilities: Of each label, (N, C), in [0, 1].
    """

    classes: tuple[str, ...]
    targets: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether all labels are right, bool (N,)."""
        return np.asarray((self.predicted == self.targets).all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutNumbers(HeldOutPictures):
    """N pictures that a head which predicts a number had not seen.

    Attributes:
        targets: True numbers, (N,).
        predicted: What was predicted, (N,).
    """

    targets: np.ndarray
    predicted: np.ndarray


AnyHeldOut = HeldOut | HeldOutLabels | HeldOutNumbers
"""What a head says of pictures, by its task."""

Pictures = tuple[Root, Sequence[str], np.ndarray]
"""A root, N keys, and content hashes, uint8 (N, 16)."""


def hold_out(
    pictures: Pictures, classes: tuple[str, ...], outcomes: Outcomes, straddling: np.ndarray
) -> HeldOut:
    """Return what is kept of N pictures.

    Args:
        pictures: Their root, their N keys, and their content hashes, uint8 (N, 16).
        classes: C class names.
        outcomes: What was said of them.
        straddling: Whether a near-duplicate was fitted on, bool (N,).
    """
    root, keys, content_hash = pictures
    return HeldOut(
        root,
        tuple(keys),
        content_hash,
        straddling,
        classes,
        outcomes.targets,
        outcomes.predicted,
        outcomes.confidence,
        outcomes.own,
    )
