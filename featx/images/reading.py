"""Reading images ahead of the network: several threads, bounded, in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from featx.errors import ImageError, InvalidValue
from featx.images.decode import decode_image
from featx.images.limits import pixel_limit
from featx.images.sources import ImageFailure, ImageItem
from featx.specs import InputSpec

HASH_BYTES = 16
"""Length of a content hash: BLAKE2b-128 of a file's bytes."""

LOOKAHEAD = 64
"""Images that are held decoded, unless told otherwise: some batches."""

MAX_DEFAULT_WORKERS = 8
"""Decoding threads beyond this many only take cores from the network."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image ready for a model: pixels uint8 (H, W, C); hash of the file's bytes."""

    item: ImageItem
    content_hash: bytes
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image whose bytes are those of one that has been processed: it is not decoded."""

    item: ImageItem
    content_hash: bytes


ReadResult = DecodedImage | KnownImage | ImageFailure


def default_workers() -> int:
    """Return the number of reading threads used unless told otherwise."""
    return max(1, min(os.cpu_count() or 1, MAX_DEFAULT_WORKERS))


def hash_content(data: bytes) -> bytes:
    """Return the BLAKE2b-128 of a file's bytes.

    Example:
        >>> hash_content(b"").hex()
        'cae66941d9efbd404e4d88758ea67670'
    """
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


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
        workers: Threads; None for one per core, at most 8.
        lookahead: The most images held decoded at a time: this bounds memory.
        known: Content hashes that were processed before: such images are not decoded. It
            may grow meanwhile.
        max_pixels: Largest picture that is decoded; None for the usual limit.

    Yields:
        One result for each item, in order: pixels, "known", or a failure.
    """

    if workers is not None and workers < 1:
        raise InvalidValue(f"Reading takes at least one thread. Received: workers={workers}.")

    def read(item: ImageItem) -> ReadResult:
        data = b""
        try:
            data = item.read_bytes()
            content_hash = hash_content(data)
            if content_hash in known:
                return KnownImage(item, content_hash)
            return DecodedImage(
                item, content_hash, decode_image(data, contract, max_pixels=max_pixels)
            )
        except ImageError as error:  # Its own fault: not to be taken for one that is passing.
            size = item.size if item.size >= 0 else len(data)
            return ImageFailure(item.key, error.reason, size, item.mtime_ns)
        except OSError as error:
            reason = error.strerror or str(error)
        except MemoryError:
            reason = "not enough memory to decode it"
        # Not the picture's fault: without its stamp in the ledger it is tried again every time.
        return ImageFailure(item.key, reason, -1, -1)

    pending: deque[Future[ReadResult]] = deque()
    upcoming = iter(items)
    with (
        pixel_limit(max_pixels),
        ThreadPoolExecutor(workers or default_workers(), thread_name_prefix="featx") as pool,
    ):
        try:
            for item in upcoming:
                pending.append(pool.submit(read, item))
                if len(pending) >= max(1, lookahead):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
