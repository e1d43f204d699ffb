"""What is read and computed, written as rows of parts; here, or by a worker elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featx.errors import InvalidValue
from featx.extraction.carried_columns import CarriedColumns
from featx.extraction.stored import StoredImages
from featx.features.batch_queue import ComputedBatch
from featx.features.computing import Stopwatch, compute_features
from featx.files import HASH_BYTES
from featx.images.reading import LOOKAHEAD, KnownImage, read_images
from featx.images.sources import ImageFailure, ImageItem
from featx.inference import AcceleratedBackbone
from featx.options import RunOptions
from featx.store.parts import PartWriter
from featx.store.rows import Rows, StoreHeader


@dataclass(frozen=True, slots=True)
class Computed:
    """What was read and written as parts.

    Attributes:
        done: Images that were computed.
        touched: Images whose time stamp or label is new, not their content.
        reused: Images that got the features of an identical one.
        failures: Images that cannot be used, by key, in this run or an earlier one.
        followed: Keys of the stream, in its order.
    """

    done: int
    touched: int
    reused: int
    failures: Mapping[str, ImageFailure]
    followed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Computation:
    """What computes, and what it computes.

    Attributes:
        backbone: The model.
        header: The header of the store, with its features.
        options: How images are read and the network is run.
    """

    backbone: AcceleratedBackbone
    header: StoreHeader
    options: RunOptions


class RowWriter:
    """Takes results as they come: writes them into parts, and counts.

    Args:
        writer: Writes the parts.
        stored: What is stored of the images already.
        columns: The further columns of the images.
        known: Content hashes that have features; those of computed images are added.
        on_failure: Told of each failure, which is in the part by then.
        keys_are_numbers: See `ImageSet`.

    Attributes:
        known: Content hashes that have features by now.
        done: See `Computed`.
        touched: See `Computed`.
        reused: See `Computed`.
    """

    def __init__(
        self,
        writer: PartWriter,
        stored: StoredImages,
        columns: CarriedColumns,
        known: set[bytes],
        on_failure: Callable[[ImageFailure], None],
        *,
        keys_are_numbers: bool = False,
    ) -> None:
        self.known = known
        self.done = self.touched = self.reused = 0
        self._writer = writer
        self._stored = stored
        self._columns = columns
        self._on_failure = on_failure
        self._keys_are_numbers = keys_are_numbers

    def take(self, result: ComputedBatch | KnownImage | ImageFailure) -> int:
        """Take one result; return how many images it is of.

        Raises:
            TooManyFailures: If more images have failed than may.
        """
        if isinstance(result, ImageFailure):
            self._writer.fail(result)
            self._on_failure(result)
        elif isinstance(result, KnownImage):
            self._reuse(result)
        else:
            self._writer.add(self._to_rows(result.items, result.content_hash, result.features))
            self.known.update(map(bytes, result.content_hash))
            self.done += len(result.items)
            return len(result.items)
        return 1

    def commit(self) -> None:
        """Write what is not in a part yet."""
        self._writer.commit()

    def _reuse(self, image: KnownImage) -> None:
        """Take an image whose content has features."""
        stored = self._stored
        if stored.holds(image.item.key, image.content_hash):
            self.touched += 1
            if stored.is_recorded(image.item):
                return  # Its time is not known, and nothing else is new.
        else:
            if self._keys_are_numbers and image.item.key in stored:
                _refuse_other_order(image.item.key)
            self.reused += 1
        content_hash = np.frombuffer(image.content_hash, np.uint8).reshape(1, HASH_BYTES)
        self._writer.add_copies(self._to_rows([image.item], content_hash, {}))

    def _to_rows(
        self,
        items: Sequence[ImageItem],
        content_hash: np.ndarray,
        features: Mapping[str, np.ndarray],
    ) -> Rows:
        return Rows(
            keys=[item.key for item in items],
            content_hash=content_hash,
            labels=[item.label for item in items],
            file_size=np.array([item.size for item in items], np.int64),
            file_mtime_ns=np.array([item.mtime_ns for item in items], np.int64),
            features=features,
            splits=[item.split for item in items],
            columns=self._columns.find(items, content_hash),
        )


def write_rows(
    items: Iterable[ImageItem],
    computation: Computation,
    rows: RowWriter,
    watch: Stopwatch,
    advance: Callable[[int], None],
) -> None:
    """Read images, compute their features and write them; what was computed is kept in any case.

    Args:
        items: The images.
        computation: What computes.
        rows: Takes the results.
        watch: Measures where the time goes.
        advance: Told of how many more images there is a result.
    """
    try:
        take_rows(items, computation, rows, watch, advance)
    finally:
        # Also after Ctrl-C and errors: what was computed is kept for the next run.
        with watch.timing("write"):
            rows.commit()


def take_rows(
    items: Iterable[ImageItem],
    computation: Computation,
    rows: RowWriter,
    watch: Stopwatch,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Read images and compute their features; the last ones are not written yet.

    Args:
        items: See `write_rows`.
        computation: See `write_rows`.
        rows: Takes the results; to be committed.
        watch: See `write_rows`.
        advance: See `write_rows`.
    """
    header, options = computation.header, computation.options
    images = read_images(
        items,
        header.model.input,
        workers=options.workers,
        lookahead=max(LOOKAHEAD, 2 * (options.batch_size or 0)),
        known=rows.known,
        max_pixels=options.max_pixels,
    )
    results = compute_features(
        images,
        computation.backbone,
        header.features,
        batch_size=options.batch_size,
        dtype=header.dtype,
        stopwatch=watch,
        known=rows.known,
        settling=computation.backbone,
    )
    with contextlib.closing(results):
        for result in results:
            with watch.timing("write"):
                count = rows.take(result)
            advance(count)


def _refuse_other_order(key: str) -> None:
    raise InvalidValue(
        f"The dataset gives its pictures in another order than before: the one that is {key} now "
        "has another number in the store. Turn shuffling off, give (key, image) or (key, image, "
        "label), or make the store anew with overwrite=True."
    )
