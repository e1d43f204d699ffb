"""`fit_head`: from a feature store to a trained, measured head. Never imports TensorFlow."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import HeadError, InvalidValue, join_names
from featx.events import Listener
from featx.heads.evaluation import Evaluation, evaluate
from featx.heads.head import HEAD_KINDS, Head, check_replaceable
from featx.heads.labels import FOLDERS, SPLITS, RowLabels, read_labels_csv, side_of
from featx.heads.splits import split_stratified
from featx.images.sources import natural_key
from featx.poolings import check_vector_pool
from featx.specs import (
    DEFAULT_HEAD,
    DEFAULT_READ_POOLING,
    DEFAULT_STORE,
    DEFAULT_TEST_SIZE,
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
        layer: The layer.
        pool: The pooling of its features.
        width: D, values in a feature vector.
        classes: C class names.
        num_train: Rows it was fitted on for the measurement.
        num_unlabelled: Rows left out because they have no label.
        num_unsplit: Rows with a label left out because the store's split says neither ``train``
            nor ``test`` (or val, valid, validation) of them.
        splits: Where the store's split was used, its names and how many rows of each.
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
    num_unsplit: int
    splits: dict[str, int]
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
    pool: str = DEFAULT_READ_POOLING,
    test_size: float = DEFAULT_TEST_SIZE,
    ignore_split: bool = False,
    seed: int = 0,
    output: str | Path = DEFAULT_HEAD,
    listener: Listener | None = None,
) -> FitReport:
    """Train a classifier on stored features and measure it on a held-out part.

    Args:
        features: The feature store.
        layer: The layer; the deepest in the store when None.
        labels: ``folders``, those in the store (class folders, or what a manifest said); or a CSV
            file with the columns path, label and optionally split.
        kind: The kind of head.
        pool: str of layers that were stored as maps.
        test_size: Share of each class held out for measuring, in [0, 1). Ignored where a split is
            given: by the CSV, else by the store (from a manifest's column or the names of arrays),
            if it has both training rows and others. Identical files always fall on the same side.
        ignore_split: Divide as if no split were given.
        seed: For the split and for the folds.
        output: The head's folder.
        listener: Receives notes.

    Returns:
        The report. With a random split the saved head is fitted on all labelled rows; with a
        given one on its training rows only, so that the others stay unseen.

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
    check_vector_pool("pooling of a head", pool)
    if not 0 <= test_size < 1:
        raise InvalidValue(f"The held-out share lies in [0, 1). Received: {test_size}.")
    output = Path(output)
    check_replaceable(output)
    with open_store(features) as store:
        if layer is None and len(store.layers) > 1:
            listener.note(f"layer {store.layers[-1]!r}, the deepest in {str(features)!r}")
        if str(labels) == FOLDERS:
            row_labels = RowLabels(store.labels)
        else:
            row_labels = read_labels_csv(Path(labels), store.keys, store.root)
        if ignore_split:
            row_labels = RowLabels(row_labels.labels)
        num_labelled = sum(label is not None for label in row_labels.labels)
        splits: dict[str, int] = {}
        if row_labels.sides is None and not ignore_split:
            row_labels, splits = _take_split(row_labels, store.splits, listener)
        spec = store.spec(layer)
        if spec.pool not in ("none", pool) and pool != DEFAULT_READ_POOLING:
            listener.note(f"{spec.name!r} was stored with {spec.pool!r} pooling: it stays so")
        table = store.table(layer, pool=pool)
        reference = StoreReference.to(store, output)
    classes = _check_classes(row_labels, str(features), listener)
    rows, targets = _labelled_rows(row_labels, classes)
    _, groups = np.unique(table.content_hash[rows], axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    held_out = _held_out(row_labels, rows, targets, groups, test_size, seed)
    _check_training_classes(targets[~held_out], classes)
    num_seen = int(np.isin(groups[held_out], groups[~held_out]).sum())
    if num_seen:  # Only of a given split: a random one keeps identical files together.
        listener.note(
            f"{num_seen:,} of the {int(held_out.sum()):,} images measured on are identical to "
            "images fitted on: the accuracy is too good by these"
        )

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
        num_unlabelled=len(table.keys) - num_labelled,
        num_unsplit=num_labelled - len(rows),
        splits=splits,
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


def _take_split(
    row_labels: RowLabels, splits: Sequence[str | None], listener: Listener
) -> tuple[RowLabels, dict[str, int]]:
    """Divide labelled rows as the store says, if it has both sides.

    Returns:
        The labels, without those of rows that are on neither side, and how many rows each split
        has; as they were, and nothing, where the store's split is not used.
    """
    pairs = list(zip(row_labels.labels, splits, strict=True))
    counts = Counter(split for label, split in pairs if label is not None and split is not None)
    if not counts:
        return row_labels, {}
    used = {name: counts[name] for name in sorted(counts, key=natural_key) if side_of(name)}
    if {side_of(name) for name in used} != {"train", "test"}:
        listener.note(
            f"the store's split ({', '.join(sorted(counts, key=natural_key))}) does not say both "
            "what to fit on and what to measure on: it is not used"
        )
        return row_labels, {}
    listener.note(
        f"the store's split: fitted on {_name_sides(used, 'train')}, measured on "
        f"{_name_sides(used, 'test')}; --ignore-split divides anew"
    )
    sides = tuple(side_of(split) for split in splits)
    kept = zip(row_labels.labels, sides, strict=True)
    return RowLabels(tuple(label if side else None for label, side in kept), sides), used


def _name_sides(splits: Mapping[str, int], side: str) -> str:
    names = [f"{name} ({count:,})" for name, count in splits.items() if side_of(name) == side]
    return join_names(names, conjunction="and")


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
        raise HeadError(
            f"The training split has no image of: {names}. Correct the split column, or divide "
            "anew with --ignore-split."
        )
