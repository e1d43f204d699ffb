"""Stores of vectors that are known, with pictures where a test needs some; no network runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from featx.files import hash_content
from featx.store.rows import Announced, StoreFacts, longest_key
from featx.store.writing import write_store
from tests.store_samples import make_header, make_rows


def make_classes(
    sizes: Sequence[int], *, width: int = 32, spread: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Return vectors around a centre for each class, float32 (N, width), and their labels."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(len(sizes), width))
    targets = np.repeat(np.arange(len(sizes)), sizes)
    values = centres[targets] + spread * random.normal(size=(len(targets), width))
    return values.astype(np.float32), [f"class_{target}" for target in targets]


def write_vectors(
    path: Path,
    values: np.ndarray,
    keys: Sequence[str] = (),
    *,
    labels: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
    contents: Sequence[str] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    weights: str = "0" * 64,
) -> Path:
    """Write a store of one layer, and its pictures into a folder beside it."""
    root = path.parent / "pictures"
    keys = list(keys) or [f"{number:06d}.png" for number in range(len(values))]
    header = make_header(
        {"vector": values.shape[1:]},
        root=root,
        root_relative="pictures",
        weights=weights,
        single_file_limit=1 << 40,
    )
    rows = make_rows({"vector": values}, keys, labels=labels, contents=contents)
    names = sorted({label for label in labels or () if label is not None})
    rows = replace(rows, splits=tuple(splits or (None,) * len(keys)))
    for key, data in (pictures or {}).items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
        place = keys.index(key)
        hashes = rows.content_hash.copy()
        hashes[place] = np.frombuffer(hash_content(data), np.uint8)
        sizes = rows.file_size.copy()
        sizes[place] = len(data)
        rows = replace(rows, content_hash=hashes, file_size=sizes)
    announced = Announced(
        len(keys),
        key_bytes=longest_key(keys) if keys else 1,
        classes=names,
        splits={split for split in splits or () if split is not None},
    )
    write_store(path, header, [rows], announced, StoreFacts())
    return path
