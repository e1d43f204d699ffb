"""A contact sheet: each query and its matches in a row, as one PNG."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

from featx.atomic import replace_file
from featx.errors import InvalidValue
from featx.files import describe_wrong_output, is_wrong_output
from featx.images.formats import open_picture
from featx.images.sources import SHEET_MARK, is_sheet
from featx.images.sources.keys import check_inside
from featx.images.sources.locations import LocationReader
from featx.report.text import printable

if TYPE_CHECKING:
    from featx.index.matches import Match
    from featx.index.searching import QueryResult, SearchReport

TILE = 120
"""Width and height of a picture on the sheet, in pixels."""

MARGIN = 12
CAPTION = 34
BORDER = 3
INK, PAPER, GREY = (32, 32, 32), (255, 255, 255), (120, 120, 120)
BLANK = (235, 235, 235)
RIGHT, WRONG = (38, 140, 70), (196, 60, 48)
BOX, BOX_EDGE = (255, 214, 10), (32, 32, 32)
"""Of the frame around a region, and of the lines on both sides of it: seen on any picture."""


MAX_QUERIES = 50
MAX_MATCHES = 20
"""Most rows and columns that are drawn: a sheet is for looking at."""


def check_sheet_path(path: Path) -> None:
    """Refuse a path for a sheet that is not a PNG, or that is taken by something else.

    Raises:
        InvalidValue: Says what to do.
    """
    if path.suffix.lower() != ".png":
        raise InvalidValue(
            f"A contact sheet is a PNG file: --sheet NAME.png. Received: {str(path)!r}."
        )
    if is_wrong_output(path):
        raise InvalidValue(describe_wrong_output(path, "sheet"))
    if path.exists() and not is_sheet(path):
        raise InvalidValue(
            f"{str(path)!r} exists and is not a contact sheet; it is left alone. Choose another "
            "name for --sheet."
        )


def write_contact_sheet(
    report: SearchReport, path: str | Path, *, allow_download: bool = False
) -> None:
    """Draw queries at the left, matches to the right, best first, with labels and scores.

    A match has a green border if its label is the query's, a red one if it is another, and
    none where either has no label. The query's label is the name of its folder if that is one
    of the labels found. A yellow frame is around the region that is like the query, where that was
    asked for. Of more than 50 queries or 20 matches only the first are drawn.

    Args:
        report: The matches.
        path: The PNG to write.
        allow_download: Also fetch matches that the index says are at a URL.

    Raises:
        InvalidValue: If the path cannot be that of a sheet; see `check_sheet_path`.
    """
    check_sheet_path(Path(path))
    mark = PngInfo()
    mark.add_text(SHEET_MARK, "made by featx search")
    sheet = draw_contact_sheet(report, allow_download=allow_download)
    with replace_file(Path(path)) as temporary:
        sheet.save(temporary, "PNG", pnginfo=mark)


def draw_contact_sheet(report: SearchReport, *, allow_download: bool = False) -> Image.Image:
    """Return the picture that `write_contact_sheet` writes."""
    results = report.results[:MAX_QUERIES]
    most = max((len(result.matches) for result in results), default=0)
    columns = 1 + min(most, MAX_MATCHES)
    width = MARGIN + columns * (TILE + MARGIN) + MARGIN
    height = MARGIN + max(1, len(results)) * (TILE + CAPTION + MARGIN)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    reader = LocationReader(allow_download=allow_download)
    named = LocationReader(allow_download=True)
    labels = {match.label for result in results for match in result.matches}
    for row, result in enumerate(results):
        top = MARGIN + row * (TILE + CAPTION + MARGIN)
        truth, key = true_label(result, labels), query_key(result)
        _paste(sheet, named if key is None else reader, result.path, key, (MARGIN, top))
        own = truth or Path(result.query).name
        write_caption(draw, (MARGIN, top), [("query", INK), (own, GREY)])
        for column, match in enumerate(result.matches[:MAX_MATCHES], start=1):
            left = 2 * MARGIN + column * (TILE + MARGIN)
            if truth is not None and match.label is not None:
                color = RIGHT if match.label == truth else WRONG
                box = (left - BORDER, top - BORDER, left + TILE + BORDER, top + TILE + BORDER)
                draw.rectangle(box, fill=color)
            _paste(sheet, reader, match.path, match.key, (left, top))
            draw_region(draw, match, (left, top), TILE)
            name = match.label or Path(match.key).name
            write_caption(draw, (left, top), [(name, INK), (f"{match.score:.3f}", GREY)])
    draw.line((MARGIN * 1.5 + TILE, MARGIN, MARGIN * 1.5 + TILE, height - MARGIN), fill=GREY)
    return sheet


def load_tile(
    reader: LocationReader, path: str, key: str | None, side: int = TILE
) -> Image.Image | None:
    """Return a picture as a square; None if it cannot be read.

    Args:
        reader: Reads it.
        path: Where it is.
        key: What a file calls it; None if the user named the path.
        side: Width and height.
    """
    try:
        if key is not None:
            check_inside(key)
            if path == key:  # An image that was passed in Python is in no file.
                raise FileNotFoundError(path)
        with open_picture(reader.read(path)) as image:
            image.draft("RGB", (side, side))
            upright = ImageOps.exif_transpose(image) or image
            return ImageOps.pad(upright.convert("RGB"), (side, side), color=BLANK)
    except Exception:  # Gone or damaged since it was indexed.
        return None


def draw_region(
    draw: ImageDraw.ImageDraw, match: Match, corner: tuple[int, int], side: int
) -> None:
    """Draw a frame around the region of a match that is like the query, if that is known.

    Args:
        draw: Draws on the picture where the tile is.
        match: The match.
        corner: Left and top of the tile.
        side: Its width and height; see `load_tile`.
    """
    if match.box is None or match.size is None:
        return
    scale = side / max(match.size)
    margins = [(side - length * scale) / 2 for length in match.size]
    left, top, right, bottom = (
        round(corner[n % 2] + margins[n % 2] + place * scale) for n, place in enumerate(match.box)
    )
    right, bottom = max(right - 1, left), max(bottom - 1, top)
    for inset, color in ((0, BOX_EDGE), (1, BOX), (2, BOX), (3, BOX_EDGE)):
        if right - left > 2 * inset and bottom - top > 2 * inset:
            frame = (left + inset, top + inset, right - inset, bottom - inset)
            draw.rectangle(frame, outline=color)


def query_key(result: QueryResult) -> str | None:
    """Return the key of a query that is an image of the store; None for a picture by its path."""
    return None if result.query == result.path else result.query


def true_label(result: QueryResult, labels: Collection[str | None]) -> str | None:
    """Return the class of a query: the name of its folder, if that is one of the labels found."""
    folder = Path(result.query).parent.name
    return folder if folder in labels else None


def _paste(
    sheet: Image.Image,
    reader: LocationReader,
    path: str,
    key: str | None,
    corner: tuple[int, int],
) -> None:
    """Draw one picture, or that it cannot be read."""
    tile = load_tile(reader, path, key)
    if tile is None:
        tile = Image.new("RGB", (TILE, TILE), BLANK)
        ImageDraw.Draw(tile).text((8, TILE // 2 - 8), "not readable", fill=GREY)
    sheet.paste(tile, corner)


def write_caption(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    lines: Sequence[tuple[str, tuple[int, int, int]]],
) -> None:
    """Write lines of text, each in its colour, below the picture at a corner."""
    left, top = corner
    font = ImageFont.load_default(size=12)
    for number, (line, color) in enumerate(lines):
        text = printable(line)
        if len(text) > TILE:  # A name from a file may be long, and each try draws all of it.
            text = text[:TILE] + "…"
        while len(text) > 1 and draw.textlength(text, font=font) > TILE:
            text = text[:-2] + "…"
        draw.text((left, top + TILE + 5 + 14 * number), text, fill=color, font=font)
