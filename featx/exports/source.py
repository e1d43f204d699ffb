"""What every export format is given: one feature of a store, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.events import Listener
from featx.images.sources.columns import text_of
from featx.specs import FeatureSpec
from featx.store import FeatureStore
from featx.store.frames import name_columns
from featx.text_files import quote_formula

VALUES_AS_TEXT = 1 << 16
"""Values converted to text at a time: about 4 MB of text, whatever the width of a row."""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """One feature of an open store.

    Attributes:
        store: The store; keys, labels and content hashes are its own.
        layer: The layer; the deepest when None.
        pool: Pooling of layers that were stored as maps.
        listener: Receives progress and notes.
        allow_download: Whether pictures may be fetched from the URL that the store records.
        csv_safe: Whether texts in CSV files are written so that no spreadsheet takes one for a
            formula.
    """

    store: FeatureStore
    layer: str | None
    pool: str
    listener: Listener
    allow_download: bool = False
    csv_safe: bool = False

    @property
    def spec(self) -> FeatureSpec:
        """The feature as it is exported, with the pooling that its values have."""
        return self.store.vector_spec(self.layer, self.pool)

    @property
    def width(self) -> int:
        """D, values in a row."""
        return math.prod(self.spec.shape)

    @property
    def columns(self) -> dict[str, Sequence[Any]]:
        """What is known of the rows: key, label, split where any row has one, further columns.

        Values are text, int, float or bool, and None where they are missing. A further column that
        has the name of another one, or of a feature (``f0``), gets an underscore behind it.
        """
        numbered = {f"f{number}" for number in range(self.width)}
        return name_columns(self.store, {"content_hash", "features"} | numbered)

    def csv_text(self, value: Any) -> str:
        """Return a key, a label or another value as a CSV file has it, see `csv_safe`."""
        text = "" if value is None else text_of(value)
        return quote_formula(text) if self.csv_safe and isinstance(value, str) else text

    def iter_blocks(self, limit: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the rows in order, in blocks of bounded size.

        Args:
            limit: Stop after this many rows.

        Yields:
            The number of the block's first row, and float32 values of shape (n, *shape).
        """
        total = len(self.store) if limit is None else min(limit, len(self.store))
        self.listener.start(total, "rows")
        try:
            start = 0
            for block in self.store.iter_vectors(self.layer, self.pool):
                values = block[: total - start]
                if len(values):
                    yield start, values
                    self.listener.advance(len(values))
                start += len(values)
            assert start == total, f"{total} rows were announced, {start} came"
        finally:
            self.listener.finish()


@dataclass(frozen=True, slots=True)
class Written:
    """What a format has written.

    Attributes:
        rows: Number of rows that were written.
        files: The files, all of them complete.
    """

    rows: int
    files: tuple[Path, ...]


def format_rows(values: np.ndarray) -> Iterator[list[str]]:
    """Write rows of float32 as text that reads back to the same numbers.

    Each number is the shortest decimal that identifies the float32, as NumPy prints it.

    Args:
        values: float32 (n, D).

    Yields:
        D texts for each row.

    Example:
        >>> list(format_rows(np.array([[0.1, -3]], np.float32)))
        [['0.1', '-3.0']]
    """
    step = max(1, VALUES_AS_TEXT // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        # 15 characters are the longest float32, -1.17549435e-38.
        yield from values[start : start + step].astype("U16").tolist()
