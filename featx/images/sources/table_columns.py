"""Tables as they were read, and the names of columns that say something about images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featx.errors import InvalidValue

PATH_COLUMNS = (
    "path", "key", "file", "filename", "image",
    "file_name", "filepath", "file_path", "image_path", "img_path", "img",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "labels", "class_name", "category")
SPLIT_COLUMNS = ("split", "subset")
"""Names of columns, in any case; of several, the first that a table has is taken."""

PERHAPS_SPLIT_COLUMNS = ("set", "partition", "phase", "usage")
"""Names of columns that hold splits if all of their cells are words for one; said in a note."""

KNOWN_COLUMNS = frozenset((*PATH_COLUMNS, *LABEL_COLUMNS, *SPLIT_COLUMNS, *PERHAPS_SPLIT_COLUMNS))


class TableError(InvalidValue):
    """A table cannot be read; the message goes on from its name."""


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A table as it was read, before it is known what its columns mean.

    Attributes:
        header: All columns, as they are spelled.
        cells: The values of the columns by their position in `header`; those that were not read
            are missing.
        lines: See `ImageTable`.
        decimal_comma: Whether cells are text in which ``3,5`` may be a number; None where they
            are values already.
    """

    header: Sequence[str]
    cells: Mapping[int, Sequence[Any]]
    lines: Sequence[int]
    decimal_comma: bool | None = None

    def position(self, names: Sequence[str]) -> int | None:
        """Return the position of the first of some columns that there is."""
        known = [name if i in self.cells else "" for i, name in enumerate(self.header)]
        return find_column(known, names)


def find_column(header: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the position of the first of some columns that a header has, in any spelling.

    Example:
        >>> find_column(["id", "File Name"], PATH_COLUMNS)
        1
    """
    folded = {fold_name(name): i for i, name in reversed(list(enumerate(header)))}
    return next((folded[name] for name in names if name in folded), None)


def fold_name(name: str) -> str:
    """Return the name of a column as all its spellings have it: ``File Name`` is ``file_name``."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())
