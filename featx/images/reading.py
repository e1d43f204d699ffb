"""Reading images ahead of the network: several threads, bounded, in order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from featx.errors import ImageError, InvalidValue
from featx.files import hash_content
from featx.images.decode import decode_image
from featx.images.limits import pixel_limit
from featx.images.sources import ImageFailure, ImageItem
from featx.input_spec import InputSpec
from featx.machine import available_cores

LOOKAHEAD = 64
"""Default for the most images held decoded: a few batches."""

TOGETHER = 4
"""Images that a thread reads at a time: 10 % more small images in a second than one at a time
(``benchmarks/LOG.md``)."""

SPREAD, SPREAD_SHARE = 32, 16
"""At most this many images, and one in this many, are sampled from all over a folder."""

MAX_DEFAULT_WORKERS = 16
"""Most decoding threads by default: more would only take cores from the network."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image ready for a model: pixels uint8 (H, W, C); hash of the file's bytes."""

    item: ImageItem
    content_hash: bytes
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image with the bytes of one that has been processed; it is not decoded."""

    item: ImageItem
    content_hash: bytes


ReadResult = DecodedImage | KnownImage | ImageFailure


def default_workers() -> int:
    """Return the default number of reading threads."""
    return min(available_cores(), MAX_DEFAULT_WORKERS)


def read_images(
    items: Iterable[ImageItem],
    contract: InputSpec,
    *,
    workers: int | None = None,
    lookahead: int = LOOKAHEAD,
    known: Container[bytes] = (),
    max_pixels: int | None = None,
) -> Iterator[ReadResult]:
    """Read and decode images in threads, at most `lookahead` ahead, in the order given.

    Args:
        items: What to read.
        contract: The model's input contract.
        workers: Threads; None for one per core, at most 16.
        lookahead: The most images held decoded at a time: this bounds memory.
        known: Content hashes that were processed before; such images are not decoded. May grow
            meanwhile.
        max_pixels: Largest picture that is decoded; None for the usual limit.

    Yields:
        One result for each item, in order: pixels, "known", or a failure.
    """
    if workers is not None and workers < 1:
        raise InvalidValue(f"Reading takes at least one thread. Received: workers={workers}.")

    def read_some(some: Sequence[ImageItem]) -> list[ReadResult]:
        return [_read(one, contract, known, max_pixels) for one in some if not closed.is_set()]

    closed = threading.Event()
    pending: deque[Future[list[ReadResult]]] = deque()
    upcoming = iter(items)
    size = max(1, min(TOGETHER, lookahead // 4))
    with (
        pixel_limit(max_pixels),
        ThreadPoolExecutor(workers or default_workers(), thread_name_prefix="featx") as pool,
    ):
        try:
            some, error = _take(upcoming, size)
            while some:
                pending.append(pool.submit(read_some, some))
                if len(pending) * size >= lookahead:
                    yield from pending.popleft().result()
                some, error = _take(upcoming, size) if error is None else ([], error)
            while pending:
                yield from pending.popleft().result()
            if error is not None:
                raise error
        finally:
            closed.set()
            for future in pending:
                future.cancel()


def read_image(
    item: ImageItem, contract: InputSpec, *, max_pixels: int | None = None
) -> ReadResult:
    """Read and decode one image in this thread; see `read_images`."""
    with pixel_limit(max_pixels):
        return _read(item, contract, (), max_pixels)


def _take(items: Iterator[ImageItem], count: int) -> tuple[list[ImageItem], Exception | None]:
    """Return the next items, and what a user's generator raised after them."""
    taken: list[ImageItem] = []
    try:
        for item in itertools.islice(items, count):
            taken.append(item)
    except Exception as error:
        return taken, error
    return taken, None


def _read(
    item: ImageItem, contract: InputSpec, known: Container[bytes], max_pixels: int | None
) -> ReadResult:
    data = b""
    try:
        data = item.read_bytes()
        content_hash = hash_content(data)
        if content_hash in known:
            return KnownImage(_without_reader(item), content_hash)
        pixels = decode_image(data, contract, max_pixels=max_pixels)
        return DecodedImage(_without_reader(item), content_hash, pixels)
    except ImageError as error:  # The fault of the picture: it will fail again.
        size = item.size if item.size >= 0 else len(data)
        return ImageFailure(item.key, error.reason, size, item.mtime_ns)
    except OSError as error:
        reason = error.strerror or str(error)
    except MemoryError:
        reason = "not enough memory to decode it"
    # Not the picture's fault: without its stamp in the ledger it is tried again every time.
    return ImageFailure(item.key, reason, -1, -1)


def read_spread(
    items: Sequence[ImageItem],
    contract: InputSpec,
    *,
    workers: int | None = None,
    max_pixels: int | None = None,
    most: int = SPREAD,
) -> list[np.ndarray]:
    """Decode a sample from all over a list; the first images are often of one class.

    Only of files, which can be read in any order.

    Args:
        items: All that are to be read later.
        contract: The model's input contract.
        workers: See `read_images`.
        max_pixels: Largest picture that is decoded; None for the usual limit.
        most: Most pictures of the sample.

    Returns:
        Pixels uint8 (H, W, C) of at most `most` images and one in 16, without those that fail.
    """
    count = min(most, sum(item.reader is None for item in items) // SPREAD_SHARE)
    sample = read_sample(items, contract, count, workers=workers, max_pixels=max_pixels)
    return [image.pixels for image in sample]


def read_sample(
    items: Sequence[ImageItem],
    contract: InputSpec,
    count: int,
    *,
    workers: int | None = None,
    max_pixels: int | None = None,
) -> list[DecodedImage]:
    """Decode `count` images from all over a list, or all there are, without those that fail.

    See `read_spread`.
    """
    files = [item for item in items if item.reader is None]
    chosen = [files[position] for position in _positions(len(files), min(count, len(files)))]
    results = read_images(chosen, contract, workers=workers, max_pixels=max_pixels)
    return [result for result in results if isinstance(result, DecodedImage)]


def spread_positions(total: int, most: int = SPREAD) -> list[int]:
    """Return positions from all over `total` images: at most `most` of them, and one in 16.

    Example:
        >>> spread_positions(48)
        [8, 24, 40]
    """
    return _positions(total, min(most, total // SPREAD_SHARE))


def _positions(total: int, count: int) -> list[int]:
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def _without_reader(item: ImageItem) -> ImageItem:
    """Release what an image was read from: for images passed in Python, the picture itself."""
    return item if item.reader is None else replace(item, reader=None)
