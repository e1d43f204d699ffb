"""A sheet of predictions as one PNG: a green frame where they are right, a red one where not."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

from featx.atomic import replace_file
from featx.errors import ImageError, InvalidValue
from featx.images.sources import SHEET_MARK
from featx.report.contact_sheet import (
    BORDER,
    CAPTION,
    GREY,
    INK,
    MARGIN,
    PAPER,
    RIGHT,
    TILE,
    WRONG,
    check_sheet_path,
    write_caption,
)
from featx.report.evaluation_sections import choose_pictures
from featx.report.page.thumbnails import Thumbnails
from featx.report.task_sections import list_any_tiles

if TYPE_CHECKING:
    from featx.heads.evaluating import EvaluateReport
    from featx.heads.fitting import FitReport
    from featx.report.page.gallery import Tile

NUM_ROWS, NUM_COLUMNS = 5, 6
"""As in TensorFlow's tutorials on transfer learning."""

BLANK = (235, 235, 235)


def write_prediction_sheet(report: FitReport | EvaluateReport, path: str | Path) -> None:
    """Draw up to 30 of the pictures that were measured on, with their predicted classes.

    Args:
        report: What `featx.fit_head` or `featx.evaluate` gave.
        path: The PNG. A sheet of featx is replaced, anything else left alone.

    Raises:
        InvalidValue: If no picture was held out, or the path cannot be that of a sheet.
    """
    check_sheet_path(Path(path))
    held_out = report.held_out
    if held_out is None:
        raise InvalidValue("No images were held out, so that there are no predictions to draw.")
    tiles = list(list_any_tiles(held_out, choose_pictures(len(held_out), NUM_ROWS * NUM_COLUMNS)))
    columns = min(NUM_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    size = (MARGIN + columns * (TILE + MARGIN), MARGIN + rows * (TILE + CAPTION + MARGIN))
    sheet = Image.new("RGB", size, PAPER)
    with Thumbnails() as thumbnails:
        for number, tile in enumerate(tiles):
            row, column = divmod(number, columns)
            corner = (MARGIN + column * (TILE + MARGIN), MARGIN + row * (TILE + CAPTION + MARGIN))
            _draw_tile(sheet, tile, corner, thumbnails)
    mark = PngInfo()
    mark.add_text(SHEET_MARK, "made by featx")
    with replace_file(Path(path)) as temporary:
        sheet.save(temporary, "PNG", pnginfo=mark)


def _draw_tile(
    sheet: Image.Image, tile: Tile, corner: tuple[int, int], thumbnails: Thumbnails
) -> None:
    left, top = corner
    color = {True: RIGHT, False: WRONG, None: GREY}[tile.is_right]
    draw = ImageDraw.Draw(sheet)
    draw.rectangle(
        (left - BORDER, top - BORDER, left + TILE + BORDER - 1, top + TILE + BORDER - 1), fill=color
    )
    sheet.paste(_open_tile(tile, thumbnails), corner)
    true = "" if tile.true_class is None else f"; true: {tile.true_class}"
    write_caption(draw, corner, [(tile.title, color), (tile.detail + true, INK)])


def _open_tile(tile: Tile, thumbnails: Thumbnails) -> Image.Image:
    try:
        address = thumbnails.get(tile.location, tile.content_hash, tile.root)
    except ImageError:
        blank = Image.new("RGB", (TILE, TILE), BLANK)
        font = ImageFont.load_default(size=12)
        ImageDraw.Draw(blank).text((8, TILE // 2 - 8), "not readable", fill=GREY, font=font)
        return blank
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return ImageOps.pad(picture, (TILE, TILE), color=BLANK)
