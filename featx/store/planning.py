"""Which rows a store made of others has, in which order, and reading them from there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.errors import FingerprintMismatch
from featx.images.sources import ImageFailure
from featx.specs import identity_differences
from featx.store.reader import FeatureStore
from featx.store.rows import Rows, StoreHeader


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


def plan_rows(
    sources: Sequence[FeatureStore],
    *,
    order: Sequence[str] = (),
    dropped: Collection[str] = (),
    dropped_failures: Collection[str] = (),
    dropped_rows: np.ndarray | None = None,
    earlier_wins: bool = False,
    failures_win: bool = True,
) -> Plan:
    """Decide which rows a store made of others has, and in which order.

    A later row or failure of a key replaces an earlier one. The result depends on how the work
    was divided into parts only where `order` does not say otherwise.

    Args:
        sources: Open stores, oldest first.
        order: Keys in the order in which they come first; others follow as they come.
        dropped: Keys whose rows are left out.
        dropped_failures: Keys whose entries in the failure ledger are left out.
        dropped_rows: Rows of the first source that are left out, whatever their key.
        earlier_wins: Keep the earlier row of a key instead.
        failures_win: Whether a later failure takes the place of a row: the image has changed and
            cannot be read any more, so the row is not its feature.
    """
    lost = set() if dropped_rows is None else set(dropped_rows.tolist())
    place: dict[str, int] = {}  # key → source and row, as one number: small, for many of them
    failures: dict[str, ImageFailure] = {}
    wanted = {content.tobytes() for source in sources for content in source.copies.content_hash}
    holder: dict[bytes, int] = {}
    for number, source in enumerate(sources):
        base = number << 40
        for row, key in enumerate(source.keys):
            if not (earlier_wins and key in place) and not (number == 0 and row in lost):
                place[key] = base + row
            failures.pop(key, None)
        if wanted:
            for row, content in enumerate(map(bytes, source.content_hash)):
                if content in wanted:
                    holder.setdefault(content, base + row)
        for position, (key, content) in enumerate(
            zip(source.copies.keys, map(bytes, source.copies.content_hash), strict=True),
            start=len(source),
        ):
            if content in holder:  # Else its owner was lost: it is not there, and is read again.
                place[key] = base + position
                failures.pop(key, None)
        for failure in source.failures:
            if failure.key in place and (failure.is_passing or not failures_win):
                failures.update({failure.key: failure} if failures_win else {})
                continue
            place.pop(failure.key, None)
            failures[failure.key] = failure
    for key in dropped:
        place.pop(key, None)
    for key in dropped_failures:
        failures.pop(key, None)

    chosen = [place.pop(key) for key in order if key in place]
    chosen += place.values()
    codes = np.array(chosen, np.int64).reshape(-1)
    columns = np.stack([codes >> 40, codes & ((1 << 40) - 1)], axis=1)
    features = columns.copy()
    for number, source in enumerate(sources):
        if not len(source.copies):
            continue
        copied = np.flatnonzero((columns[:, 0] == number) & (columns[:, 1] >= len(source)))
        positions = columns[copied, 1] - len(source)
        for index, content in zip(
            copied.tolist(), map(bytes, source.copies.content_hash[positions]), strict=True
        ):
            code = holder[content]
            features[index] = code >> 40, code & ((1 << 40) - 1)
    return Plan(columns, features, tuple(failures.values()))


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

    def keys(self) -> Iterator[str]:
        """Yield the keys in order."""
        for number, row in self.plan.columns.tolist():
            source = self.sources[number]
            yield _pick(source.keys, source.copies.keys, row)

    def classes(self) -> set[str]:
        """Return the labels that occur."""
        return self._occurring("labels")

    def splits(self) -> set[str]:
        """Return the names of splits that occur."""
        return self._occurring("splits")

    def _occurring(self, column: str) -> set[str]:
        texts: set[str | None] = set()
        for number, source in enumerate(self.sources):
            own, copied = getattr(source, column), getattr(source.copies, column)
            rows = self.plan.columns[self.plan.columns[:, 0] == number, 1].tolist()
            texts |= {_pick(own, copied, row) for row in rows}
        return {text for text in texts if text is not None}

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

    def _columns(self, places: np.ndarray) -> Rows:
        numbers = np.unique(places[:, 0]).tolist()
        arrays: dict[str, np.ndarray] = {}
        for name in ("content_hash", "file_size", "file_mtime_ns"):
            for number in numbers:
                values = self._column(number, name)
                chosen = places[:, 0] == number
                if name not in arrays:
                    arrays[name] = np.empty((len(places), *values.shape[1:]), values.dtype)
                arrays[name][chosen] = values[places[chosen, 1]]
        where = [(self.sources[number], row) for number, row in places.tolist()]
        return Rows(
            keys=[_pick(source.keys, source.copies.keys, row) for source, row in where],
            content_hash=arrays["content_hash"],
            labels=[_pick(source.labels, source.copies.labels, row) for source, row in where],
            file_size=arrays["file_size"],
            file_mtime_ns=arrays["file_mtime_ns"],
            splits=[_pick(source.splits, source.copies.splits, row) for source, row in where],
        )

    def _column(self, number: int, name: str) -> np.ndarray:
        """Return a column of a source, of its rows and then of its copies."""
        source = self.sources[number]
        rows: np.ndarray = getattr(source, name)
        return np.concatenate([rows, getattr(source.copies, name)]) if source.copies else rows

    def _features(self, places: np.ndarray) -> Mapping[str, np.ndarray]:
        arrays = {
            spec.name: np.empty((len(places), *spec.shape), self.header.dtype)
            for spec in self.header.features
        }
        for number in np.unique(places[:, 0]).tolist():
            # Parts are many, files that may be open are few: only the latest stays open.
            if self._open is not None and self._open != number:
                self.sources[self._open].close()
            self._open = number
            chosen = np.flatnonzero(places[:, 0] == number)
            for name, array in arrays.items():
                array[chosen] = self.sources[number].features(name)[places[chosen, 1]]
        return arrays


def _pick(rows: Sequence[Any], copies: Sequence[Any], row: int) -> Any:
    return rows[row] if row < len(rows) else copies[row - len(rows)]


def check_same(source: FeatureStore, header: StoreHeader, subject: str) -> None:
    """Refuse to put rows together that were made in different ways.

    Raises:
        FingerprintMismatch: Names each field that differs.
    """
    of_old = {"input.decode": "exact"}  # Left out of identities, which are older.
    expected, received = of_old | source.header.identity(), of_old | header.identity()
    # Of layers that only one side has, the list of layers says all there is to say.
    common = expected.keys() & received.keys()
    differences = identity_differences(
        {name: value for name, value in expected.items() if name in common},
        {name: value for name, value in received.items() if name in common},
    )
    if differences:
        raise FingerprintMismatch(
            subject,
            differences,
            remedy="Use the same options, write to another file with -o, or start afresh with "
            "--overwrite.",
        )
