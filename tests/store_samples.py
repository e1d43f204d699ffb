"""Small stores and pictures with known content, for the tests of stores, heads and indexes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featx.images.reading import HASH_BYTES
from featx.images.sources import ImageFailure
from featx.specs import FeatureSpec, InputSpec, ModelSpec, Pooling, StorageType
from featx.store import open_store
from featx.store.format import write_store
from featx.store.parts import longest_key
from featx.store.rows import Rows, StoreFacts, StoreHeader

Color = tuple[int, int, int]


def make_model(weights: str = "0" * 64) -> ModelSpec:
    return ModelSpec(
        source="file",
        name="net.keras",
        arguments=(),
        location="/models/net.keras",
        weights_sha256=weights,
        input=InputSpec(8, 8, scaling="unit"),
    )


def make_header(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    dtype: StorageType = "float32",
    pool: Pooling = "none",
    weights: str = "0" * 64,
    root: Path = Path("/photos"),
    root_relative: str = "photos",
) -> StoreHeader:
    return StoreHeader(
        model=make_model(weights),
        features=tuple(FeatureSpec(name, "layer", pool, shape) for name, shape in shapes.items()),
        dtype=dtype,
        root=str(root),
        root_relative=root_relative,
        request={"model": "file:net.keras"},
        runs=({"started": "2026-01-31T09:30:00+00:00", "featx": "test", "computed": 0},),
    )


def content_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=HASH_BYTES).digest()


def make_rows(
    features: Mapping[str, np.ndarray],
    keys: Sequence[str] = (),
    *,
    labels: Sequence[str | None] | None = None,
    contents: Sequence[str] | None = None,
) -> Rows:
    """Rows whose content hashes are those of their keys, unless `contents` says otherwise."""
    count = len(next(iter(features.values())))
    keys = list(keys) or [f"image_{number}.png" for number in range(count)]
    hashes = b"".join(content_hash(text) for text in (contents or keys))
    return Rows(
        keys=keys,
        content_hash=np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
        labels=list(labels) if labels is not None else [None] * count,
        file_size=np.arange(100, 100 + count, dtype=np.int64),
        file_mtime_ns=np.arange(10**18, 10**18 + count, dtype=np.int64),
        features=features,
    )


def write_sample(
    path: Path,
    features: Mapping[str, np.ndarray],
    keys: Sequence[str] = (),
    *,
    labels: Sequence[str | None] | None = None,
    contents: Sequence[str] | None = None,
    failures: Sequence[ImageFailure] = (),
    **header: Any,
) -> StoreHeader:
    """Write a store of one block; the shapes are those of the arrays."""
    made = make_header({name: values.shape[1:] for name, values in features.items()}, **header)
    rows = make_rows(features, keys, labels=labels, contents=contents)
    write_store(
        path,
        made,
        num_rows=len(rows.keys),
        classes={label for label in rows.labels if label is not None},
        blocks=[rows],
        key_bytes=longest_key(iter(rows.keys)),
        facts=StoreFacts(failures=failures),
    )
    return made


def write_color(path: Path, color: Color, *, mtime: int | None = None) -> Path:
    """Write a picture of one colour; `mtime` in seconds since the epoch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path, "PNG")
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def mean_of(color: Color) -> list[float]:
    """What the toy's tap ``mean`` gives for a picture of one colour."""
    return (np.array(color, np.float32) / np.float32(255)).tolist()


def means(path: Path) -> dict[str, list[float]]:
    """Key → row of the tap ``mean``, in the order of the store."""
    with open_store(path) as store:
        return dict(zip(store.keys, store.features("mean")[:].tolist(), strict=True))


def all_rows(path: Path) -> list[tuple[Any, ...]]:
    """Everything that a store holds of its rows, in order: two stores are equal if these are."""
    with open_store(path) as store:
        taps = [store.features(tap)[:] for tap in store.taps]
        columns = [store.keys, store.labels, store.file_size, store.file_mtime_ns]
        rows = [
            (
                *(column[row] for column in columns),
                store.content_hash[row].tobytes(),
                *(values[row].tobytes() for values in taps),
            )
            for row in range(len(store))
        ]
        return [*rows, ("failures", *sorted(store.failures, key=lambda f: f.key))]
