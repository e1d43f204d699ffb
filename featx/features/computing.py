"""The loop behind every command that computes: decoded images in, pooled features out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container, Generator, Iterable, Iterator, Sequence

from featx.features.batch_queue import BatchQueue, ComputedBatch
from featx.images.reading import DecodedImage, KnownImage, ReadResult
from featx.images.sources import ImageFailure
from featx.inference import AcceleratedBackbone
from featx.models.backbone import Backbone
from featx.models.selection import select_layers
from featx.poolings import POOLINGS, pooled_shape
from featx.specs import FeatureSpec, StorageType

BATCH_BYTES = 64 << 20
"""Most bytes of unpooled maps in one batch: layers of many megabytes get smaller batches."""


class Stopwatch:
    """Measures where the time of a run goes.

    Attributes:
        seconds: ``read``: waiting for decoded images; ``compute``: waiting for the network;
            ``write``: writing parts and the store.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("read", "compute", "write"), 0.0)
        self._started = time.perf_counter()

    @property
    def total(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.perf_counter() - self._started

    @contextlib.contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Add the time that a block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - began


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
    settling: AcceleratedBackbone | None = None,
) -> Generator[ComputedBatch | KnownImage | ImageFailure, None, None]:
    """Run images through a backbone, several layers in one pass, pooled and cast.

    Args:
        images: What `featx.images.reading.read_images` yields.
        backbone: The model.
        specs: The features, from `plan_features`.
        batch_size: Images for each run of the network; the last batch may be smaller. What suits
            the backbone when None.
        dtype: Type of the results.
        stopwatch: Measures the waiting for images and for the network.
        known: Content hashes that have features; the caller adds those of each batch. Identical
            images are then computed once, and the others come as "known", behind the batch. When
            None, each is computed.
        settling: The backbone, if its precision may be checked while it computes; what did not suit
            is computed again before it is yielded.

    Yields:
        Batches, and failures and known images as they come. An image for which the
        network gives NaN, infinity or more than `dtype` holds is a failure.

    Raises:
        ModelError: If a layer does not give one row for each image.
    """
    watch = stopwatch or Stopwatch()
    queue = BatchQueue(backbone, specs, dtype, settling)
    waiting: list[DecodedImage] = []
    errors: list[Exception] = []
    source = _until_error(images, errors)
    most = max_batch_size(backbone, [spec.name for spec in specs])
    with queue, contextlib.closing(source):
        while True:
            with watch.timing("read"):
                result = next(source, None)
            if isinstance(result, DecodedImage):
                if known is not None and result.content_hash in known:
                    yield KnownImage(result.item, result.content_hash)
                elif known is None or not queue.note_twin(result):
                    waiting.append(result)
            elif result is not None and len(queue):
                queue.put_behind(result)  # In order: a run that a failure stops keeps all before.
            elif result is not None:
                yield result
            size = min(batch_size or backbone.batch_size, most)
            if waiting and (result is None or len(waiting) >= size):
                with watch.timing("compute"):
                    queue.put(waiting)  # The first batch is computed there and then.
                waiting = []
            while queue.is_full or queue.is_done or (result is None and len(queue)):
                with watch.timing("compute"):
                    batch, failures, behind = queue.get()
                yield from failures
                if batch.items:
                    yield batch
                yield from behind
            if result is None:
                break
    if errors:
        raise errors[0]


def max_batch_size(backbone: Backbone, names: Sequence[str]) -> int:
    """Return the largest batch whose unpooled maps stay below `BATCH_BYTES`; at least 1."""
    sizes = [layer.num_bytes or 0 for layer in backbone.features() if layer.name in names]
    return max(1, BATCH_BYTES // max(1, sum(sizes)))


def _until_error(
    images: Iterable[ReadResult], errors: list[Exception]
) -> Generator[ReadResult, None, None]:
    """Yield images up to an error, which is kept: what came before is computed first."""
    try:
        yield from images
    except Exception as error:
        errors.append(error)
