"""Copies of photographs, made on purpose: which kinds are found, and at which similarity."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

import featx

KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": lambda photo: photo,
    "quality 30": lambda photo: photo,
    "half size": lambda photo: photo.resize((photo.width // 2, photo.height // 2)),
    "double size": lambda photo: photo.resize((photo.width * 2, photo.height * 2)),
    "cropped 5 %": lambda photo: crop(photo, 0.05),
    "cropped 15 %": lambda photo: crop(photo, 0.15),
    "flipped": ImageOps.mirror,
    "brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.3),
    "darker": lambda photo: ImageEnhance.Brightness(photo).enhance(0.7),
    "grey": lambda photo: ImageOps.grayscale(photo).convert("RGB"),
    "blurred": lambda photo: photo.filter(ImageFilter.GaussianBlur(1.5)),
    "caption": lambda photo: write_caption(photo),
}
"""What is done to a photograph."""

QUALITY = {"quality 30": 30}
"""Of the JPEG; 90 of the others."""

THRESHOLDS = (0.9, 0.95, 0.98, 0.99, 0.995)


def crop(photo: Image.Image, share: float) -> Image.Image:
    """Cut off a share of the width and of the height, half of it on each side."""
    x, y = round(photo.width * share / 2), round(photo.height * share / 2)
    return photo.crop((x, y, photo.width - x, photo.height - y))


def write_caption(photo: Image.Image) -> Image.Image:
    """Write a line of text over the bottom."""
    photo = photo.copy()
    top = photo.height - photo.height // 10
    draw = ImageDraw.Draw(photo)
    draw.rectangle((0, top, photo.width, photo.height), fill=(0, 0, 0))
    draw.text((4, top + 2), "a caption, as sites put it there", fill=(255, 255, 255))
    return photo


def make_copies(photos: Sequence[Path], num_copied: int, folder: Path) -> None:
    """Write photographs into a folder ``original``, and copies of the first into one per kind."""
    for number, path in enumerate(photos):
        data = path.read_bytes()
        _write(folder / "original" / f"{number:05d}.jpg", data)
        if number >= num_copied:
            continue
        with Image.open(io.BytesIO(data)) as image:
            photo = image.convert("RGB")
        for kind, change in KINDS.items():
            file = io.BytesIO()
            change(photo).save(file, "JPEG", quality=QUALITY.get(kind, 90))
            _write(folder / kind / f"{number:05d}.jpg", file.getvalue())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found with one method.

    Attributes:
        name: The method.
        recall: Share of the copies of each kind that are in a group with their original.
        precision: Share of the pictures of groups that are copies of the best one.
        seconds: Of all cores together; for hashes with reading the pictures, for features without
            extracting them.
    """

    name: str
    recall: dict[str, float]
    precision: float
    seconds: float


def measure(store: Path, threshold: float | None, *, flipped: bool = False) -> Outcome:
    """Find copies with featx, and compare with what they are."""
    started = time.process_time()
    report = featx.find_duplicates(store, threshold=threshold, flipped=flipped, pictures=False)
    seconds = time.process_time() - started
    groups = [group.keys for group in report]
    name = f"{'chosen: ' if threshold is None else ''}{report.threshold:.4g}"
    copied = _list_originals(store)
    return count(name + (" --flipped" if flipped else ""), groups, copied, seconds)


def read_groups(path: Path, store: Path) -> Iterator[Outcome]:
    """Yield what another program found; see `benchmarks/curation/imagededup_groups.py`."""
    copied = _list_originals(store)
    for one in json.loads(path.read_text(encoding="utf-8")):
        yield count(one["name"], one["groups"], copied, one["seconds"])


def _list_originals(store: Path) -> set[str]:
    with featx.open_store(store) as opened:
        return {Path(key).name for key in opened.keys if key.startswith(next(iter(KINDS)))}


def count(name: str, groups: Sequence[Sequence[str]], copied: set[str], seconds: float) -> Outcome:
    """Count copies that are in a group with another picture of the same photograph."""
    found = dict.fromkeys(KINDS, 0)
    right = total = 0
    for keys in groups:
        names = [Path(key).name for key in keys]
        right += sum(one == names[0] for one in names[1:])
        total += len(names) - 1
        for key, own in zip(keys, names, strict=True):
            kind = Path(key).parent.name
            if kind in found and names.count(own) > 1:
                found[kind] += 1
    recall = {kind: hits / max(1, len(copied)) for kind, hits in found.items()}
    return Outcome(name, recall, right / max(1, total), seconds)


def measure_hashes(folder: Path, name: str, limits: Sequence[int]) -> Iterator[Outcome]:
    """Group pictures by a perceptual hash of the package imagehash, of at most so many bits."""
    import imagehash

    started = time.process_time()
    paths = sorted(folder.rglob("*.jpg"))
    hashes = []
    for path in paths:
        with Image.open(path) as photo:
            hashes.append(getattr(imagehash, name)(photo).hash.ravel())
    bits = np.where(np.array(hashes), 1, -1).astype(np.float32)
    hashed = time.process_time() - started
    copied = {path.name for path in (folder / next(iter(KINDS))).iterdir()}
    names = [str(path.relative_to(folder)) for path in paths]
    for limit in limits:
        started = time.process_time()
        groups = [[names[row] for row in rows] for rows in _group_hashes(bits, limit)]
        seconds = hashed + time.process_time() - started
        yield count(f"{name}, {limit} bits", groups, copied, seconds)


def _group_hashes(bits: np.ndarray, limit: int) -> Iterator[list[int]]:
    """Yield groups: each picture takes what is near it, as featx's best one does."""
    taken = np.zeros(len(bits), bool)
    for row in range(len(bits)):
        if taken[row]:
            continue
        distance = (bits.shape[1] - bits @ bits[row]) / 2
        near = np.flatnonzero((distance <= limit) & ~taken)
        taken[near] = True
        if len(near) > 1:
            yield [row, *(other for other in near.tolist() if other != row)]
