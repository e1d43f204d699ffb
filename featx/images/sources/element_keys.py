"""Keys of pictures that come without one: their numbers, or their content if they are shuffled."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np

SHUFFLED_NOTE = (
    "the dataset shuffles its pictures: their keys are hashes of their pixels, not numbers"
)


def shuffles(dataset: Any) -> bool:
    """Whether a ``tf.data.Dataset`` gives its elements in another order each time.

    Only steps that can be seen from outside: not those in a function that it calls.
    """
    waiting = [dataset]
    while waiting:
        step = waiting.pop()
        if "shuffle" in type(step).__name__.lower():
            return True
        inputs = getattr(step, "_inputs", None)  # How tf.data itself walks through a dataset.
        waiting += inputs() if callable(inputs) else ()
    return False


class NumberKeys:
    """Numbers the pictures as they come: ``00000``, ``00001``."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, image: Any) -> str:
        """Return the key of the next picture."""
        self._count += 1
        return f"{self._count - 1:05d}"


class ContentKeys:
    """Names pictures by their pixels, or by their bytes where these are a file's.

    Of identical ones, which nobody can tell apart, the second is ``HASH-2``.

    Example:
        >>> keys = ContentKeys()
        >>> keys(b"a file") == ContentKeys()(b"a file"), keys(b"a file")[-2:]
        (True, '-2')
    """

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def __call__(self, image: Any) -> str:
        """Return the key of a picture."""
        content = image
        if not isinstance(image, (bytes, bytearray, memoryview)):
            pixels = np.ascontiguousarray(image)
            content = f"{pixels.dtype.name} {pixels.shape};".encode() + pixels.tobytes()
        key = hashlib.blake2b(content, digest_size=16).hexdigest()
        self._times[key] += 1
        return key if self._times[key] == 1 else f"{key}-{self._times[key]}"
