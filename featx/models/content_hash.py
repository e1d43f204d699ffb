"""SHA-256 of weights and files, by which a model is identified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def hash_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of arrays in order: type, shape and little-endian bytes of each.

    Example:
        >>> hash_arrays([np.zeros(2)]) == hash_arrays([np.zeros((2, 1))])
        False
    """
    sha = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{little.dtype.name} {array.shape};".encode())
        sha.update(little.tobytes())
    return sha.hexdigest()


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 of files in order: path relative to `root`, length and content."""
    sha = hashlib.sha256()
    for path in files:
        sha.update(f"{path.relative_to(root).as_posix()} {os.path.getsize(path)};".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def hash_texts(texts: Iterable[str]) -> str:
    """Return the SHA-256 of texts in order.

    Example:
        >>> hash_texts(["a", "b"]) == hash_texts(["ab"])
        False
    """
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
