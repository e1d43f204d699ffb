"""The loop that all of featx shares: decoded images in, pooled features out, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from featx.errors import ModelError
from featx.images.reading import DecodedImage, KnownImage, ReadResult
from featx.images.sources import ImageFailure, ImageItem
from featx.models.backbone import Backbone
from featx.models.selection import select_taps
from featx.pooling import pool_features, pooled_shape
from featx.specs import FeatureSpec, Pooling, StorageType


@dataclass(frozen=True, slots=True)
class ComputedBatch:
    """Features of consecutive images: `features` maps each tap to (B, *shape)."""

    items: Sequence[ImageItem]
    content_hash: np.ndarray
    features: dict[str, np.ndarray]


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent waiting for decoded images, in the network and in writing."""

    read: float = 0.0
    compute: float = 0.0
    write: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def total(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.perf_counter() - self.started


def plan_features(
    backbone: Backbone, layers: Sequence[str], pool: Pooling
) -> tuple[FeatureSpec, ...]:
    """Resolve ``--layer`` and ``--pool`` to feature specs, in the network's order."""
    taps = backbone.features()
    if not layers and backbone.default_layer is not None:
        layers = [backbone.default_layer]
    chosen = {tap.name for tap in select_taps(layers, taps, backbone.num_layers)}
    specs = []
    for tap in taps:
        if tap.name in chosen:
            shape = tuple(size for size in tap.shape if size is not None)
            # Pooling a vector changes nothing: the same feature gets the same fingerprint.
            applied: Pooling = "none" if len(shape) == 1 else pool
            specs.append(FeatureSpec(tap.name, tap.kind, applied, pooled_shape(shape, applied)))
    return tuple(specs)


def compute_features(
    images: Iterable[ReadResult],
    backbone: Backbone,
    specs: Sequence[FeatureSpec],
    *,
    batch_size: int,
    dtype: StorageType = "float32",
    stopwatch: Stopwatch | None = None,
    known: Container[bytes] | None = None,
) -> Iterator[ComputedBatch | KnownImage | ImageFailure]:
    """Run images through a backbone, several taps in one pass, pooled and cast.

    Args:
        images: What `featx.images.reading.read_images` yields.
        backbone: The model.
        specs: The features, from `plan_features`.
        batch_size: Images for each run of the network; the last batch may be smaller.
        dtype: Type of the results.
        stopwatch: Gets the time spent reading and computing.
        known: Content hashes that have features; the caller adds those of each batch. Identical
            images are then computed once, and the others come as "known", behind the batch. When
            None, each is computed.

    Yields:
        Batches, and failures and known images as they come. An image for which the
        network gives NaN, infinity or more than `dtype` holds is a failure.

    Raises:
        ModelError: If a tap does not give one row for each image.
    """
    watch = stopwatch or Stopwatch()
    names = [spec.name for spec in specs]
    waiting: list[DecodedImage] = []
    twins: dict[bytes, list[ImageItem]] = {}  # of the images that wait
    source = iter(images)
    while True:
        began = time.perf_counter()
        result = next(source, None)
        watch.read += time.perf_counter() - began
        if isinstance(result, DecodedImage):
            if known is not None and result.content_hash in known:
                yield KnownImage(result.item, result.content_hash)
            elif known is not None and result.content_hash in twins:
                twins[result.content_hash].append(result.item)
            else:
                waiting.append(result)
                twins[result.content_hash] = []
        elif result is not None:
            yield result
        if waiting and (result is None or len(waiting) >= batch_size):
            began = time.perf_counter()
            arrays = backbone(np.stack([image.pixels for image in waiting]), names)
            _check_rows(arrays, len(waiting))
            pooled = {spec.name: pool_features(arrays[spec.name], spec.pool) for spec in specs}
            batch, failed = _split_storable(waiting, pooled, dtype)
            watch.compute += time.perf_counter() - began
            same, waiting, twins = twins, [], {}
            for image, reason in failed:
                for item in [image.item, *same.pop(image.content_hash, [])]:
                    yield ImageFailure(item.key, reason, item.size, item.mtime_ns)
            if batch.items:
                yield batch
            yield from (KnownImage(item, h) for h, items in same.items() for item in items)
        if result is None:
            return


def _check_rows(arrays: dict[str, np.ndarray], count: int) -> None:
    """Refuse a tap that does not give one row for each image, such as windows or patches."""
    for name, values in arrays.items():
        if len(values) != count:
            raise ModelError(
                f"A tap gives one row for each image. Received: {len(values)} rows of {name!r} "
                f"for {count} images. Choose a layer before or after it."
            )


def _split_storable(
    images: Sequence[DecodedImage], features: dict[str, np.ndarray], dtype: StorageType
) -> tuple[ComputedBatch, list[tuple[DecodedImage, str]]]:
    """Separate images whose features can be stored from those that have other values, and why."""
    good = np.ones(len(images), dtype=bool)
    failures = []
    limit = float(np.finfo(dtype).max)
    for name, values in features.items():
        largest = np.abs(values.reshape(len(images), -1)).max(axis=1, initial=0.0)
        for row in np.flatnonzero(good & ~(largest <= limit)).tolist():  # NaN is not <= either
            if np.isfinite(largest[row]):
                reason = f"{dtype} cannot hold {largest[row]:.0f} at {name!r}: use --dtype float32"
            else:
                reason = f"the model gives NaN or infinity at {name!r}"
            failures.append((images[row], reason))
            good[row] = False
    kept = np.flatnonzero(good).tolist()
    hashes = np.frombuffer(b"".join(image.content_hash for image in images), np.uint8)
    batch = ComputedBatch(
        items=[images[row].item for row in kept],
        content_hash=hashes.reshape(len(images), -1)[kept],
        # No copy where none is needed: a row may be 50 MB.
        features={
            name: (values[kept] if failures else values).astype(dtype, copy=False)
            for name, values in features.items()
        },
    )
    return batch, failures
