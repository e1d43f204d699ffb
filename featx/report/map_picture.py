"""A map as one picture: points in the colours of clusters, thumbnails where there is room."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from featx.atomic import replace_file
from featx.errors import ImageError, InvalidValue
from featx.events import Listener
from featx.images.sources import SHEET_MARK
from featx.report.map_detail import order_by_detail
from featx.report.map_tables import picture_file
from featx.report.page.sprites import read_thumbnails
from featx.report.text import printable

if TYPE_CHECKING:
    from featx.curation.mapping import MapReport

SIDE, MARGIN = 1600, 60
"""Of the picture, in pixels."""

THUMBNAIL = 52
INK, PAPER, GREY = (32, 32, 32), (255, 255, 255), (150, 150, 150)
LONGEST_NAME = 32


def write_map_picture(report: MapReport, path: Path, listener: Listener) -> None:
    """Write a PNG of 1600 x 1600 pixels.

    Args:
        report: The map.
        path: The file.
        listener: Receives progress.

    Raises:
        InvalidValue: If it cannot be written.
    """
    mark = PngInfo()
    mark.add_text(SHEET_MARK, "made by featx map")
    picture = draw_map(report, listener)
    try:
        with replace_file(path) as temporary:
            picture.save(temporary, "PNG", pnginfo=mark)
    except OSError as error:
        raise InvalidValue(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def draw_map(report: MapReport, listener: Listener) -> Image.Image:
    """Return the picture that `write_map_picture` writes."""
    picture = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw = ImageDraw.Draw(picture)
    places = MARGIN + report.positions * (SIDE - 2 * MARGIN)
    radius = 4 if len(report) <= 5_000 else 2
    colours = [_colour(rank) for rank in range(len(report.clusters))]
    for (x, y), number in zip(places.tolist(), report.cluster.tolist(), strict=True):
        colour = GREY if number < 0 else colours[number]
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    first = [row for cluster in report.clusters for row in cluster.representatives]
    shown = _choose_shown(places, order_by_detail(report.positions, first))
    files = [picture_file(report, row) for row in shown]
    for row, thumbnail in zip(shown, read_thumbnails(files, listener), strict=True):
        if not isinstance(thumbnail, ImageError):
            number = int(report.cluster[row])
            _paste(picture, thumbnail, places[row], GREY if number < 0 else colours[number])
    for number, cluster in enumerate(report.clusters):
        x, y = np.median(places[report.cluster == number], axis=0).tolist()
        _write_name(draw, (x, y), cluster.name)
    return picture


def _choose_shown(places: np.ndarray, order: np.ndarray) -> list[int]:
    """Return the rows whose thumbnails overlap none that is drawn before."""
    taken: dict[tuple[int, int], tuple[float, float]] = {}
    shown = []
    side = THUMBNAIL + 4
    for row in order.tolist():
        x, y = places[row].tolist()
        column, line = int(x // side), int(y // side)
        around = [taken.get((column + dx, line + dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        if all(one is None or max(abs(one[0] - x), abs(one[1] - y)) >= side for one in around):
            taken[column, line] = (x, y)
            shown.append(row)
    return shown


def _paste(
    picture: Image.Image, thumbnail: bytes, place: np.ndarray, colour: tuple[int, int, int]
) -> None:
    with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as opened:
        small = opened.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    left, top = (
        round(float(at)) - length // 2 for at, length in zip(place, small.size, strict=True)
    )
    box = (left - 2, top - 2, left + small.width + 1, top + small.height + 1)
    ImageDraw.Draw(picture).rectangle(box, fill=colour)
    picture.paste(small, (left, top))


def _write_name(draw: ImageDraw.ImageDraw, place: tuple[float, float], name: str) -> None:
    text = printable(name)
    text = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
    font = ImageFont.load_default(22)
    options = {"anchor": "mm", "font": font, "stroke_width": 4, "stroke_fill": PAPER}
    draw.text(place, text, fill=INK, **options)  # type: ignore[arg-type]


def _colour(rank: int) -> tuple[int, int, int]:
    """Return a colour unlike those before: hues a golden angle apart, as on the page."""
    import colorsys

    red, green, blue = colorsys.hls_to_rgb((215 + rank * 137.508) % 360 / 360, 0.46, 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)
