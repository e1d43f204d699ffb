"""The sprite of the Embedding Projector: small pictures of all rows in one image."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from featx.errors import ImageError
from featx.events import Listener
from featx.images.decode import decode_image
from featx.images.roots import Root
from featx.images.sources.locations import LocationReader
from featx.input_spec import InputSpec

MAX_SIDE = 8192
"""Largest width and height of a sprite that the projector accepts, in pixels
(``MAX_SPRITE_IMAGE_SIZE_PX`` in TensorBoard's ``vz_projector/data-provider.ts``)."""

LARGEST_TILE = 96
"""Largest size of a tile, in pixels: among many points, larger ones show no more."""

PAPER, GREY = (255, 255, 255), (200, 200, 200)

LOOK_AHEAD = 512
"""Tiles that are decoded ahead of drawing."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawn sprite.

    Attributes:
        image: The square picture: tiles from left to right and from top to bottom.
        tile: Width and height of a tile, in pixels.
        failures: ``(key, reason)`` of each picture that could not be read; its tile is grey.
    """

    image: Image.Image
    tile: int
    failures: tuple[tuple[str, str], ...]


def plan_sprite(count: int) -> tuple[int, int]:
    """Return how many tiles a row has, and the size of one in pixels.

    The projector divides width and height by the same number, so there are as many rows as
    columns, the last of them perhaps empty.

    Example:
        >>> plan_sprite(240), plan_sprite(100_000)
        ((16, 96), (317, 25))
    """
    columns = math.isqrt(count - 1) + 1
    return columns, min(LARGEST_TILE, MAX_SIDE // columns)


def draw_sprite(
    root: Root, keys: Sequence[str], listener: Listener, *, allow_download: bool = False
) -> Sprite:
    """Draw the pictures of all keys, whole and upright, on white.

    Args:
        root: What the keys are relative to.
        keys: At least one, and at most 67,108,864, with which tiles are one pixel in size.
        listener: Receives progress.
        allow_download: Also read pictures at URLs.

    Returns:
        The sprite. Memory: 3 bytes per pixel, at most 200 MB.
    """
    columns, tile = plan_sprite(len(keys))
    image = Image.new("RGB", (columns * tile, columns * tile), PAPER)
    contract = InputSpec(tile, tile, resize="pad", background=PAPER)
    failures = []
    reader = LocationReader(allow_download=allow_download)

    def draw(key: str) -> Image.Image | str:
        return _draw(reader, root, key, contract)

    listener.start(len(keys), "pictures")
    try:
        for number, drawn in enumerate(_map(draw, keys)):
            corner = (number % columns * tile, number // columns * tile)
            if isinstance(drawn, str):
                failures.append((keys[number], drawn))
                drawn = Image.new("RGB", (tile, tile), GREY)
            image.paste(drawn, corner)
            listener.advance(1)
    finally:
        listener.finish()
    return Sprite(image, tile, tuple(failures))


def _map(
    draw: Callable[[str], Image.Image | str], keys: Sequence[str]
) -> Iterator[Image.Image | str]:
    """Draw in threads, in order, a bounded number ahead: Pillow decodes without the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(keys), LOOK_AHEAD):
            yield from threads.map(draw, keys[start : start + LOOK_AHEAD])


def _draw(reader: LocationReader, root: Root, key: str, contract: InputSpec) -> Image.Image | str:
    """Return the tile of one picture, or why there is none."""
    try:
        return Image.fromarray(decode_image(reader.read_key(root, key), contract))
    except ImageError as error:
        return error.reason
    except OSError as error:
        return error.strerror or str(error)
