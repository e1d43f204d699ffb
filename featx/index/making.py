"""Writing an index: from the vectors of a store, and from an older index."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featx.atomic import replace_file
from featx.errors import IndexFileError, StoreError
from featx.events import Listener
from featx.index.choice import LISTS
from featx.index.container import Arrays, Writer
from featx.index.description import IndexDescription, Measured, column_sections
from featx.index.kinds import (
    INDEXES,
    IndexKind,
    Parameters,
    Space,
    Update,
    Vectors,
    VectorSearch,
)
from featx.index.memory import bound_training
from featx.index.projection import hash_rows, self_sections
from featx.index.shared_training import IndexTraining, fill_by
from featx.index.source import Sample, StoreVectors, draw_held_out, draw_sample
from featx.index.tuning import QUERIES, ExactNeighbours, Tuned, tune
from featx.index.vector_index import VectorIndex
from featx.wording import command, option

REUSED_ROWS = 1024
"""Rows in a block when an exact index is brought up to date."""

FEW = 100_000
"""Vectors of which a query may look at any share: that takes no time."""

MUCH = 0.1
"""Share of the vectors that a query looks at, from which lists save little."""

MORE_LISTS = 4
"""Times as many lists, where queries look at many."""

MEASURED_AGAIN = 0.05
"""Share of rows that may be new before recall is measured again; it can differ by as much at most,
and by far less as a rule."""


@dataclass(frozen=True, slots=True)
class Older:
    """An older index of the same kind, feature and projection.

    Attributes:
        index: The index.
        rows: int64 (N,): the row of each image in it, -1 for new ones.
    """

    index: VectorIndex
    rows: np.ndarray

    @property
    def new_rows(self) -> np.ndarray:
        """The rows that are not in it."""
        return np.flatnonzero(self.rows < 0)


@dataclass(frozen=True, slots=True)
class Draft:
    """An index to be written.

    Attributes:
        source: The vectors.
        description: All but the parameters and what is measured.
        path: The file.
        listener: Receives notes.
        trained: What it is filled by; it is trained by itself when None.
    """

    source: StoreVectors
    description: IndexDescription
    path: Path
    listener: Listener
    trained: IndexTraining | None = None

    @property
    def kind(self) -> IndexKind:
        """The kind of index."""
        return INDEXES[self.description.kind]

    @property
    def space(self) -> Space:
        """The vectors as the kind gets them."""
        return self.description.space


@dataclass(frozen=True, slots=True)
class Result:
    """What came of writing the arrays of a kind."""

    measured: Measured
    parameters: Parameters


def write_index(draft: Draft, older: Older | None) -> None:
    """Write an index.

    Args:
        draft: What is to be written.
        older: An index to take over from.

    Raises:
        IndexFileError: If the file cannot be written.
    """
    write = _write_exact if draft.kind.is_exact else _write_approximate
    write_file(draft, lambda writer: write(draft, writer, older))


def write_file(draft: Draft, write: Callable[[Writer], Result]) -> None:
    """Write an index whose own arrays `write` writes.

    Raises:
        IndexFileError: If the file cannot be written.
    """
    started = time.monotonic()
    with replace_container(draft.path) as writer:
        result = write(writer)
        for section in (*draft.source.projection.sections(), *column_sections(draft.description)):
            writer.add(section)
        seconds = round(time.monotonic() - started, 3)
        description = replace(
            draft.description,
            measured=replace(result.measured, seconds=seconds),
            parameters=result.parameters,
        )
        writer.finish(description.to_dict())


@contextlib.contextmanager
def replace_container(path: Path) -> Iterator[Writer]:
    """Give what writes a file, which then takes the place of an older one.

    Raises:
        IndexFileError: If it cannot be written.
    """
    try:
        with replace_file(path) as temporary, temporary.open("w+b") as file:
            yield Writer(file, temporary)
    except (StoreError, IndexFileError):  # Also an OSError, but of what is read.
        raise
    except OSError as error:
        raise IndexFileError(
            f"{str(path)!r} cannot be written: {error.strerror}. Make room, or name another "
            f"place: {option('output', 'OTHER.faiss')}, or "
            f"{command('search', features='STORE', index='OTHER.faiss')}."
        ) from error


def _write_exact(draft: Draft, writer: Writer, older: Older | None) -> Result:
    source = draft.source
    read = source.blocks if older is None else lambda: source.follow(_iter_updated(source, older))
    vectors = Vectors(read, source.take, np.empty((0, draft.space.width), np.float32))
    for section in draft.kind.build(vectors, draft.space):
        writer.add(section)
    search = draft.kind.open(writer.mapped(), draft.space)
    return Result(Measured(), search.parameters)


def _iter_updated(source: StoreVectors, older: Older) -> Iterator[np.ndarray]:
    """Yield vectors in order, those of known images from an older index."""
    for start in range(0, len(older.rows), REUSED_ROWS):
        old = older.rows[start : start + REUSED_ROWS]
        block = np.empty((len(old), older.index.width), np.float32)
        block[old >= 0] = older.index.vectors(old[old >= 0])
        new = np.flatnonzero(old < 0)
        block[new] = source.take(start + new)
        yield block


def _write_approximate(draft: Draft, writer: Writer, older: Older | None) -> Result:
    if older is not None:
        update = draft.kind.update(
            older.index.arrays, choose_vectors(draft), draft.space, older.rows
        )
        if update is not None:
            return _write_update(draft, writer, older, update)
        draft.listener.note(
            f"an index of kind {draft.description.kind} is built anew for such a change"
        )
    truth = _write_new(draft, writer)
    return measure(draft, writer.mapped(), truth)


def _write_new(draft: Draft, writer: Writer) -> ExactNeighbours:
    """Write the arrays of an index of all vectors; return what recall is measured by."""
    source, space = draft.source, draft.space
    sample = _draw(draft)
    truth = ExactNeighbours(sample.rows, source.projection.project(sample.queries), space)
    vectors = replace(
        choose_vectors(draft),
        read=lambda: truth.watch(source.blocks()),
        training=source.projection.project(sample.training),
    )
    if draft.trained is None:
        sections = draft.kind.build(vectors, space)
    else:
        sections = fill_by(draft.trained, vectors, space)
    for section in (*sections, *self_sections(source.hashes)):
        writer.add(section)
    return truth


def _draw(draft: Draft) -> Sample:
    """Return vectors to train on, unless that was done, and others to measure with."""
    if draft.trained is not None:
        return draw_held_out(draft.source, QUERIES, draft.trained.hashes)
    wanted, limit = draft.kind.training_rows(draft.space), draft.description.options.max_memory
    return draw_sample(draft.source, bound_training(wanted, draft.space, limit), QUERIES)


def _write_update(draft: Draft, writer: Writer, older: Older, update: Update) -> Result:
    if update.note is not None:
        draft.listener.note(update.note)
    for section in update.sections:
        writer.add(section)
    hashes = np.empty(len(older.rows), np.uint64)
    known, new = older.rows >= 0, older.new_rows
    hashes[known] = older.index.vector_hashes()[older.rows[known]]
    hashes[new] = hash_rows(draft.source.take_prepared(new))
    for section in self_sections(hashes):
        writer.add(section)
    description = older.index.description
    changed = description.measured.changed + len(new)
    if changed <= MEASURED_AGAIN * len(older.rows):
        return Result(replace(description.measured, changed=changed), description.parameters)
    source = draft.source
    sample = draw_sample(source, 0, QUERIES)
    truth = ExactNeighbours(sample.rows, source.projection.project(sample.queries), draft.space)
    return measure(draft, writer.mapped(), truth)


def measure(draft: Draft, arrays: Arrays, truth: ExactNeighbours) -> Result:
    """Tune the search in arrays that have been written."""
    if not truth.is_complete:
        for _ in truth.watch(draft.source.blocks()):
            pass
    search = draft.kind.open(arrays, draft.space)
    goal = draft.description.options.min_recall
    tuned = tune(search, truth, goal)
    if tuned.recall < goal:
        draft.listener.note(
            f"a recall of {goal:g} is not reached by this kind: {tuned.recall:.3f} is the most"
        )
    _note_effort(draft, search, tuned)
    parameters = {**search.with_parameters(tuned.parameters).parameters, **tuned.parameters}
    return Result(Measured(round(tuned.recall, 4), len(truth.rows)), parameters)


def choose_vectors(draft: Draft) -> Vectors:
    """Return the vectors of an index as its kind gets them, without some to train on."""
    return Vectors(
        draft.source.blocks,
        draft.source.take,
        np.empty((0, draft.space.width), np.float32),
        draft.path.absolute().parent,
    )


def _note_effort(draft: Draft, search: VectorSearch, tuned: Tuned) -> None:
    """Say that a query looks at many vectors, and what may help."""
    count = draft.space.count
    if draft.description.kind != LISTS or count < FEW:
        return
    share = int(tuned.parameters["nprobe"]) / int(search.parameters["lists"])
    if share > MUCH:
        lists = MORE_LISTS * int(search.parameters["lists"])
        draft.listener.note(
            f"a query looks at {share:.0%} of the vectors, which form no clear clusters; with more "
            f"lists it may be far less: {option('factory', f'IVF{lists},SQ8')}"
        )
