"""Codes of several indexes, put together list by list in a file without a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from featx.index.codes import Coder
from featx.index.kinds import IndexPart, Vectors
from featx.index.lists import CodeFile, MappedLists

COPIED = 8 << 20
"""Bytes of codes that are copied at a time."""

_Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Codes, their lists and their row numbers, in the order of `CodeFile.add`."""


def merge_codes(coder: Coder, parts: Iterable[IndexPart], vectors: Vectors) -> CodeFile:
    """Return the codes of all vectors: those of parts are copied, the others computed.

    One part is open at a time, and `COPIED` bytes of it are in memory.

    Args:
        coder: What all parts were filled by.
        parts: The parts. No row is in two of them.
        vectors: All vectors, of which `Vectors.take` is used for those that no part has.

    Raises:
        ValueError: If the lists of a part cannot be those of its vectors.
    """
    count = coder.space.count
    file = CodeFile(vectors.scratch, coder.code_size, len(coder), count)
    is_missing = np.ones(count, np.bool_)
    for part in parts:
        expected = is_missing.sum() - (part.rows >= 0).sum()
        for piece in _gather(_iter_lists(coder, part)):
            file.add(*piece)
            is_missing[piece[2]] = False
        if is_missing.sum() != expected:
            raise ValueError("it names a row twice")
    coder.add_rows(file, vectors, np.flatnonzero(is_missing))
    return file


def _iter_lists(coder: Coder, part: IndexPart) -> Iterator[_Piece]:
    """Yield what is wanted of each list."""
    count = len(part.rows)
    lists = MappedLists(part.arrays, coder.code_size, len(coder), count)
    for number in range(len(coder)):
        codes, old = lists.take(number)
        if len(old) and not 0 <= old.min() <= old.max() < count:
            raise ValueError("it names rows that there are not")
        rows = part.rows[old]
        wanted = rows >= 0
        yield codes[wanted], np.full(int(wanted.sum()), number), rows[wanted]
        lists.release(number)


def _gather(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Join pieces until they have `COPIED` bytes."""
    gathered: list[_Piece] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += piece[0].nbytes
        if size >= COPIED:
            yield _join(gathered)
            gathered, size = [], 0
    if gathered:
        yield _join(gathered)


def _join(pieces: list[_Piece]) -> _Piece:
    codes, lists, rows = zip(*pieces, strict=True)
    return np.concatenate(codes), np.concatenate(lists), np.concatenate(rows)
