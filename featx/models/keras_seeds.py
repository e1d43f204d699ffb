"""Seeds for Keras's initialisers, without a draw from the random numbers of the program."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

from featx.forks import ProcessLock

_lock = ProcessLock()


class _Seeds:
    """The module `random` as Keras uses it, with numbers of its own for one thread."""

    def __init__(self, seed: int) -> None:
        self._owner = threading.get_ident()
        self._own = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own if threading.get_ident() == self._owner else random, name)


@contextlib.contextmanager
def own_seeds(seed: int = 0) -> Iterator[None]:
    """Let this thread draw Keras's seeds from a generator of its own.

    Keras draws them from Python's generator, whose numbers are the program's: they would have to
    be put back, and its other threads draw some meanwhile.
    """
    from keras.src.random import seed_generator

    with _lock:
        seed_generator.python_random = _Seeds(seed)
        try:
            yield
        finally:
            seed_generator.python_random = random
