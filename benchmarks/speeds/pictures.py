"""The pictures of a run: real photographs where they are, as many different files as are wanted."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

T = TypeVar("T")

BIG_SIZE = (4000, 3000)
BIG_PHOTOS = 16
"""Photographs that are enlarged; the others are these, as files of other bytes."""

SYNTHETIC_PHOTOS = 32
CLASSES = 4
GRAIN = 3.0
"""Standard deviation of the noise in a large picture: without it, files are half as large."""


@dataclass(frozen=True, slots=True)
class PictureSet:
    """A kind of pictures.

    Attributes:
        title: What the table calls it.
        source: A folder of photographs below the data.
        size: That of made pictures, where there are no photographs.
        is_enlarged: Whether to make 12 megapixels of them.
    """

    title: str
    source: str
    size: tuple[int, int]
    is_enlarged: bool = False


PICTURE_SETS = {
    "clothing": PictureSet("clothing photographs", "images/clothing/test", (400, 534)),
    "224px": PictureSet("JPEGs of 224 px", "images/imagenette/val", (224, 224)),
    "12mp": PictureSet("JPEGs of 12 MP", "images/imagenette/val", (400, 300), is_enlarged=True),
}


def prepare(kind: PictureSet, data: Path, count: int, folder: Path) -> bool:
    """Write pictures of a kind into folders of classes; their pages stay in memory.

    Returns:
        Whether they are made of photographs.
    """
    photos = find_photos(data / kind.source)
    is_real = bool(photos)
    if not photos:
        made = [make_photo(kind.size, number) for number in range(SYNTHETIC_PHOTOS)]
        photos = {f"class_{n % CLASSES}/photo_{n}.jpg": photo for n, photo in enumerate(made)}
    wanted = min(count, BIG_PHOTOS) if kind.is_enlarged else count
    chosen = {name: photos[name] for name in spread(list(photos), wanted)}
    if kind.is_enlarged:
        chosen = {name: enlarge(photo, n) for n, (name, photo) in enumerate(chosen.items())}
    names = list(chosen)
    for number in range(count):
        copy, index = divmod(number, len(names))
        name = names[index]
        photo = chosen[name]
        path = folder / name
        path = path.with_name(f"{path.stem}_{copy}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(with_comment(photo, f"copy {copy}") if copy else photo)
    return is_real


def link_fewer(folder: Path, count: int, other: Path) -> None:
    """Fill a folder with some of the files of another, spread over all of it."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.jpg"))
    for name in spread(files, count):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / name, other / name)


def read_all(folder: Path) -> int:
    """Read every file once, so that the system has it in memory; return their bytes."""
    return sum(len(path.read_bytes()) for path in folder.rglob("*.jpg"))


def spread(items: Sequence[T], count: int) -> list[T]:
    """Choose some items at equal distances; all when there are not more."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def find_photos(folder: Path) -> dict[str, bytes]:
    """Read the JPEGs of a folder of classes."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """Return the same picture as another file: featx computes identical files only once.

    Example:
        >>> with_comment(bytes.fromhex("ffd8ffd9"), "a").hex()
        'ffd8fffe000361ffd9'
    """
    text = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def enlarge(jpeg: bytes, seed: int) -> bytes:
    """Make a camera's picture of a photograph: 12 megapixels, with grain, quality 90."""
    photo = Image.open(io.BytesIO(jpeg)).convert("RGB").resize(BIG_SIZE, Image.Resampling.BICUBIC)
    generator = np.random.default_rng(seed)
    tile = generator.normal(0, GRAIN, (500, 500, 3))
    width, height = BIG_SIZE
    grain = np.tile(tile, (height // 500, width // 500, 1)).astype(np.float32)
    return encode(np.asarray(photo, np.float32) + grain)


def make_photo(size: tuple[int, int], seed: int) -> bytes:
    """Make a picture with the spectrum of photographs: noise, the stronger the coarser it is."""
    generator = np.random.default_rng(seed)
    pixels = np.full((size[1], size[0], 3), 128, np.float32)
    cells = 2
    while cells < max(size):
        noise = generator.normal(0, 80 / cells**0.5, (cells, cells, 3))
        planes = []
        for channel in range(3):
            plane = Image.fromarray(noise[..., channel].astype(np.float32))
            planes.append(np.asarray(plane.resize(size, Image.Resampling.BICUBIC)))
        pixels += np.stack(planes, axis=-1)
        cells *= 2
    return encode(pixels)


def encode(pixels: np.ndarray) -> bytes:
    """Write pixels as a JPEG of quality 90."""
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()
