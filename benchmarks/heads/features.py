"""Features to fit heads on: made up, or those of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import featx
from featx.files import HASH_BYTES
from featx.images.roots import Root
from featx.input_spec import InputSpec
from featx.specs import FeatureSpec, ModelSpec
from featx.store.rows import Announced, Rows, StoreHeader
from featx.store.writing import write_store

BLOCK = 10_000


@dataclass(frozen=True, slots=True)
class Shape:
    """N rows of D values in C classes."""

    rows: int
    width: int
    classes: int

    def __str__(self) -> str:
        return f"{self.rows:,} × {self.width:,}, {self.classes} classes"


def make_blocks(shape: Shape, seed: int = 0) -> Blocks:
    """Yield vectors (n, D) and class numbers (n,) like those of a pooled last layer.

    Never negative, with correlated values whose variance falls off, and classes that overlap.
    """
    random = np.random.default_rng(seed)
    decay = np.exp(-np.arange(shape.width) / (shape.width / 6))
    mixing = random.normal(size=(shape.width, shape.width)) * decay[:, np.newaxis]
    mixing = np.asarray(mixing / np.sqrt(np.square(mixing).sum(axis=0)), np.float32)
    # Wider features of more classes need means that are nearer for the same accuracy.
    means = 1.5 * random.normal(size=(shape.classes, shape.width)).astype(np.float32) * decay
    for start in range(0, shape.rows, BLOCK):
        targets = np.arange(start, min(start + BLOCK, shape.rows)) % shape.classes
        noise = random.standard_normal((len(targets), shape.width), dtype=np.float32)
        values = (noise + means[targets].astype(np.float32) * 0.35) @ mixing
        yield np.maximum(values + 0.3, 0), targets


Blocks = Iterator[tuple[np.ndarray, np.ndarray]]
"""Vectors, (n, D), and class numbers, (n,)."""


def write_features(path: Path, shape: Shape, blocks: Blocks | None = None) -> None:
    """Write a store of made-up features: those of `make_blocks`, or others of the same shape."""
    header = StoreHeader(
        model=ModelSpec("file", "n.keras", (), "/n.keras", "0" * 64, InputSpec(8, 8)),
        features=(FeatureSpec("vector", "layer", "none", (shape.width,)),),
        dtype="float32",
        root=Root.parse("/photos"),
        root_relative="photos",
        request={"model": "file:n.keras"},
        runs=({"started": "2026-01-31T09:30:00+00:00", "featx": "benchmark", "computed": 0},),
    )
    names = [f"class{number:05d}" for number in range(shape.classes)]
    announced = Announced(shape.rows, key_bytes=13, classes=set(names))
    write_store(path, header, _rows(blocks or make_blocks(shape), names), announced)


def _rows(blocks: Blocks, names: list[str]) -> Iterator[Rows]:
    start = 0
    for values, targets in blocks:
        count = len(targets)
        keys = [f"{number:09d}.jpg" for number in range(start, start + count)]
        hashes = b"".join(
            hashlib.blake2b(key.encode(), digest_size=HASH_BYTES).digest() for key in keys
        )
        yield Rows(
            keys=keys,
            content_hash=np.frombuffer(hashes, np.uint8).reshape(count, HASH_BYTES),
            labels=[names[target] for target in targets],
            file_size=np.ones(count, np.int64),
            file_mtime_ns=np.ones(count, np.int64),
            features={"vector": values},
        )
        start += count


def read_features(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (N, D) and class numbers (N,) of a store."""
    with featx.open_store(path) as store:
        table = store.table()
    _, targets = np.unique(np.array(table.labels), return_inverse=True)
    return table.values.reshape(len(targets), -1), targets
