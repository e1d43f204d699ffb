"""`fit_head`: from a feature store to a trained, measured head. Never imports TensorFlow."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import HeadError, InvalidValue
from featx.events import Listener
from featx.heads.evaluation import Evaluation, evaluate
from featx.heads.head import HEAD_KINDS, Head, check_replaceable
from featx.heads.labels import FOLDERS, SPLITS, RowLabels, read_labels_csv
from featx.heads.splits import split_stratified
from featx.images.sources import natural_key
from featx.specs import (
    DEFAULT_HEAD,
    DEFAULT_READ_POOLING,
    DEFAULT_STORE,
    DEFAULT_TEST_SIZE,
    READ_POOLING_NAMES,
    Pooling,
    check_choice,
)
from featx.store import open_store
from featx.store.reference import StoreReference
from featx.units import format_count


@dataclass(frozen=True, slots=True)
class FitReport:
    """What was fitted and how well it does on rows it has not seen.

    Attributes:
        output: The head's folder.
        kind: The kind of head.
        layer: The tap.
        pool: The pooling of its features.
        width: D, values in a feature vector.
        classes: C class names.
        num_train: Rows it was fitted on for the measurement.
        num_unlabelled: Rows left out because they have no label.
        evaluation: Measured on the held-out rows; None if none were held out.
        refitted: Whether the saved head was then fitted again on all labelled rows, with
            the regularisation that was chosen without the held-out ones.
        settings: What the kind chose, for example the regularisation.
    """

    output: str
    kind: str
    layer: str
    pool: str
    width: int
    classes: tuple[str, ...]
    num_train: int
    num_unlabelled: int
    evaluation: Evaluation | None
    refitted: bool
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def fit_head(
    features: str | Path = DEFAULT_STORE,
    *,
    layer: str | None = None,
    labels: str | Path = FOLDERS,
    kind: str = "linear",
    pool: Pooling = DEFAULT_READ_POOLING,
    test_size: float = DEFAULT_TEST_SIZE,
    seed: int = 0,
    output: str | Path = DEFAULT_HEAD,
    listener: Listener | None = None,
) -> FitReport:
    """Train a classifier on stored features and measure it on a held-out part.

    Args:
        features: The feature store.
        layer: The tap; the deepest in the store when None.
        labels: ``folders``, those in the store (class folders, or what a manifest said); or a CSV
            file with the columns path, label and optionally split.
        kind: The kind of head.
        pool: Pooling of taps that were stored as maps.
        test_size: Share of each class held out for measuring, in [0, 1). Ignored when the CSV
            gives a split. Identical files always fall on the same side.
        seed: For the split and for the folds.
        output: The head's folder.
        listener: Receives notes.

    Returns:
        The report. With a random split the saved head is fitted on all labelled rows; with a
        given one on its training rows only, so that the test rows stay unseen.

    Raises:
        StoreNotFound: If there is no store.
        HeadError: If there are fewer than two classes, or labels cannot be read.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> images = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(images, model=toy_model(), layers=["mean"], output="f.h5")
        >>> fit_head("f.h5", output="h").evaluation.accuracy
        1.0
    """
    listener = listener or Listener()
    check_choice("kind of head", kind, tuple(HEAD_KINDS))
    check_choice("pooling of a head", pool, READ_POOLING_NAMES)
    if not 0 <= test_size < 1:
        raise InvalidValue(f"The held-out share lies in [0, 1). Received: {test_size}.")
    output = Path(output)
    check_replaceable(output)
    with open_store(features) as store:
        if layer is None and len(store.taps) > 1:
            listener.note(f"layer {store.taps[-1]!r}, the deepest in {str(features)!r}")
        if str(labels) == FOLDERS:
            row_labels = RowLabels(store.labels)
        else:
            row_labels = read_labels_csv(Path(labels), store.keys, store.root)
        spec = store.spec(layer)
        if spec.pool not in ("none", pool) and pool != DEFAULT_READ_POOLING:
            listener.note(f"{spec.name!r} was stored with {spec.pool!r} pooling: it stays so")
        table = store.table(layer, pooling=pool)
        reference = StoreReference.to(store, output)
    classes = _check_classes(row_labels, str(features), listener)
    rows, targets = _labelled_rows(row_labels, classes)
    _, groups = np.unique(table.content_hash[rows], axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    held_out = _held_out(row_labels, rows, targets, groups, test_size, seed)
    _check_training_classes(targets[~held_out], classes)

    values = table.values[rows].reshape(len(rows), -1)
    module = importlib.import_module(HEAD_KINDS[kind])
    listener.note(
        f"fitting a {kind} head on {int((~held_out).sum()):,} of {len(rows):,} images, "
        f"{len(classes)} classes, {format_count(values.shape[1], 'value')} each"
    )
    weights, settings = module.fit(
        values[~held_out], targets[~held_out], len(classes), seed, groups[~held_out]
    )
    evaluation = None
    if held_out.any():
        predicted = module.predict(weights, values[held_out]).argmax(axis=1)
        evaluation = evaluate(targets[held_out], predicted, classes)
    refitted = bool(row_labels.sides is None and held_out.any())
    if refitted:
        weights = module.refit(values, targets, len(classes), settings)
    report = FitReport(
        output=str(output),
        kind=kind,
        layer=table.spec.name,
        pool=table.spec.pool,
        width=values.shape[1],
        classes=classes,
        num_train=int((~held_out).sum()),
        num_unlabelled=len(table.keys) - len(rows),
        evaluation=evaluation,
        refitted=refitted,
        settings=settings,
    )
    fitted_rows = rows if refitted else rows[~held_out]
    Head(
        kind=kind,
        classes=classes,
        feature=table.spec,
        model=table.model,
        weights=weights,
        fitted_on=table.content_hash[fitted_rows],
        report=report.to_dict(),
        store=reference,
    ).save(output)
    return report


def _check_classes(row_labels: RowLabels, features: str, listener: Listener) -> tuple[str, ...]:
    labels = row_labels.labels
    classes = tuple(sorted({label for label in labels if label is not None}, key=natural_key))
    if len(classes) < 2:
        raise HeadError(
            f"A classifier needs at least two classes. Received: {len(classes)} "
            f"({', '.join(classes) or 'no labels'}) for "
            f"{format_count(len(labels), 'image')} in {features!r}. "
            "Put the images of each class into a folder of their own before extracting, or give "
            "--labels FILE.csv with the columns path and label."
        )
    if all(name.lower() in SPLITS for name in classes):
        listener.note(
            f"the classes are called {', '.join(classes)}: if these are splits, extract each "
            "folder into its own store, or give labels and splits with --labels FILE.csv"
        )
    return classes


def _labelled_rows(
    row_labels: RowLabels, classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    numbers = {name: number for number, name in enumerate(classes)}
    pairs = [(row, numbers[label]) for row, label in enumerate(row_labels.labels) if label]
    return np.array([row for row, _ in pairs]), np.array([target for _, target in pairs])


def _held_out(
    row_labels: RowLabels,
    rows: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    test_size: float,
    seed: int,
) -> np.ndarray:
    if row_labels.sides is not None:
        return np.array([row_labels.sides[row] == "test" for row in rows])
    return split_stratified(targets, groups, test_size=test_size, seed=seed)


def _check_training_classes(targets: np.ndarray, classes: tuple[str, ...]) -> None:
    absent = sorted(set(range(len(classes))) - set(targets.tolist()))
    if absent:
        names = ", ".join(classes[number] for number in absent)
        raise HeadError(f"The training split has no image of: {names}. Correct the split column.")
