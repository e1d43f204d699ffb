"""Pictures in the order of an epoch, decoded while the network learns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featx.errors import InvalidValue, TrainingError
from featx.images.reading import LOOKAHEAD, DecodedImage, ReadResult, read_images
from featx.images.sources import ImageItem, ImageSet
from featx.images.sources.items import ReadsInOrder
from featx.input_spec import InputSpec
from featx.wording import option


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures that the network sees at once.

    Attributes:
        rows: Their rows in the lesson, (B,).
        pixels: uint8 (B, H, W, C).
    """

    rows: np.ndarray
    pixels: np.ndarray


class PictureReader:
    """Reads pictures of a lesson by their rows, as often as they are asked for.

    At most two batches and some pictures more are in memory.

    Args:
        items: The pictures by their keys.
        keys: The N keys of the lesson.
        content_hash: uint8 (N, 16): what they were when their features were computed.
        contract: The network's input contract.
        batch_size: Pictures in a batch.
        workers: Threads that decode; see `featx.RunOptions`.
        max_pixels: Largest picture that is decoded.

    Attributes:
        waited: Seconds that callers have waited for pictures.
    """

    def __init__(
        self,
        items: Mapping[str, ImageItem],
        keys: Sequence[str],
        content_hash: np.ndarray,
        contract: InputSpec,
        *,
        batch_size: int,
        workers: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.waited = 0.0
        self._items, self._keys, self._hashes = items, keys, content_hash
        self._contract, self._workers, self._max_pixels = contract, workers, max_pixels

    def batches(self, rows: np.ndarray) -> Iterator[Batch]:
        """Yield pictures in the order of some rows, (n,); the last batch may be smaller.

        Raises:
            TrainingError: If a picture cannot be read any more, or is another one by now.
        """
        items = (self._items[self._keys[row]] for row in rows)
        results = read_images(
            items,
            self._contract,
            workers=self._workers,
            lookahead=max(LOOKAHEAD, 2 * self.batch_size),
            max_pixels=self._max_pixels,
        )
        with contextlib.closing(_as_generator(results)) as results:
            for start in range(0, len(rows), self.batch_size):
                chosen = rows[start : start + self.batch_size]
                began = time.perf_counter()
                pixels = np.stack([self._check(row, next(results)) for row in chosen])
                self.waited += time.perf_counter() - began
                yield Batch(chosen, pixels)

    def _check(self, row: int, result: ReadResult) -> np.ndarray:
        """Return the pixels of a picture that is still the one whose features are known."""
        key = self._keys[row]
        if not isinstance(result, DecodedImage):
            reason = getattr(result, "reason", "it has been read before")
            raise TrainingError(
                f"{key} cannot be read any more: {reason}. Put it back, and run the same again."
            )
        if result.content_hash != self._hashes[row].tobytes():
            raise TrainingError(
                f"{key} has changed since the run began. Put the image back as it was, or begin "
                f"again with {option('overwrite', True)}."
            )
        return result.pixels


def _as_generator(results: Iterator[ReadResult]) -> Generator[ReadResult, None, None]:
    yield from results


def index_items(found: ImageSet) -> dict[str, ImageItem]:
    """Return images by their keys, if they can be read in any order and again and again.

    Raises:
        InvalidValue: If they come one after the other.
    """
    ordered = any(isinstance(item.reader, ReadsInOrder) for item in found.items)
    if found.stream is not None or ordered:
        what = "a compressed archive" if ordered else "a generator or dataset"
        raise InvalidValue(
            "Training reads the images in another order in each epoch, which "
            f"{what} does not allow. Unpack it into a folder, or pass a list or an array."
        )
    return {item.key: item for item in found.items}


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return rows in the order of an epoch: the same for the same seed and epoch.

    Example:
        >>> epoch_order(np.arange(4), 0, 1).tolist() == epoch_order(np.arange(4), 0, 1).tolist()
        True
    """
    return np.random.default_rng((seed, epoch)).permutation(rows)
