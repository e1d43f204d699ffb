"""Which layer, and which pooling: by cross-validation of the rows that are fitted on."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from featx.checks.layers import check_pool
from featx.checks.texts import split_names
from featx.errors import HeadError, UnknownName, join_names
from featx.events import Listener
from featx.heads.choosing import choose_kind
from featx.heads.feature_table import read_table
from featx.heads.folds import COMPARED_ROWS, sample_rows
from featx.heads.kinds import FitJob
from featx.heads.labelled_rows import LabelledRows
from featx.heads.measures import wilson_interval
from featx.heads.options import FeatureChoice, FeatureOptions
from featx.heads.stored_values import take_rows
from featx.heads.usable_rows import UNUSABLE, find_usable
from featx.poolings import check_vector_pool
from featx.specs import DEFAULT_READ_POOLING
from featx.store import FeatureStore
from featx.store.choice import note_kept_poolings

ALL = "all"
"""The value of ``--layer`` that compares every layer of the store."""


@dataclass(frozen=True, slots=True)
class LayerTrial:
    """How well a head does on one feature, by cross-validation of the training rows.

    Attributes:
        layer: The layer.
        pool: Its pooling.
        width: D, values in a feature vector.
        kind: The kind of head, the best one if kinds were compared.
        loss: Mean loss, by which features are ranked; see `featx.heads.kinds.Choice`.
        accuracy: Share of right predictions; None if it has no meaning.
        interval: Of the accuracy, 95 %; None without one.
        seconds: How long reading it and choosing took.
    """

    layer: str
    pool: str
    width: int
    kind: str
    loss: float
    accuracy: float | None
    interval: tuple[float, float] | None
    seconds: float


def list_features(
    store: FeatureStore, wanted: FeatureOptions, listener: Listener
) -> list[FeatureChoice]:
    """Return what is asked for, each feature once; several are to be compared.

    Args:
        store: The open store.
        wanted: ``layer`` is a name, a place, a glob, ``all``, or several of these in a list or
            between commas; ``pool`` one or several poolings.
        listener: Receives a note if there is nothing that several poolings could pool.

    Raises:
        UnknownName: If there is no such layer or pooling.
    """
    pools = [check_pool("pool", pool) for pool in _split(wanted.pool)]
    for pool in pools:
        check_vector_pool("pooling of a head", pool)
    names: list[str | None] = [None]
    if wanted.layer is not None and wanted.layer != ():
        texts = _split(wanted.layer, store.layers)
        names = [name for text in texts for name in find_layers(store, text)]
    if len(pools) > 1:
        note_kept_poolings(store, names, listener)
    found: dict[tuple[str, str], FeatureChoice] = {}
    for name in names:
        for pool in pools:
            spec = store.vector_spec(name, pool)
            is_said = len(pools) > 1 and spec.pool != pool  # That it has no effect.
            applied = DEFAULT_READ_POOLING if is_said else pool
            found.setdefault((spec.name, spec.pool), FeatureChoice(name, applied))
    return list(found.values())


def _split(value: str | int | Sequence[str | int], known: Sequence[str] = ()) -> list[str]:
    """Return texts of a list, or between commas; a name with commas is one text."""
    texts = [str(value)] if isinstance(value, (str, int)) else [str(one) for one in value]
    return [
        part
        for text in texts  # A text without any name is refused as it is.
        for part in ((text,) if text in known else split_names(text) or (text,))
    ]


def find_layers(store: FeatureStore, text: str) -> Iterator[str]:
    """Yield the layers that a text means: a name, a place, a glob, or ``all``.

    Raises:
        UnknownName: If there is none.
    """
    if text == ALL and ALL not in store.layers:
        yield from store.layers
    elif "*" in text or "?" in text:
        matches = fnmatch.filter(store.layers, text)
        if not matches:
            has = f"It has {join_names(store.layers)}."
            raise UnknownName("layer in the store", text, store.layers, remedy=has)
        yield from matches
    else:
        yield store.spec(text).name


def choose_feature(
    store: FeatureStore,
    features: Sequence[FeatureChoice],
    labelled: LabelledRows,
    held_out: np.ndarray,
    job: FitJob,
) -> tuple[LabelledRows, tuple[LayerTrial, ...]]:
    """Compare features on the rows that are not held out.

    All are compared on the same rows and folds, one after the other, so that one of them is in
    memory at a time.

    Args:
        store: The open store.
        features: At least two of its features.
        labelled: The rows, without values.
        held_out: Rows that take no part, bool (N,).
        job: Seed, options and listener.

    Returns:
        The rows with the best feature, and the trials, the best first.

    Raises:
        HeadError: If there are too few examples to compare.
    """
    rows = np.flatnonzero(~held_out)
    examples = labelled.examples.without_values()
    rows = rows[sample_rows(examples.take(rows), COMPARED_ROWS, job.seed)]
    quiet = replace(job, listener=Listener())
    tried: list[tuple[LayerTrial, FeatureChoice]] = []
    for number, feature in enumerate(features, start=1):
        spec = store.vector_spec(feature.layer, feature.pool)
        job.listener.trying(f"layer {spec.name} ({spec.pool}), {number} of {len(features)}")
        trial = _try(store, feature, labelled, rows, quiet)
        if trial is None:
            _note_broken(spec.name, job.listener)
        else:
            tried.append((trial, feature))
    tried.sort(key=lambda pair: pair[0].loss)
    while tried and math.isfinite(tried[0][0].loss):
        best, feature = tried[0]
        chosen = _read(store, feature, labelled, job.options.max_memory)
        if all(find_usable(block.values).all() for block in chosen.examples.blocks()):
            job.listener.note(
                f"{best.layer} ({best.pool}) has the least loss of {len(tried)} features on "
                f"images held out: {best.loss:.3f}"
            )
            if not held_out.any():
                job.listener.note(
                    "all images chose the layer: an accuracy on them looks a little better than "
                    "it is"
                )
            return chosen, tuple(trial for trial, _ in tried)
        del tried[0]  # Rows that took no part in the comparison may be broken, too.
        _note_broken(best.layer, job.listener)
    raise HeadError(
        "There are too few images of each class to compare layers. Name one layer, or give "
        "more images."
    )


def _note_broken(layer: str, listener: Listener) -> None:
    listener.note(f"{layer} is not compared: some of its features are {UNUSABLE}")


def _read(
    store: FeatureStore, feature: FeatureChoice, labelled: LabelledRows, max_memory: int | None
) -> LabelledRows:
    """Return the same rows with another feature."""
    table = read_table(store, feature, max_memory)
    is_all = len(labelled.rows) == len(table.values)
    values = table.values if is_all else take_rows(table.values, labelled.rows)
    examples = labelled.examples.replace_values(values)
    return replace(labelled, table=replace(labelled.table, spec=table.spec), examples=examples)


def _try(
    store: FeatureStore,
    feature: FeatureChoice,
    labelled: LabelledRows,
    rows: np.ndarray,
    job: FitJob,
) -> LayerTrial | None:
    """Measure one feature; None where it cannot be learned from."""
    started = time.monotonic()
    vectors = store.vectors(feature.layer, feature.pool, labelled.rows[rows]).reshape(len(rows), -1)
    if not find_usable(vectors).all():
        return None
    examples = labelled.examples.without_values().take(rows).replace_values(vectors)
    picked = choose_kind(examples, job)
    chosen, spec = picked.choice, store.vector_spec(feature.layer, feature.pool)
    interval = None
    if chosen.accuracy is not None and chosen.num_held_out:
        right = round(chosen.accuracy * chosen.num_held_out)
        interval = wilson_interval(right, chosen.num_held_out)
    return LayerTrial(
        spec.name,
        spec.pool,
        vectors.shape[1],
        picked.kind,
        math.inf if chosen.loss is None else chosen.loss,
        chosen.accuracy,
        interval,
        time.monotonic() - started,
    )
