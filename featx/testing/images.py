"""Small picture files with known pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def write_images(
    count: int,
    folder: str | Path | None = None,
    *,
    classes: Sequence[str] = (),
    size: tuple[int, int] = (8, 8),
) -> Path:
    """Write PNG files of one colour each, all different.

    Image i has red 10 + i % 200; green and blue are i // 200, plus 200 * c / (C - 1) in
    the c-th of C classes, so that classes can be told apart by their mean colour.

    Args:
        count: Number of files.
        folder: Where to write them; a new temporary folder when None.
        classes: Names of class folders, filled in turn.
        size: ``(width, height)`` in pixels.

    Returns:
        The folder.

    Example:
        >>> sorted(path.name for path in write_images(2).iterdir())
        ['image_0.png', 'image_1.png']
    """
    folder = Path(tempfile.mkdtemp(prefix="featx-")) if folder is None else Path(folder)
    for number in range(count):
        parent, level = folder, number // 200
        if classes:
            position = number % len(classes)
            parent = folder / classes[position]
            level = 200 * position // max(1, len(classes) - 1) + number // 200
        parent.mkdir(parents=True, exist_ok=True)
        color = (10 + number % 200, level, level)
        Image.new("RGB", size, color).save(parent / f"image_{number}.png")
    return folder
