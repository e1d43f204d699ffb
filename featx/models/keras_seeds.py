"""Seeds for Keras's initialisers, without a draw from the random numbers of the program."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

from featx.forks import ProcessLock

_lock = ProcessLock()
_drawing = ProcessLock()


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


class _Zeros:
    """Keras's module of random numbers as its initialisers use it, with zeros for one thread."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._owner = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        draws = name in ("uniform", "normal", "truncated_normal")
        if draws and threading.get_ident() == self._owner:
            return self._zeros
        return getattr(self._module, name)

    def _zeros(self, shape: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
        from keras import ops

        return ops.zeros(shape, dtype or "float32")


@contextlib.contextmanager
def without_drawing() -> Iterator[None]:
    """Let this thread build networks of zeros, whose weights are then read from a file.

    Of VGG19, drawing 144 million numbers takes three quarters of the time of building.
    """
    from keras.src.initializers import random_initializers

    with _drawing:
        module = random_initializers.random
        random_initializers.random = _Zeros(module)
        try:
            yield
        finally:
            random_initializers.random = module
