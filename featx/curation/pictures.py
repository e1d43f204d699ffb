"""What pictures are like, read again from where they are: size, brightness, sharpness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from featx.errors import ImageError
from featx.events import Listener
from featx.files import hash_content
from featx.images.decode import decode_image, upright_size
from featx.images.roots import Root, is_url
from featx.images.sources.locations import LocationReader
from featx.input_spec import InputSpec
from featx.machine import available_cores

SIDE = 512
"""Longer side in pixels, at the most, at which brightness and sharpness are measured."""

THUMBNAIL = 16
"""Side in pixels of what is compared to find mirrored pictures."""

AHEAD = 1_024
"""Pictures that are read before results are taken."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPicture:
    """What is measured of a picture.

    Attributes:
        width: In pixels, as it is looked at.
        height: The same.
        brightness: Mean of its grey values, in [0, 1].
        contrast: Their standard deviation, in [0, 0.5].
        sharpness: Standard deviation of their Laplacian, in [0, 4] (the square root of what
            Pech-Pacheco et al., 2000, measure focus by).
        thumbnail: Its colours in `THUMBNAIL` × `THUMBNAIL` pixels, uint8 (s, s, 3).
    """

    width: int
    height: int
    brightness: float
    contrast: float
    sharpness: float
    thumbnail: np.ndarray

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class PictureFile:
    """Where a picture is, and what it was.

    Attributes:
        root: What the key is relative to.
        key: Its key.
        content_hash: BLAKE2b-128 of its bytes.
    """

    root: Root
    key: str
    content_hash: bytes


def measure_picture(data: bytes) -> MeasuredPicture:
    """Measure a picture.

    Args:
        data: Its bytes.

    Raises:
        ImageError: If it cannot be decoded.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (30, 20), (255, 255, 255)).save(file, "PNG")
        >>> measured = measure_picture(file.getvalue())
        >>> measured.width, measured.brightness, measured.sharpness
        (30, 1.0, 0.0)
    """
    height, width = upright_size(data, InputSpec(1, 1))
    scale = min(1.0, SIDE / max(width, height))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    colours = decode_image(data, InputSpec(*size, resize="stretch", interpolation="box"))
    grey = colours.astype(np.float32).mean(axis=2) / 255
    return MeasuredPicture(
        width,
        height,
        float(grey.mean()),
        float(grey.std()),
        _measure_sharpness(grey),
        _shrink(colours),
    )


def measure_pictures(
    files: Sequence[PictureFile], listener: Listener
) -> Iterator[MeasuredPicture | ImageError]:
    """Read and measure pictures, in their order; of those that cannot be, yield the reason.

    A picture that is another one now than when its features were computed is not measured, and
    nothing is fetched from the network.

    Args:
        files: Where they are.
        listener: Receives progress.
    """
    reader = LocationReader()

    def measure(file: PictureFile) -> MeasuredPicture | ImageError:
        try:
            if is_url(file.root.location(file.key)):
                raise ImageError("at a URL: not fetched")
            data = reader.read_key(file.root, file.key)
            if hash_content(data) != file.content_hash:
                raise ImageError("changed since its features were computed")
            return measure_picture(data)
        except ImageError as error:
            return error
        except OSError as error:
            return ImageError(error.strerror or str(error))

    listener.start(len(files), "images")
    try:
        with ThreadPoolExecutor(available_cores()) as threads:
            for start in range(0, len(files), AHEAD):
                for one in threads.map(measure, files[start : start + AHEAD]):
                    listener.advance(1)
                    yield one
    finally:
        listener.finish()


def _measure_sharpness(grey: np.ndarray) -> float:
    """Return the standard deviation of the Laplacian."""
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).std())


def _shrink(colours: np.ndarray) -> np.ndarray:
    """Average a picture to a thumbnail; of one that is smaller, pixels are repeated."""
    for axis in (0, 1):
        length = colours.shape[axis]
        edges = np.arange(THUMBNAIL) * length // THUMBNAIL
        if length < THUMBNAIL:
            colours = colours.take(edges, axis=axis)
            continue
        sums = np.add.reduceat(colours.astype(np.float32), edges, axis=axis)
        sizes = np.diff([*edges, length]).astype(np.float32)
        colours = sums / np.expand_dims(sizes, tuple(set(range(3)) - {axis}))
    return np.asarray(np.rint(colours), np.uint8)
