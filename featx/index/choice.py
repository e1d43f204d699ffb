"""The kind of index that ``auto`` stands for."""

from __future__ import annotations

from featx.errors import InvalidValue
from featx.index.kinds import AUTO, FACTORY
from featx.index.options import IndexOptions
from featx.index.recipes import parse_recipe
from featx.wording import option

EXACT, LISTS, SMALL_LISTS = "flat", "ivf", "ivf-rabitq"

EXACT_RATE = 5e6
"""Values that an exact search compares in a millisecond: 1,000,000 x 256 in 51 ms, on two cores
(`python -m benchmarks.indexes`)."""

ROW_BYTES = 8
"""Bytes of a vector in a list besides its values."""


def vector_bytes(kind: str, count: int, width: int) -> int | None:
    """Return the bytes of N vectors of D values, with their row numbers; None if not known.

    Example:
        >>> vector_bytes("ivf", 1_000_000, 1280)
        1288000000
    """
    sizes = {
        EXACT: 4 * width,
        LISTS: width + ROW_BYTES,
        SMALL_LISTS: -(-width // 8) + 2 * ROW_BYTES,  # With what RaBitQ corrects a product by.
    }
    return sizes[kind] * count if kind in sizes else None


def choose_kind(kind: str, count: int, width: int, options: IndexOptions) -> str:
    """Return the name of a kind of index.

    Args:
        kind: A name, which is returned, or ``auto``.
        count: N.
        width: D.
        options: The time and memory that a search may take.

    Example:
        >>> choose_kind("auto", 10_000, 1280, IndexOptions())
        'flat'
        >>> choose_kind("auto", 1_000_000, 1280, IndexOptions())
        'ivf'
        >>> choose_kind("auto", 1_000_000, 1280, IndexOptions(max_memory=10**9))
        'ivf-rabitq'

    Raises:
        InvalidValue: If a factory string is missing, goes with no such kind, or is none.
    """
    if options.factory is not None:
        parse_recipe(options.factory)
        if kind not in (AUTO, FACTORY):
            raise InvalidValue(
                f"A factory string is in place of a kind. Received: {option('kind', kind)}, "
                f"{option('factory', options.factory)}."
            )
        return FACTORY
    if kind == FACTORY:
        raise InvalidValue(
            f"{option('kind', FACTORY)} takes a factory string, such as "
            f"{option('factory', 'OPQ64,IVF4096,PQ64')}."
        )
    if kind != AUTO:
        return kind
    memory = options.max_memory
    in_time = count * width <= EXACT_RATE * options.max_query_time
    for name in (EXACT, LISTS) if in_time else (LISTS,):
        if memory is None or (vector_bytes(name, count, width) or 0) <= memory:
            return name
    return SMALL_LISTS
