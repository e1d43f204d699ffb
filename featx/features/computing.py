"""The loop that all of featx shares: decoded images in, pooled features out, batch by batch."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Container, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from featx.errors import ModelError
from featx.images.reading import DecodedImage, KnownImage, ReadResult
from featx.images.sources import ImageFailure, ImageItem
from featx.models.backbone import Backbone
from featx.models.selection import select_layers
from featx.poolings import POOLINGS, pool_features, pooled_shape
from featx.specs import FeatureSpec, StorageType
from featx.units import format_count

BATCH_BYTES = 64 << 20
"""Most bytes of unpooled maps in one batch: layers of many megabytes get smaller batches."""

BATCHES_AHEAD = 2
"""Batches that wait beside those that are computed."""


@dataclass(frozen=True, slots=True)
class ComputedBatch:
    """Features of consecutive images: `features` maps each layer to (B, *shape)."""

    items: Sequence[ImageItem]
    content_hash: np.ndarray
    features: dict[str, np.ndarray]


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent waiting for decoded images, waiting for the network, and writing."""

    read: float = 0.0
    compute: float = 0.0
    write: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def total(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.perf_counter() - self.started


def plan_features(backbone: Backbone, layers: Sequence[str], pool: str) -> tuple[FeatureSpec, ...]:
    """Resolve ``--layer`` and ``--pool`` to feature specs, in the network's order."""
    available = backbone.features()
    if not layers and backbone.default_layer is not None:
        layers = [backbone.default_layer]
    chosen = {layer.name for layer in select_layers(layers, available, backbone.num_layers)}
    specs = []
    for layer in available:
        if layer.name in chosen:
            shape = tuple(size for size in layer.shape if size is not None)
            # Pooling a vector changes nothing: the same feature gets the same fingerprint.
            applied = "none" if len(shape) == 1 else pool
            pooled, package = pooled_shape(shape, applied), POOLINGS.package_of(applied)
            specs.append(FeatureSpec(layer.name, layer.kind, applied, pooled, package))
    return tuple(specs)


def compute_features(
    images: Iterable[ReadResult],
    backbone: Backbone,
    specs: Sequence[FeatureSpec],
    *,
    batch_size: int | None = None,
    dtype: StorageType = "float32",
    stopwatch: Stopwatch | None = None,
    known: Container[bytes] | None = None,
) -> Generator[ComputedBatch | KnownImage | ImageFailure, None, None]:
    """Run images through a backbone, several layers in one pass, pooled and cast.

    Args:
        images: What `featx.images.reading.read_images` yields.
        backbone: The model.
        specs: The features, from `plan_features`.
        batch_size: Images for each run of the network; the last batch may be smaller. What suits
            the backbone when None.
        dtype: Type of the results.
        stopwatch: Gets the time spent waiting for images and for the network.
        known: Content hashes that have features; the caller adds those of each batch. Identical
            images are then computed once, and the others come as "known", behind the batch. When
            None, each is computed.

    Yields:
        Batches, and failures and known images as they come. An image for which the
        network gives NaN, infinity or more than `dtype` holds is a failure.

    Raises:
        ModelError: If a layer does not give one row for each image.
    """
    watch = stopwatch or Stopwatch()
    queue = _BatchQueue(backbone, specs, dtype)
    waiting: list[DecodedImage] = []
    errors: list[Exception] = []
    source = _until_error(images, errors)
    most = max_batch_size(backbone, [spec.name for spec in specs])
    with queue, contextlib.closing(source):
        while True:
            began = time.perf_counter()
            result = next(source, None)
            watch.read += time.perf_counter() - began
            if isinstance(result, DecodedImage):
                if known is not None and result.content_hash in known:
                    yield KnownImage(result.item, result.content_hash)
                elif known is not None and result.content_hash in queue.twins:
                    queue.twins[result.content_hash].append(result.item)
                else:
                    waiting.append(result)
                    if known is not None:
                        queue.twins[result.content_hash] = []
            elif result is not None and len(queue):
                queue.put_behind(result)  # In order: who stops at a failure has what was before.
            elif result is not None:
                yield result
            size = min(batch_size or backbone.batch_size, most)
            if waiting and (result is None or len(waiting) >= size):
                began = time.perf_counter()
                queue.put(waiting)  # The first batch is computed there and then.
                watch.compute += time.perf_counter() - began
                waiting = []
            while queue.is_full or queue.is_done or (result is None and len(queue)):
                began = time.perf_counter()
                batch, failures, behind = queue.get()
                watch.compute += time.perf_counter() - began
                yield from failures
                if batch.items:
                    yield batch
                yield from behind
            if result is None:
                break
    if errors:
        raise errors[0]


def max_batch_size(backbone: Backbone, names: Sequence[str]) -> int:
    """Return how many images at most are given to a network at a time, where its maps are large."""
    sizes = [layer.num_bytes or 0 for layer in backbone.features() if layer.name in names]
    return max(1, BATCH_BYTES // max(1, sum(sizes)))


def _until_error(
    images: Iterable[ReadResult], errors: list[Exception]
) -> Generator[ReadResult, None, None]:
    """Yield what comes, and end where it fails: what came before is computed first."""
    try:
        yield from images
    except Exception as error:
        errors.append(error)


class _BatchQueue:
    """Batches in the network, in order: as many as it computes at the same time, and a few more.

    The first batch is computed alone: then the backbone knows how many it takes at a time.
    Those that wait beside them keep the network busy while parts are written.

    Attributes:
        twins: Content hashes of images that wait or are being computed → identical images.
    """

    def __init__(
        self, backbone: Backbone, specs: Sequence[FeatureSpec], dtype: StorageType
    ) -> None:
        self.twins: dict[bytes, list[ImageItem]] = {}
        self._backbone = backbone
        self._specs = specs
        self._dtype = dtype
        self._names = [spec.name for spec in specs]
        self._pool: ThreadPoolExecutor | None = None
        self._batches: deque[_QueuedBatch] = deque()

    def __enter__(self) -> _BatchQueue:
        return self

    def __exit__(self, *exception: object) -> None:
        for batch in self._batches:
            batch.future.cancel()
        if self._pool is not None:
            self._pool.shutdown()

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether a result has to be taken before the next batch is put."""
        return len(self) >= (
            1 if self._pool is None else self._backbone.concurrency + BATCHES_AHEAD
        )

    @property
    def is_done(self) -> bool:
        """Whether the oldest batch is computed: it must not wait for those who come late."""
        return bool(self._batches) and self._batches[0].future.done()

    def put(self, images: list[DecodedImage]) -> None:
        """Give a batch to the network."""
        if self._pool is None:
            future: Future[_Computed] = Future()
            future.set_result(self._compute(images))
        else:
            future = self._pool.submit(self._compute, images)
        self._batches.append(_QueuedBatch(images, future, []))

    def put_behind(self, result: KnownImage | ImageFailure) -> None:
        """Have something come out behind the last batch."""
        self._batches[-1].behind.append(result)

    def get(self) -> tuple[ComputedBatch, list[ImageFailure], list[KnownImage | ImageFailure]]:
        """Return the oldest batch, its failures, and what follows, such as identical images."""
        images, future, behind = self._batches.popleft()
        batch, failed = future.result()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._backbone.concurrency, "featx-network")
        same = {image.content_hash: self.twins.pop(image.content_hash, []) for image in images}
        failures = [
            ImageFailure(item.key, reason, item.size, item.mtime_ns)
            for image, reason in failed
            for item in [image.item, *same.pop(image.content_hash, [])]
        ]
        twins = [KnownImage(item, h) for h, items in same.items() for item in items]
        return batch, failures, [*twins, *behind]

    def _compute(self, images: list[DecodedImage]) -> _Computed:
        arrays = self._backbone(np.stack([image.pixels for image in images]), self._names)
        _check_rows(arrays, len(images))
        pooled = {spec.name: pool_features(arrays[spec.name], spec.pool) for spec in self._specs}
        return _split_storable(images, pooled, self._dtype)


_Computed = tuple[ComputedBatch, list[tuple[DecodedImage, str]]]


class _QueuedBatch(NamedTuple):
    images: list[DecodedImage]
    future: Future[_Computed]
    behind: list[KnownImage | ImageFailure]


def _check_rows(arrays: dict[str, np.ndarray], count: int) -> None:
    """Refuse a layer that does not give one row for each image, such as windows or patches."""
    for name, values in arrays.items():
        if len(values) != count:
            raise ModelError(
                f"A layer gives one row for each image. Received: "
                f"{format_count(len(values), 'row')} of {name!r} for "
                f"{format_count(count, 'image')}. Choose a layer before or after it."
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
