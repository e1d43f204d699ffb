"""Which rows a store made of others has, in which order, and reading them from there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.errors import FingerprintMismatch
from featx.images.sources import ImageFailure
from featx.images.sources.columns import Columns
from featx.specs import as_recorded, identity_differences
from featx.store.columns import join_columns, plan_columns, select_rows
from featx.store.reader import FeatureStore
from featx.store.rows import Announced, Rows, StoreHeader, longest_key


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of a store to be made: where each one's columns and features are taken from.

    Attributes:
        columns: (N, 2) int64: source, and row in it; copies count on behind the rows.
        features: (N, 2) int64: source, and row in it.
        failures: The failure ledger.
    """

    columns: np.ndarray
    features: np.ndarray
    failures: tuple[ImageFailure, ...]

    def __len__(self) -> int:
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class Precedence:
    """Which of several rows and failures of one key counts.

    Attributes:
        earlier_wins: The row of an earlier source, instead of the later one.
        failures_win: Whether a later failure replaces a row: the image has changed and
            cannot be read any more, so the row is not its feature.
    """

    earlier_wins: bool = False
    failures_win: bool = True


LATEST = Precedence()
"""The newest row or failure counts."""


def plan_rows(
    sources: Sequence[FeatureStore],
    *,
    order: Sequence[str] = (),
    dropped: Collection[str] = (),
    dropped_failures: Collection[str] = (),
    dropped_rows: np.ndarray | None = None,
    precedence: Precedence = LATEST,
) -> Plan:
    """Decide which rows a store made of others has, and in which order.

    The result depends on how the work was divided into parts only where `order` does not say
    otherwise.

    Args:
        sources: Open stores, oldest first.
        order: Keys in the order in which rows and failures come first; others follow as they come.
        dropped: Keys whose rows are left out.
        dropped_failures: Keys whose entries in the failure ledger are left out.
        dropped_rows: Rows of the first source that are left out, whatever their key.
        precedence: Which of several rows of a key counts.
    """
    planner = _Planner(sources, precedence)
    lost = set() if dropped_rows is None else set(dropped_rows.tolist())
    for number in range(len(sources)):
        planner.add_rows(number, lost if number == 0 else ())
        planner.add_copies(number)
        planner.add_failures(number)
    for key in dropped:
        planner.rows.pop(key, None)
    for key in dropped_failures:
        planner.failures.pop(key, None)
    chosen = [planner.rows.pop(key) for key in order if key in planner.rows]
    chosen += planner.rows.values()
    columns = _unpack(np.array(chosen, np.int64).reshape(-1))
    failures = [planner.failures.pop(key) for key in order if key in planner.failures]
    failures += planner.failures.values()
    return Plan(columns, planner.find_features(columns), tuple(failures))


class _Planner:
    """The rows and failures that count, of the sources added so far.

    Attributes:
        rows: Key → source and row, as one number: small, since there may be many.
        failures: Key → entry of the failure ledger.
    """

    def __init__(self, sources: Sequence[FeatureStore], precedence: Precedence) -> None:
        self.rows: dict[str, int] = {}
        self.failures: dict[str, ImageFailure] = {}
        self._sources = sources
        self._precedence = precedence
        self._copied = {
            content.tobytes() for source in sources for content in source.copies.content_hash
        }
        self._owners: dict[bytes, int] = {}

    def add_rows(self, number: int, lost: Collection[int]) -> None:
        """Take the rows of a source, except the lost ones."""
        source, base = self._sources[number], number << _ROW_BITS
        rows, failures = self.rows, self.failures
        earlier_wins = self._precedence.earlier_wins
        for row, key in enumerate(source.keys):
            if not (earlier_wins and key in rows) and row not in lost:
                rows[key] = base + row
            failures.pop(key, None)
        if self._copied:
            for row, content in enumerate(map(bytes, source.content_hash)):
                if content in self._copied:  # The newest: an older one may have been wrong.
                    self._owners[content] = base + row

    def add_copies(self, number: int) -> None:
        """Take the copies of a source; they count on behind its rows."""
        source, base = self._sources[number], number << _ROW_BITS
        contents = map(bytes, source.copies.content_hash)
        pairs = zip(source.copies.keys, contents, strict=True)
        for position, (key, content) in enumerate(pairs, start=len(source)):
            if content in self._owners:  # Otherwise its owner was lost, and it is read again.
                self.rows[key] = base + position
                self.failures.pop(key, None)

    def add_failures(self, number: int) -> None:
        """Take the failure ledger of a source."""
        failures_win = self._precedence.failures_win
        for failure in self._sources[number].failures:
            if failure.key in self.rows and (failure.is_passing or not failures_win):
                if failures_win:
                    self.failures[failure.key] = failure
                continue
            self.rows.pop(failure.key, None)
            self.failures[failure.key] = failure

    def find_features(self, columns: np.ndarray) -> np.ndarray:
        """Return the source and row of each row's features: of copies, those of their owner."""
        features = columns.copy()
        for number, source in enumerate(self._sources):
            if not len(source.copies):
                continue
            copied = np.flatnonzero((columns[:, 0] == number) & (columns[:, 1] >= len(source)))
            contents = source.copies.content_hash[columns[copied, 1] - len(source)]
            owners = [self._owners[content] for content in map(bytes, contents)]
            features[copied] = _unpack(np.array(owners, np.int64).reshape(-1))
        return features


_ROW_BITS = 40
"""Bits of the row in the number that stands for a source and a row of it."""


def _unpack(codes: np.ndarray) -> np.ndarray:
    """Return (n, 2): source and row."""
    return np.stack([codes >> _ROW_BITS, codes & ((1 << _ROW_BITS) - 1)], axis=1)


