"""Reading the rows of a store that a head is fitted and measured on, with what is known of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from featx.errors import HeadError, join_names
from featx.events import Listener
from featx.heads.example_weights import weigh_examples
from featx.heads.feature_table import read_table
from featx.heads.grouping import group_rows
from featx.heads.kinds import BLOCK_VALUES, Examples
from featx.heads.labelled_rows import LARGE, LabelledRows
from featx.heads.labels import RowLabels, read_label_table, side_of
from featx.heads.options import FOLDERS, EvaluationOptions, FeatureChoice, TaskOptions
from featx.heads.stored_values import are_stored, take_rows
from featx.heads.targets import (
    Targets,
    check_variety,
    find_column,
    list_columns,
    number_targets,
    read_targets,
)
from featx.heads.threads import importing
from featx.heads.usable_rows import UNUSABLE, find_usable
from featx.images.sources import natural_key
from featx.images.sources.splits import SPLITS
from featx.specs import DEFAULT_TEST_SIZE
from featx.store import FeatureStore, FeatureTable
from featx.store.choice import note_choice
from featx.units import format_count
from featx.wording import option


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows and features of a store are asked for; see `featx.fit_head`."""

    feature: FeatureChoice = field(default_factory=FeatureChoice)
    task: TaskOptions = field(default_factory=TaskOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    max_memory: int | None = None


def read_labelled_rows(store: FeatureStore, choice: RowChoice, listener: Listener) -> LabelledRows:
    """Read the features and labels of an open store.

    Raises:
        HeadError: If there are fewer than two classes, or labels or numbers cannot be read.
    """
    note_choice(store, choice.feature.layer, choice.feature.pool, listener)
    row_labels = _read_labels(store, choice, listener)
    targets = None
    if list_columns(choice.task):
        targets = read_targets(choice.task, row_labels, store)
        row_labels = replace(row_labels, labels=targets.labels)
    num_unlabelled = sum(label is None for label in row_labels.labels)
    splits: dict[str, int] = {}
    column = find_column(choice.evaluation.groups, row_labels, store)
    counts = find_column(choice.task.sample_weight, row_labels, store)
    if choice.evaluation.ignore_split or choice.evaluation.cv is not None:
        if choice.evaluation.cv is not None and _has_split(row_labels, store):
            listener.note("the given split is not used: a cross-validation measures on all images")
        row_labels = RowLabels(row_labels.labels)
    elif row_labels.sides is None:
        row_labels, splits = _take_split(row_labels, store.splits, listener)
    if row_labels.sides is not None and choice.evaluation.test_size != DEFAULT_TEST_SIZE:
        listener.note(
            f"{option('test_size')} is not used: the given split says what is held out; "
            f"{option('ignore_split', True)} holds out a share of each class"
        )
    with importing("scipy.optimize"):
        table = read_table(store, choice.feature, choice.max_memory)
    row_labels, num_broken = _leave_out_broken(row_labels, table, listener)
    if targets is None:
        targets = _number_classes(row_labels, str(store.path), listener)
    classes = targets.classes
    rows = np.array([row for row, label in enumerate(row_labels.labels) if label])
    known = targets.values[rows]
    check_variety(targets, known)
    values = _keep_rows(table.values, rows)
    if len(values) > 1 and _are_equal(values):
        listener.note("all images have the same features: no head can tell them apart")
    counts = None if counts is None else counts[rows]
    weights = weigh_examples(known, classes, choice.task.class_weight, counts)
    grouping = group_rows(
        values,
        known if targets.task == "single" else number_targets(known),
        table.content_hash[rows],
        None if column is None else column[rows],
        choice.evaluation.near_duplicates,
        listener,
    )
    return LabelledRows(
        root=store.root,
        table=replace(table, values=table.values[:0].copy()),  # A view would keep all of them.
        rows=rows,
        classes=classes,
        examples=Examples(
            values, known, max(1, len(classes)), grouping.groups, targets.task, weights
        ),
        columns=targets.columns,
        sides=None if row_labels.sides is None else np.array(row_labels.sides)[rows],
        splits=splits,
        num_unlabelled=num_unlabelled,
        num_not_finite=num_broken,
        grouping=grouping,
    )


def _read_labels(store: FeatureStore, choice: RowChoice, listener: Listener) -> RowLabels:
    """Return the labels, and from a table the further columns that are asked for."""
    if str(choice.task.labels) == FOLDERS:
        return RowLabels(store.labels)
    targets = list_columns(choice.task)
    row_labels = read_label_table(
        Path(choice.task.labels),
        store.keys,
        Path(str(store.root)),
        [name for name in (choice.evaluation.groups, choice.task.sample_weight, *targets) if name],
        needs_labels=not targets,
    )
    for note in row_labels.notes:
        listener.note(note)
    return row_labels


def _keep_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return some rows (N,), in ascending order; large arrays are overwritten, not copied."""
    if len(rows) == len(values):
        return values
    if are_stored(values):
        return take_rows(values, rows)
    if values.nbytes <= LARGE:
        return np.asarray(values[rows])
    step = max(1, BLOCK_VALUES // max(1, values.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        values[start : start + len(block)] = values[block]
    return values[: len(rows)]


def _are_equal(values: np.ndarray) -> bool:
    """Whether all rows are the same; seldom more than the first ones are looked at."""
    first, step = values[:1], max(1, BLOCK_VALUES // max(1, values.shape[1]))
    starts = range(0, len(values), step)
    return all(bool((values[start : start + step] == first).all()) for start in starts)


def _leave_out_broken(
    row_labels: RowLabels, table: FeatureTable, listener: Listener
) -> tuple[RowLabels, int]:
    """Take the labels away from rows whose features are unusable: nothing fits them.

    Returns:
        The labels, and how many were taken away.

    Raises:
        HeadError: If none is left.
    """
    values, step = table.values, max(1, BLOCK_VALUES // max(1, table.values.shape[1]))
    usable = [find_usable(values[start : start + step]) for start in range(0, len(values), step)]
    is_broken = ~np.concatenate([np.empty(0, bool), *usable])  # A store may have no rows.
    broken = [row for row in np.flatnonzero(is_broken) if row_labels.labels[row] is not None]
    if not broken:
        return row_labels, 0
    if len(broken) == sum(label is not None for label in row_labels.labels):
        raise HeadError(
            f"The features of all {format_count(len(broken), 'labelled image')} are {UNUSABLE}: "
            "nothing can be fitted on them. Choose another layer, or extract them anew."
        )
    listener.note(
        f"{format_count(len(broken), 'image')} with features that are {UNUSABLE} left out, "
        f"the first {table.keys[broken[0]]!r}"
    )
    kept = zip(row_labels.labels, is_broken, strict=True)
    labels = tuple(None if broken else label for label, broken in kept)
    return replace(row_labels, labels=labels), len(broken)


def _has_split(row_labels: RowLabels, store: FeatureStore) -> bool:
    return row_labels.sides is not None or any(split is not None for split in store.splits)


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


def _number_classes(row_labels: RowLabels, store: str, listener: Listener) -> Targets:
    """Return the classes of rows with one label each; the others have number -1."""
    classes = _find_classes(row_labels, store, listener)
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(classes)}
    targets = np.array([numbers.get(label, -1) for label in row_labels.labels])
    return Targets("single", (), classes, targets, row_labels.labels)


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
    several = find_several(classes)
    if several is not None:
        listener.note(
            f"labels such as {several!r} look like several in one, and each combination is taken "
            f"for a class of its own; {option('label_columns', 'label')} learns them as several "
            "labels for each image"
        )
    if are_amounts(labels):
        listener.note(
            f"the labels are {len(classes):,} different numbers, and each is taken for a class of "
            f"its own; {option('target', 'label')} learns them as numbers"
        )
    if all(name.lower() in SPLITS for name in classes):
        listener.note(
            f"the classes are called {', '.join(classes)}: if these are splits, put the images of "
            "each class into a folder inside, or give labels and splits with "
            f"{option('labels', 'FILE.csv')}"
        )
    return classes


def find_several(classes: Sequence[str]) -> str | None:
    """Return a label like ``0;even`` or ``cat|indoors``, a part of which is in another label, too.

    Example:
        >>> find_several(["0;even", "1;odd", "2;even"]), find_several(["red; dark", "blue"])
        ('0;even', None)
    """
    for separator in ";|":
        parts = {name: {part.strip() for part in name.split(separator)} for name in classes}
        counts = Counter(part for each in parts.values() for part in each)
        for name, each in parts.items():
            if len(each) > 1 and any(counts[part] > 1 for part in each):
                return name
    return None


def are_amounts(labels: Sequence[str | None]) -> bool:
    """Whether labels look like amounts: numbers with fractions, or most of which occur once.

    Example:
        >>> are_amounts(["12.5", "13", None]), are_amounts(["7", "12", "40"])
        (True, True)
        >>> are_amounts(["0", "1", "1", "0"]), are_amounts(["7", "cat"])
        (False, False)
    """
    counts = Counter(label for label in labels if label is not None)
    try:
        numbers = [float(name) for name in counts]
    except ValueError:
        return False
    if not all(map(math.isfinite, numbers)):
        return False
    num_single = sum(count == 1 for count in counts.values())
    return num_single > len(counts) / 2 or not all(map(float.is_integer, numbers))
