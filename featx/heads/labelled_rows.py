"""The rows of a store that a head can be fitted and measured on: those with a label."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from featx.errors import HeadError, join_names
from featx.events import Listener
from featx.heads.kinds import Examples
from featx.heads.labels import RowLabels, read_label_table, side_of
from featx.heads.options import FOLDERS, EvaluationOptions, FeatureOptions, TaskOptions
from featx.heads.splits import split_stratified
from featx.images.roots import Root
from featx.images.sources import natural_key
from featx.images.sources.splits import SPLITS
from featx.store import FeatureStore, FeatureTable
from featx.store.choice import note_choice
from featx.units import format_count
from featx.wording import option


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows and features of a store are asked for; see `featx.fit_head`."""

    feature: FeatureOptions = field(default_factory=FeatureOptions)
    task: TaskOptions = field(default_factory=TaskOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """The labelled rows of a store, as examples.

    Attributes:
        root: What the store's keys are relative to.
        table: The features of all rows of the store.
        rows: Numbers of the N labelled rows in it.
        classes: C class names.
        examples: The labelled rows.
        sides: ``train`` or ``test`` for each of the N; None where no split is given.
        splits: Where the store's split is used, its names and how many rows of each.
        num_unlabelled: Rows of the store without a label.
    """

    root: Root
    table: FeatureTable
    rows: np.ndarray
    classes: tuple[str, ...]
    examples: Examples
    sides: np.ndarray | None
    splits: dict[str, int]
    num_unlabelled: int

    @property
    def num_unsplit(self) -> int:
        """Rows with a label left out because the store's split does not say their side."""
        return len(self.table.keys) - self.num_unlabelled - len(self.rows)

    def hold_out(self, test_size: float, seed: int, listener: Listener) -> np.ndarray:
        """Choose the rows to measure on: bool (N,).

        Raises:
            HeadError: If a given split leaves no row of a class to fit on.
        """
        examples = self.examples
        if self.sides is None:
            held_out = split_stratified(
                examples.targets, examples.groups, test_size=test_size, seed=seed
            )
        else:
            held_out = self.sides == "test"
        _check_training_classes(examples.targets[~held_out], self.classes)
        seen = np.isin(examples.groups[held_out], examples.groups[~held_out])
        if seen.any():  # Only with a given split: a random one keeps identical files together.
            listener.note(
                f"{int(seen.sum()):,} of the {len(seen):,} images measured on are identical to "
                "images fitted on: the accuracy looks better than it is"
            )
        return held_out


def read_labelled_rows(store: FeatureStore, choice: RowChoice, listener: Listener) -> LabelledRows:
    """Read the features and labels of an open store.

    Raises:
        HeadError: If there are fewer than two classes, or labels cannot be read.
    """
    note_choice(store, choice.feature.layer, choice.feature.pool, listener)
    if str(choice.task.labels) == FOLDERS:
        row_labels = RowLabels(store.labels)
    else:
        row_labels = read_label_table(Path(choice.task.labels), store.keys, Path(str(store.root)))
        for note in row_labels.notes:
            listener.note(note)
    num_unlabelled = sum(label is None for label in row_labels.labels)
    splits: dict[str, int] = {}
    if choice.evaluation.ignore_split:
        row_labels = RowLabels(row_labels.labels)
    elif row_labels.sides is None:
        row_labels, splits = _take_split(row_labels, store.splits, listener)
    table = store.table(choice.feature.layer, pool=choice.feature.pool)
    row_labels, num_broken = _leave_out_broken(row_labels, table, listener)
    classes = _find_classes(row_labels, str(store.path), listener)
    numbers = {name: number for number, name in enumerate(classes)}
    rows = np.array([row for row, label in enumerate(row_labels.labels) if label])
    targets = np.array([numbers[label] for label in row_labels.labels if label])
    _, groups = np.unique(table.content_hash[rows], axis=0, return_inverse=True)
    values = table.values[rows].reshape(len(rows), -1)
    return LabelledRows(
        root=store.root,
        table=table,
        rows=rows,
        classes=classes,
        examples=Examples(values, targets, len(classes), groups.reshape(-1)),
        sides=None if row_labels.sides is None else np.array(row_labels.sides)[rows],
        splits=splits,
        num_unlabelled=num_unlabelled + num_broken,
    )


def _leave_out_broken(
    row_labels: RowLabels, table: FeatureTable, listener: Listener
) -> tuple[RowLabels, int]:
    """Take the labels away from rows whose features are NaN or infinite: nothing fits them.

    Returns:
        The labels, and how many were taken away.
    """
    count = len(table.values)
    sums = table.values.reshape(count, math.prod(table.values.shape[1:])).sum(
        axis=1, dtype=np.float64
    )
    is_broken = ~np.isfinite(sums)
    broken = [row for row in np.flatnonzero(is_broken) if row_labels.labels[row] is not None]
    if not broken:
        return row_labels, 0
    listener.note(
        f"{format_count(len(broken), 'image')} with features that are NaN or infinite left out, "
        f"the first {table.keys[broken[0]]!r}"
    )
    kept = zip(row_labels.labels, is_broken, strict=True)
    labels = tuple(None if broken else label for label, broken in kept)
    return replace(row_labels, labels=labels), len(broken)


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
        f"{_name_sides(used, 'test')}; {option('ignore_split', True)} splits at random"
    )
    sides = tuple(side_of(split) for split in splits)
    kept = zip(row_labels.labels, sides, strict=True)
    return RowLabels(tuple(label if side else None for label, side in kept), sides), used


def _name_sides(splits: Mapping[str, int], side: str) -> str:
    names = [f"{name} ({count:,})" for name, count in splits.items() if side_of(name) == side]
    return join_names(names, conjunction="and")


def _find_classes(row_labels: RowLabels, store: str, listener: Listener) -> tuple[str, ...]:
    labels = row_labels.labels
    classes = tuple(sorted({label for label in labels if label is not None}, key=natural_key))
    if len(classes) < 2:
        raise HeadError(
            f"A classifier needs at least two classes. Received: {len(classes)} "
            f"({', '.join(classes) or 'no labels'}) for "
            f"{format_count(len(labels), 'image')} in {store!r}. "
            "Put the images of each class into a folder of their own before extracting, or give "
            f"{option('labels', 'FILE.csv')} with the columns path and label."
        )
    if all(name.lower() in SPLITS for name in classes):
        listener.note(
            f"the classes are called {', '.join(classes)}: if these are splits, put the images of "
            "each class into a folder inside, or give labels and splits with "
            f"{option('labels', 'FILE.csv')}"
        )
    return classes


def _check_training_classes(targets: np.ndarray, classes: tuple[str, ...]) -> None:
    absent = sorted(set(range(len(classes))) - set(targets.tolist()))
    if absent:
        names = ", ".join(classes[number] for number in absent)
        raise HeadError(
            f"The training split has no image of: {names}. Correct the split column, or split "
            f"at random with {option('ignore_split', True)}."
        )
