"""Thumbnails of many pictures in a few large ones, for pages that draw them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from featx.curation.pictures import PictureFile
from featx.errors import ImageError
from featx.events import Listener
from featx.machine import available_cores
from featx.report.page.thumbnails import Thumbnails

TILE = 80
"""Longer side of a picture, in pixels: a multiple of 16, so that JPEG mixes no two pictures."""

COLUMNS = 12
PER_SHEET = COLUMNS * COLUMNS
"""Few enough that a browser decodes little besides what it shows: 3.7 MB."""

QUALITY = 72
AHEAD = 256
"""Thumbnails in memory besides the sheet."""


class Sprites:
    """Small copies of pictures side by side, a sheet of them in memory at a time.

    Attributes:
        sizes: Width and height of each picture in pixels, uint8 (n, 2); 0 where there is none.
            Known once all sheets were made.
        reason: Why the first one that is missing is; empty if none is.
    """

    def __init__(self, files: Sequence[PictureFile], listener: Listener) -> None:
        """Make no sheet yet.

        Args:
            files: Where the pictures are.
            listener: Receives progress.
        """
        self.sizes = np.zeros((len(files), 2), np.uint8)
        self.reason = ""
        self._files = files
        self._listener = listener

    def make_sheets(self) -> Iterator[str]:
        """Yield the large pictures, JPEG in base64."""
        sheet = Image.new("RGB", (TILE * COLUMNS, TILE * COLUMNS))
        for number, thumbnail in enumerate(read_thumbnails(self._files, self._listener)):
            place = number % PER_SHEET
            self._paste(thumbnail, sheet, number)
            if place == PER_SHEET - 1 or number == len(self._files) - 1:
                height = TILE * (place // COLUMNS + 1)
                yield _encode(sheet.crop((0, 0, sheet.width, height)))
                sheet.paste((0, 0, 0), (0, 0, *sheet.size))

    def _paste(self, thumbnail: bytes | ImageError, sheet: Image.Image, number: int) -> None:
        place = number % PER_SHEET
        if isinstance(thumbnail, ImageError):
            self.reason = self.reason or thumbnail.reason
        else:
            with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as picture:
                small = picture.convert("RGB")
            small.thumbnail((TILE, TILE))
            sheet.paste(small, (place % COLUMNS * TILE, place // COLUMNS * TILE))
            self.sizes[number] = small.size


def read_thumbnails(
    files: Sequence[PictureFile], listener: Listener
) -> Iterator[bytes | ImageError]:
    """Yield the thumbnail of each picture, a JPEG, or why there is none."""
    listener.start(len(files), "thumbnails")
    try:
        with Thumbnails() as thumbnails, ThreadPoolExecutor(available_cores()) as threads:

            def read(file: PictureFile) -> bytes | ImageError:
                try:
                    return thumbnails.read(file.key, file.content_hash, file.root)
                except ImageError as error:
                    return error

            for start in range(0, len(files), AHEAD):
                for one in threads.map(read, files[start : start + AHEAD]):
                    listener.advance(1)
                    yield one
    finally:
        listener.finish()


def _encode(sheet: Image.Image) -> str:
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
