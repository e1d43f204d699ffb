"""How many threads a fit uses, and what they do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from threading import Thread
from typing import TypeVar

from featx.heads.kinds import Examples
from featx.heads.stored_values import are_stored
from featx.machine import available_cores
from featx.numeric_threads import one_thread

Result = TypeVar("Result")

SMALL_PROBLEM = 500_000_000
"""Multiplications of one pass over the data (N x D x C) up to which one thread is used. A pass
then takes milliseconds: more threads gain little, and where another program uses the cores they
wait for each other at every step (measured: 44 s instead of 3 s)."""

SMALL_BLOCKS = 50_000_000
"""The same where blocks are divided among threads, which do not wait for each other in a loop."""

BLOCK_SHARE = 4
"""Such blocks are a quarter of others, so that some thousand rows are several. Those that are read
from the disk are not: parts of the file would be read several times."""


def threads_for(examples: Examples) -> AbstractContextManager[None]:
    """Keep numerical libraries to one thread where more would cost time."""
    return one_thread() if _is_small(examples, SMALL_PROBLEM) else nullcontext()


def over_blocks(function: Callable[[Examples], Result], examples: Examples) -> Iterator[Result]:
    """Yield what a function makes of each block of examples, in the order of the blocks.

    Of a large problem, as many blocks are at work as there are cores. The threads of a numerical
    library wait for each other in a loop instead: on a busy machine, one product with two of them
    took seven times the CPU that it took with one.
    """
    share = 1 if are_stored(examples.values) else BLOCK_SHARE
    rows = list(examples.block_rows(share))
    if len(rows) == 1 or _is_small(examples, SMALL_BLOCKS):
        yield from (function(examples.take(one)) for one in rows)
        return
    with ThreadPoolExecutor(available_cores()) as pool:
        yield from pool.map(lambda one: function(examples.take(one)), rows)


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Import what is needed later, while the disk is waited for: a core is idle then."""
    thread = Thread(target=import_module, args=(module,))
    thread.start()
    try:
        yield
    finally:
        thread.join()  # Two threads that import what depends on each other may lock each other.


def _is_small(examples: Examples, most: int) -> bool:
    count, width = examples.values.shape
    return bool(count * width * examples.num_classes <= most)
