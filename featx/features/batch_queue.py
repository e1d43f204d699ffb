"""Batches in the network: computed in threads, taken in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featx.errors import ModelError
from featx.images.reading import DecodedImage, KnownImage
from featx.images.sources import ImageFailure, ImageItem
from featx.inference import AcceleratedBackbone
from featx.models.backbone import Backbone
from featx.poolings import pool_features
from featx.specs import FeatureSpec, StorageType
from featx.units import format_count
from featx.wording import option

BATCHES_AHEAD = 2
"""Batches that wait beside those that are computed."""

UNSETTLED_BYTES = 64 << 20
"""Most bytes of pixels and features that are held while the precision that computes is checked."""


@dataclass(frozen=True, slots=True)
class ComputedBatch:
    """Features of consecutive images: `features` maps each layer to (B, *shape)."""

    items: Sequence[ImageItem]
    content_hash: np.ndarray
    features: dict[str, np.ndarray]


class BatchQueue:
    """Batches in the network, in order: as many as it computes at the same time, and a few more.

    The first batch is computed alone: then the backbone knows how many it takes at a time.
    Those that wait beside them keep the network busy while parts are written. No batch leaves the
    queue before the precision in which it was computed is checked.

    Args:
        backbone: The network.
        specs: The features.
        dtype: Type of the results.
        settling: The network, if its precision may be checked while it computes.
    """

    def __init__(
        self,
        backbone: Backbone,
        specs: Sequence[FeatureSpec],
        dtype: StorageType,
        settling: AcceleratedBackbone | None = None,
    ) -> None:
        # Content hash of images that wait or are being computed → identical images.
        self._twins: dict[bytes, list[ImageItem]] = {}
        self._backbone = backbone
        self._settling = settling
        self._run = backbone if settling is None else settling.compute_unsettled
        self._specs = specs
        self._dtype = dtype
        self._names = [spec.name for spec in specs]
        self._pool: ThreadPoolExecutor | None = None
        self._batches: deque[_QueuedBatch] = deque()

    def __enter__(self) -> BatchQueue:
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
        if len(self) < self._backbone.concurrency + BATCHES_AHEAD:
            return False
        return self._is_settled or self._num_bytes >= UNSETTLED_BYTES

    @property
    def is_done(self) -> bool:
        """Whether the oldest batch is computed: it need not wait for images that come late."""
        return bool(self._batches) and self._batches[0].future.done() and self._is_settled

    @property
    def _is_settled(self) -> bool:
        return self._settling is None or self._settling.is_settled

    @property
    def _num_bytes(self) -> int:
        values = sum(math.prod(spec.shape) for spec in self._specs)
        row_bytes = values * np.dtype(self._dtype).itemsize
        return sum(
            len(batch.images) * (batch.images[0].pixels.nbytes + row_bytes)
            for batch in self._batches
        )

    def note_twin(self, image: DecodedImage) -> bool:
        """Whether an identical image waits or is being computed: this one gets its features."""
        twins = self._twins.get(image.content_hash)
        if twins is None:
            self._twins[image.content_hash] = []
            return False
        twins.append(image.item)
        return True

    def put(self, images: list[DecodedImage]) -> None:
        """Give a batch to the network."""
        if self._pool is None:
            future: Future[_Computed] = Future()
            future.set_result(self._compute(images))
            self._pool = ThreadPoolExecutor(self._backbone.concurrency, "featx-network")
        else:
            future = self._pool.submit(self._compute, images)
        self._batches.append(_QueuedBatch(images, future, []))

    def put_behind(self, result: KnownImage | ImageFailure) -> None:
        """Let a result come out after the last batch."""
        self._batches[-1].behind.append(result)

    def get(self) -> tuple[ComputedBatch, list[ImageFailure], list[KnownImage | ImageFailure]]:
        """Return the oldest batch, its failures, and what follows, such as identical images."""
        if self._settling is not None and not self._settling.settle():
            self._compute_again()
        images, future, behind = self._batches.popleft()
        batch, failed = future.result()
        same = {image.content_hash: self._twins.pop(image.content_hash, []) for image in images}
        failures = [
            ImageFailure(item.key, reason, item.size, item.mtime_ns)
            for image, reason in failed
            for item in [image.item, *same.pop(image.content_hash, [])]
        ]
        twins = [KnownImage(item, h) for h, items in same.items() for item in items]
        return batch, failures, [*twins, *behind]

    def _compute_again(self) -> None:
        """Give all batches to the network that has taken the place of another one."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        waiting, self._batches, self._pool = self._batches, deque(), None
        for batch in waiting:
            self.put(batch.images)
            self._batches[-1].behind.extend(batch.behind)

    def _compute(self, images: list[DecodedImage]) -> _Computed:
        arrays = self._run(np.stack([image.pixels for image in images]), self._names)
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
    """Separate images whose features can be stored from the others, and say why."""
    good = np.ones(len(images), dtype=bool)
    failures = []
    limit = float(np.finfo(dtype).max)
    for name, values in features.items():
        largest = np.abs(values.reshape(len(images), -1)).max(axis=1, initial=0.0)
        for row in np.flatnonzero(good & ~(largest <= limit)).tolist():  # NaN is not <= either
            if np.isfinite(largest[row]):
                reason = f"{dtype} cannot hold {largest[row]:.0f} at {name!r}: use "
                reason += option("dtype", "float32")
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
