"""`train_index`: what indexes on several machines are filled by. Never imports TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from featx.arguments import plain_arguments
from featx.checks.layers import check_layer
from featx.checks.numbers import check_whole_numbers
from featx.errors import IndexFileError
from featx.events import Listener, Verbose, choose_listener
from featx.files import describe_wrong_output, resolve_link
from featx.index.choice import choose_kind
from featx.index.container import Section
from featx.index.kinds import AUTO, INDEXES, SharedKind
from featx.index.making import replace_container
from featx.index.memory import bound_training
from featx.index.options import BuildKeywords, IndexOptions
from featx.index.projection import hash_rows
from featx.index.shared_training import (
    IndexTraining,
    hash_section,
    is_training,
    open_training,
    shared_kind,
)
from featx.index.source import StoreVectors, draw_sample, fit_source
from featx.index.tuning import QUERIES
from featx.options import fill_group
from featx.poolings import check_vector_pool
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE
from featx.store import open_store
from featx.store.choice import note_choice, require_rows
from featx.units import format_count
from featx.wording import option

TRAINING_SUFFIX = ".trained.faiss"


def default_training_path(features: str | Path) -> Path:
    """Return the default path of a training on a store.

    Example:
        >>> default_training_path("photos/1.h5").as_posix()
        'photos/1.trained.faiss'
    """
    return Path(features).with_suffix(TRAINING_SUFFIX)


@plain_arguments(IndexOptions, train_for=check_whole_numbers(1))
def train_index(
    features: str | Path = DEFAULT_STORE,
    *,
    train_for: int | None = None,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    output: str | Path | None = None,
    kind: str = AUTO,
    options: IndexOptions | None = None,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
    **keywords: Unpack[BuildKeywords],
) -> IndexTraining:
    """Find what indexes on several machines are filled by, with vectors of one store.

    Args:
        features: The store, such as that of one shard: a random part of all images.
        train_for: Images that the merged index will have, about; those of the store when None.
        layer: See `featx.build_index`, also for `pool` and `kind`.
        pool: Pooling of layers that were stored as maps.
        output: The file to write; the store's name ending in ``.trained.faiss`` when None.
        kind: The kind of index; one that has lists.
        options: How vectors are compared, and what the index may cost.
        progress: Whether to show a progress bar; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives notes, in place of these two.
        keywords: Fields of `options` as keywords.

    Returns:
        The training, for ``featx.build_index(..., trained_by=...)``.

    Raises:
        StoreNotFound: If there is no store.
        InvalidValue: If the kind has no lists.
        UnknownName: If there is no such layer, kind or pooling.
        IndexFileError: If the store is empty, or the file cannot be written.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(9), model=toy_model(), layers=["mean"], output="t.h5")
        >>> train_index("t.h5", train_for=16, kind="ivf").lists
        4
    """
    options = fill_group(IndexOptions, options, keywords)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    layer = check_layer("layer", layer)
    path = _choose_path(Path(features), output)
    check_vector_pool("pooling of an index", pool)
    with open_store(Path(features)) as store:
        require_rows(store, IndexFileError)
        note_choice(store, layer, pool, listener)
        feature = store.vector_spec(layer, pool)
        training = IndexTraining(
            path, kind, options, feature, store.model, train_for or len(store), 1, 1, {}
        )
        width = training.space.width
        training = replace(training, kind=choose_kind(kind, training.train_for, width, options))
        chosen = shared_kind(training.kind, training.space)
        source = fit_source(StoreVectors(store, layer, pool, listener), options)
        _write(training, chosen, source)
    return open_training(path)


def _write(training: IndexTraining, kind: SharedKind, source: StoreVectors) -> None:
    """Train, and write the file."""
    space = training.space
    wanted = INDEXES[training.kind].training_rows(space)
    own = replace(space, count=len(source.store))
    allowed = bound_training(wanted, own, training.options.max_memory)
    sample = draw_sample(source, allowed, QUERIES)
    if len(sample.training) < allowed:
        source.listener.note(
            f"trained on {format_count(len(sample.training), 'vector')}, all but some to measure "
            f"with: {wanted:,} are better for {training.train_for:,} images"
        )
    arrays = kind.train_arrays(source.projection.project(sample.training), space)
    sections: list[Section] = [
        *arrays,
        *source.projection.sections(),
        hash_section(hash_rows(sample.training)),
    ]
    lists = next(section.shape[0] for section in sections if section.name == "centres")
    filled = replace(training, lists=int(lists), trained_on=len(sample.training))
    with replace_container(training.path) as writer:
        for section in sections:
            writer.add(section)
        writer.finish(filled.to_dict())


def _choose_path(features: Path, output: str | Path | None) -> Path:
    """Return the file to write.

    Raises:
        IndexFileError: If it cannot be one, or is something else than a training.
    """
    path = resolve_link(default_training_path(features) if output is None else Path(output))
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise IndexFileError(describe_wrong_output(path))
    if path.exists() and not is_training(path):
        raise IndexFileError(
            f"{str(path)!r} exists and is not a training of an index; it is left alone. "
            f"Choose another file with {option('output')}."
        )
    return path