class PlannedRows:
    """The rows of a plan, read from its sources block by block.

    Args:
        sources: What `plan_rows` was given.
        plan: The rows.
        header: The header of the store that they are to become.
    """

    def __init__(self, sources: Sequence[FeatureStore], plan: Plan, header: StoreHeader) -> None:
        self.sources = sources
        self.plan = plan
        self.header = header
        self._open: int | None = None
        self._further = [_further_columns(source) for source in sources]

    def announce(self) -> Announced:
        """Return what must be known before the rows are written."""
        return Announced(
            num_rows=len(self.plan),
            key_bytes=longest_key(self.keys()),
            classes=self._occurring("labels"),
            splits=self._occurring("splits"),
            columns=plan_columns(
                select_rows(columns, self._rows_of(number))
                for number, columns in enumerate(self._further)
            ),
        )

    def keys(self) -> Iterator[str]:
        """Yield the keys in order."""
        for number, row in self.plan.columns.tolist():
            source = self.sources[number]
            yield _pick(source.keys, source.copies.keys, row)

    def _occurring(self, column: str) -> set[str]:
        texts: set[str | None] = set()
        for number, source in enumerate(self.sources):
            own, copied = getattr(source, column), getattr(source.copies, column)
            rows = self._rows_of(number).tolist()
            texts |= {_pick(own, copied, row) for row in rows}
        return {text for text in texts if text is not None}

    def _rows_of(self, number: int) -> np.ndarray:
        """Return the rows whose columns are taken from a source."""
        rows: np.ndarray = self.plan.columns[self.plan.columns[:, 0] == number, 1]
        return rows

    def blocks(self, step: int, *, with_features: bool = True) -> Iterator[Rows]:
        """Yield the rows in order, `step` at a time."""
        for first in range(0, len(self.plan), step):
            chosen = slice(first, first + step)
            rows = self._columns(self.plan.columns[chosen])
            if with_features:
                rows = replace(rows, features=self._features(self.plan.features[chosen]))
            yield rows
        for source in self.sources:
            source.close()

    def _columns(self, positions: np.ndarray) -> Rows:
        numbers = sorted(set(positions[:, 0].tolist()))
        arrays: dict[str, np.ndarray] = {}
        for name in ("content_hash", "file_size", "file_mtime_ns"):
            for number in numbers:
                values = self._column(number, name)
                chosen = positions[:, 0] == number
                if name not in arrays:
                    arrays[name] = np.empty((len(positions), *values.shape[1:]), values.dtype)
                arrays[name][chosen] = values[positions[chosen, 1]]
        where = [(self.sources[number], row) for number, row in positions.tolist()]
        return Rows(
            keys=[_pick(source.keys, source.copies.keys, row) for source, row in where],
            content_hash=arrays["content_hash"],
            labels=[_pick(source.labels, source.copies.labels, row) for source, row in where],
            file_size=arrays["file_size"],
            file_mtime_ns=arrays["file_mtime_ns"],
            splits=[_pick(source.splits, source.copies.splits, row) for source, row in where],
            columns=self._take_further(positions),
        )

    def _take_further(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Return the further columns of rows, (n, 2): source, and row in it."""
        numbers = sorted(set(positions[:, 0].tolist()))
        order = np.argsort(positions[:, 0], kind="stable")
        blocks = []
        for number in numbers:
            rows = positions[positions[:, 0] == number, 1]
            blocks.append((select_rows(self._further[number], rows), len(rows)))
        return select_rows(join_columns(blocks), np.argsort(order, kind="stable"))

    def _column(self, number: int, name: str) -> np.ndarray:
        """Return a column of a source, of its rows and then of its copies."""
        source = self.sources[number]
        rows: np.ndarray = getattr(source, name)
        return np.concatenate([rows, getattr(source.copies, name)]) if source.copies else rows

    def _features(self, positions: np.ndarray) -> Mapping[str, np.ndarray]:
        arrays = {
            spec.name: np.empty((len(positions), *spec.shape), self.header.dtype)
            for spec in self.header.features
        }
        for number in sorted(set(positions[:, 0].tolist())):
            # There are more parts than files that may be open: only the latest stays open.
            if self._open is not None and self._open != number:
                self.sources[self._open].close()
            self._open = number
            chosen = np.flatnonzero(positions[:, 0] == number)
            for name, array in arrays.items():
                array[chosen] = self.sources[number].features(name)[positions[chosen, 1]]
        return arrays


def _further_columns(source: FeatureStore) -> Columns:
    """Return the further columns of a source: of its rows, and then of its copies."""
    if not source.copies:
        return source.columns
    blocks = [(source.columns, len(source)), (source.copies.columns, len(source.copies))]
    return join_columns(blocks)


def _pick(rows: Sequence[Any], copies: Sequence[Any], row: int) -> Any:
    return rows[row] if row < len(rows) else copies[row - len(rows)]


def check_same(source: FeatureStore, header: StoreHeader, subject: str, remedy: str) -> None:
    """Refuse to join rows that were made in different ways.

    Args:
        source: What there is.
        header: Of what is to be joined with it.
        subject: Which of them was made in another way, for the message.
        remedy: What to do, for the message.

    Raises:
        FingerprintMismatch: Names each field that differs.
    """
    header = replace(header, model=as_recorded(header.model, source.model))
    # Older identities do not have these fields.
    of_old = {"input.decode": "exact", "input.icc": "ignore"}
    expected, received = of_old | source.header.identity(), of_old | header.identity()
    # The list of layers already tells which layers only one side has.
    common = expected.keys() & received.keys()
    differences = identity_differences(
        {name: value for name, value in expected.items() if name in common},
        {name: value for name, value in received.items() if name in common},
    )
    if differences:
        raise FingerprintMismatch(subject, differences, remedy=remedy)
