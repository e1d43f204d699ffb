"""The labels that an audit looks at: those of the store or a table, one or several of a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from featx.curation.collection import Collection
from featx.curation.label_predictions import SeveralLabels
from featx.errors import HeadError, UnknownName
from featx.events import Listener
from featx.heads.labels import RowLabels, read_label_table
from featx.heads.options import FOLDERS, TaskOptions
from featx.heads.row_reading import find_several
from featx.heads.targets import read_targets
from featx.store import FeatureStore
from featx.wording import option


def read_audit_labels(
    collection: Collection, store: FeatureStore, task: TaskOptions, listener: Listener
) -> tuple[Collection, SeveralLabels | None]:
    """Return rows with the labels that are asked for, and which label applies to which of them.

    Args:
        collection: Rows of the store, some of which may have been left out.
        store: The store.
        task: Where labels come from, and of which columns.
        listener: Receives notes.

    Raises:
        HeadError: If the table or a column cannot be read.
        UnknownName: If there is no such column.
    """
    row_labels = RowLabels(store.labels)
    if str(task.labels) != FOLDERS:
        row_labels = read_label_table(
            Path(task.labels),
            store.keys,
            Path(str(store.root)),
            task.label_columns,
            needs_labels=not task.label_columns,
        )
        for note in row_labels.notes:
            listener.note(note)
    numbers = {key: row for row, key in enumerate(store.keys)}
    rows = [numbers[key] for key in collection.keys]
    if row_labels.sides is not None:
        collection = replace(collection, splits=tuple(row_labels.sides[row] for row in rows))
    labels, several = row_labels.labels, None
    combined = find_several(sorted({label for label in labels if label is not None}))
    if combined is not None and not task.label_columns:
        listener.note(
            f"labels such as {combined!r} look like several in one, and each combination is taken "
            f"for a class of its own; {option('label_columns', 'label')} looks at each label"
        )
    if task.label_columns:
        targets = read_targets(task, row_labels, store)
        labels = targets.labels
        several = SeveralLabels(targets.classes, np.asarray(targets.values[rows], bool))
    return replace(collection, labels=tuple(labels[row] for row in rows)), several


def read_old_labels(old: Collection, store: FeatureStore, task: TaskOptions) -> Collection:
    """Return rows of an older store with labels of the same columns; without, if it lacks them."""
    if not task.label_columns:
        return old
    try:
        task = TaskOptions(label_columns=task.label_columns)
        return read_audit_labels(old, store, task, Listener())[0]
    except (HeadError, UnknownName):
        return replace(old, labels=(None,) * len(old))
