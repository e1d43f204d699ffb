"""The memory that building an index takes, within what is allowed."""

from __future__ import annotations

from featx.index.kinds import Space
from featx.index.options import IndexOptions
from featx.units import format_bytes
from featx.wording import option

FIXED = 250_000_000
"""Bytes of Python with NumPy, FAISS and h5py, of blocks of the store and their scores, and of lists
that are put in order."""

NAMES = 300
"""Bytes of an image: its key, its hashes, its list."""

TRAINING_SHARE = 0.5
"""Of the memory that is left, for vectors to train on: they are held twice for a moment."""

FEWEST_BYTES = 16 << 20
"""Of vectors to train on: so many are taken however little is allowed, or an index would be bad."""


def least_memory(space: Space) -> int:
    """Return what building takes in bytes, about, besides vectors to train on.

    Example:
        >>> least_memory(Space(1_000_000, 1280))
        550000000
    """
    return FIXED + NAMES * space.count


def bound_training(wanted: int, space: Space, limit: int | None) -> int:
    """Return how many vectors to train on, of as many as a kind asks for.

    Args:
        wanted: That many.
        space: The vectors.
        limit: Bytes that building may take; as many as there are when None.

    Example:
        >>> bound_training(65_536, Space(1_000_000, 1280), 10**9)
        43945
    """
    if limit is None:
        return wanted
    allowed = max(FEWEST_BYTES, int(TRAINING_SHARE * (limit - least_memory(space))))
    return min(wanted, max(1, allowed // (4 * space.width)))


def describe_excess(space: Space, vectors: int | None, options: IndexOptions) -> str | None:
    """Say what takes more than is allowed; None if nothing does.

    Args:
        space: The vectors.
        vectors: Bytes that those of the chosen kind take in a search; None if it is not known.
        options: What is allowed.
    """
    limit = options.max_memory
    if limit is None:
        return None
    parts = [
        f"{what} about {format_bytes(size)}"
        for what, size in (("a search takes", vectors), ("building takes", least_memory(space)))
        if size is not None and size > limit
    ]
    if not parts:
        return None
    return f"{', '.join(parts)}: more than {option('max_memory', limit)} allows"
