"""`open_dataset`: which rows, layers and columns of a store a data set has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featx.arguments import check_given_store, check_names, plain_arguments
from featx.checks.layers import check_layers
from featx.checks.texts import check_text, check_texts
from featx.datasets.columns import KEY, LABEL, SPLIT, check_column, read_target
from featx.datasets.feature_dataset import DatasetChoice, FeatureDataset
from featx.errors import InvalidValue
from featx.index.conditions import Columns, select_rows
from featx.index.text_column import Names
from featx.options import Layers
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_READ_POOLING
from featx.store import FeatureStore, open_store
from featx.store.choice import require_rows
from featx.wording import command, option


@plain_arguments(
    features=check_given_store,
    columns=check_names,
    label=check_texts,
    split=check_texts,
    where_column=check_text,
)
def open_dataset(
    features: str | Path,
    *,
    layers: Layers | None = None,
    pool: str | None = DEFAULT_READ_POOLING,
    columns: str | Sequence[str] | None = None,
    target: str | None = None,
    label: str | Sequence[str] = (),
    split: str | Sequence[str] = (),
    where_column: str | None = None,
) -> FeatureDataset:
    """Open a store, or some of its rows, as a data set to train on.

    Args:
        features: The feature store.
        layers: One layer or several, by name or place; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps; ``none`` keeps them.
        columns: What each row has beside its layers: ``key``, ``label``, ``split``, and columns
            that a manifest brought. When None, the label, unless there is a `target`.
        target: What is to be learned: ``label`` or another column. Texts become numbers of
            classes. Rows in which it is missing are left out.
        label: Only images of these classes.
        split: Only images of these splits.
        where_column: Only images for which this holds, such as ``"price < 20"``; as in
            `featx.search`.

    Returns:
        The rows. Nothing but columns is read before they are asked for.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, column, class, split or pooling.
        InvalidValue: If the condition cannot be read, or no row is left.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(6, classes=("cat", "dog"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="s.h5")
        >>> data = featx.open_dataset("s.h5", columns="key", label="dog")
        >>> len(data), data[0]["key"]
        (3, 'dog/image_1.png')
    """
    path = Path(features)
    pool = pool or DEFAULT_READ_POOLING
    POOLINGS.check(pool)
    with open_store(path) as store:
        require_rows(store)
        given = columns if columns is not None else () if target else (LABEL,)
        names = tuple(dict.fromkeys(given))
        for name in names if target is None else (*names, target):
            check_column(store, name)
        asked: Sequence[str | int | None] = check_layers("layers", layers) or [None]
        chosen = dict.fromkeys(store.spec(layer).name for layer in asked)
        allowed = np.ones(len(store), bool)
        if label:
            allowed &= Names.of(store.labels).is_one_of(label, "class in the store")
        if split:
            allowed &= Names.of(store.splits).is_one_of(split, "split in the store")
        if where_column is not None:
            known: Columns = {KEY: store.keys, LABEL: store.labels, SPLIT: store.splits}
            allowed &= select_rows(where_column, {**known, **store.columns}, len(store))
        if target is not None:
            is_known = read_target(store, target).is_known
            if not is_known.any():
                raise _no_target(store, target)
            allowed &= is_known
        rows = np.flatnonzero(allowed)
        if not len(rows):
            raise _no_rows(store, target)
        return FeatureDataset(
            DatasetChoice(path.absolute(), store.contents, tuple(chosen), pool, names, target, rows)
        )


def _no_target(store: FeatureStore, target: str) -> InvalidValue:
    return InvalidValue(
        f"No image in {str(store.path)!r} has a {target!r}; expected: at least one, to learn from. "
        f"{command('extract')} takes labels and columns from class folders and manifests; or name "
        f"another column: {option('target')}."
    )


def _no_rows(store: FeatureStore, target: str | None) -> InvalidValue:
    known = "" if target is None else f" and has a {target!r}"
    filters = ", ".join(option(name) for name in ("label", "split", "where_column"))
    return InvalidValue(
        f"No row of {str(store.path)!r} is chosen{known}; expected: at least one. Leave out a "
        f"condition: {filters}."
    )
