"""Queries on the standard input: a picture, or names of pictures and keys, one in each line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featx.errors import InvalidValue
from featx.images.roots import is_url
from featx.images.sources import Images
from featx.index.vector_index import VectorIndex

PIPE = "-"
"""What names the standard input among queries."""


@dataclass(frozen=True, slots=True)
class Queries:
    """What is asked.

    Attributes:
        images: Pictures.
        keys: Keys of images of the index.
    """

    images: Images
    keys: tuple[str, ...] = ()

    @property
    def has_images(self) -> bool:
        """Whether there are pictures, or may be."""
        return not isinstance(self.images, (list, tuple)) or len(self.images) > 0


def read_piped(queries: Queries, index: VectorIndex) -> Queries:
    """Return queries with what the standard input holds in place of ``-``.

    That is a picture, or a list with a path, URL or key in each line; if it holds a zero byte, zero
    bytes separate them, as ``find -print0`` writes them. What is no file is a key of the index.

    Raises:
        InvalidValue: If it is empty, or a picture beside other queries.
    """
    images: Any = queries.images
    given = [images] if isinstance(images, str) else images
    if not isinstance(given, (list, tuple)) or not any(_is_pipe(one) for one in given):
        return queries
    others = [one for one in given if not _is_pipe(one)]
    data = sys.stdin.buffer.read()
    names = _list_names(data)
    if not names:
        raise InvalidValue("The standard input is empty: a picture, or names of pictures expected.")
    if not _is_file(names[0]) and names[0] not in index and _is_picture(data):
        if others:
            raise InvalidValue("A picture on the standard input is the only one that is searched.")
        return Queries([("stdin", data)], queries.keys)
    # One look at all keys: each one that is looked for alone reads all of them.
    known = {name for name in set(names).intersection(index.description.keys) if not _is_file(name)}
    keys = [name for name in names if name in known]
    pictures = [name for name in names if name not in known]
    return Queries([*others, *pictures], (*queries.keys, *keys))


def _is_pipe(query: object) -> bool:
    return isinstance(query, str) and query == PIPE


def _list_names(data: bytes) -> Sequence[str]:
    text = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))
    lines = text.split("\0") if "\0" in text else [line.rstrip("\r") for line in text.split("\n")]
    return list(dict.fromkeys(line for line in lines if line.strip()))


def _is_file(name: str) -> bool:
    return is_url(name) or os.path.lexists(name)


def _is_picture(data: bytes) -> bool:
    from featx.images.formats import open_picture

    try:
        open_picture(data).close()
    except Exception:  # It is a list, whose names are looked for.
        return False
    return True
