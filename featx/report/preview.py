"""Queries and matches as pictures in the terminal: ``featx search --preview``."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from featx.images.sources.locations import LocationReader
from featx.report.contact_sheet import BLANK, draw_region, load_tile, query_key
from featx.report.text import printable

if TYPE_CHECKING:
    from featx.index.searching import QueryResult, SearchReport

MAX_QUERIES, MAX_MATCHES = 50, 20

CELL = (8, 16)
"""Pixels of a character, where a terminal draws pixels: most are about so."""

_KITTY_CHUNK = 4096
"""Bytes of a part of an image (https://sw.kovidgoyal.net/kitty/graphics-protocol/)."""

_SIXEL_COLORS = 256

Protocol = Callable[[Image.Image, int], str]


def choose_protocol(environment: Mapping[str, str]) -> Protocol:
    """Return how a terminal draws pictures, by the variables that it sets; half blocks if unsure.

    Within tmux and screen, which do not pass pictures on, these are half blocks, too.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or term.startswith("screen"):
        return half_blocks
    if "kitty" in term or "ghostty" in term or "KITTY_WINDOW_ID" in environment:
        return kitty
    if program in ("iTerm.app", "WezTerm", "mintty", "vscode") or "KONSOLE_VERSION" in environment:
        return iterm2
    if term.startswith(("foot", "mlterm", "contour", "yaft")) or "sixel" in term:
        return sixel
    return half_blocks


def draw_previews(
    report: SearchReport, protocol: Protocol, *, width: int, height: int
) -> list[str]:
    """Return what to write: for each query its picture and its matches, in rows.

    Args:
        report: The matches.
        protocol: How pictures are drawn.
        width: Columns of the terminal.
        height: Lines of each picture, which is twice as many columns wide.
    """
    columns = 2 * height + 1
    per_row = max(1, width // columns)
    scale = 2 if protocol is half_blocks else CELL[1]
    texts = []
    for result in report.results[:MAX_QUERIES]:
        pictures = _list_pictures(result, height * scale)
        for start in range(0, len(pictures), per_row):
            row = pictures[start : start + per_row]
            strip = _join([picture for picture, _ in row], columns * scale // 2)
            captions = "".join(_fit(caption, columns) for _, caption in row).rstrip()
            texts.append(f"{protocol(strip, height)}\n{captions}\n")
    return texts


def _list_pictures(result: QueryResult, side: int) -> list[tuple[Image.Image, str]]:
    reader = LocationReader()
    key = query_key(result)
    named = LocationReader(allow_download=True) if key is None else reader
    blank = Image.new("RGB", (side, side), BLANK)
    pictures = [(load_tile(named, result.path, key, side) or blank, "query")]
    for match in result.matches[:MAX_MATCHES]:
        picture = load_tile(reader, match.path, match.key, side) or blank.copy()
        draw_region(ImageDraw.Draw(picture), match, (0, 0), side)
        pictures.append((picture, f"{match.rank} {match.score:.3f} {match.label or ''}"))
    return pictures


def _join(pictures: Sequence[Image.Image], step: int) -> Image.Image:
    strip = Image.new("RGB", (step * len(pictures), pictures[0].height))
    for number, picture in enumerate(pictures):
        strip.paste(picture, (number * step, 0))
    return strip


def _fit(text: str, columns: int) -> str:
    shown = printable(text)
    return (shown if len(shown) < columns else f"{shown[: columns - 2]}…").ljust(columns)


def half_blocks(image: Image.Image, height: int) -> str:
    """Draw with U+2580, the upper half of a character, in 24-bit colours: two pixels in each."""
    small = image.resize((round(image.width * 2 * height / image.height), 2 * height))
    pixels = np.asarray(small.convert("RGB")).tolist()
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(upper, lower, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def kitty(image: Image.Image, height: int) -> str:
    """Draw by kitty's protocol: a PNG in Base64, in parts."""
    data = _to_png(image)
    parts = [data[i : i + _KITTY_CHUNK] for i in range(0, len(data), _KITTY_CHUNK)]
    texts = []
    for number, part in enumerate(parts):
        first = f"a=T,f=100,q=2,r={height}," if number == 0 else ""
        texts.append(f"\x1b_G{first}m={int(number + 1 < len(parts))};{part}\x1b\\")
    return "".join(texts)


def iterm2(image: Image.Image, height: int) -> str:
    """Draw by iTerm2's protocol (https://iterm2.com/documentation-images.html)."""
    return f"\x1b]1337;File=inline=1;height={height};preserveAspectRatio=1:{_to_png(image)}\x07"


def sixel(image: Image.Image, height: int) -> str:
    """Draw as sixels: six rows of pixels at a time, a pass for each colour (DEC STD 070)."""
    small = image.convert("RGB").quantize(_SIXEL_COLORS, dither=Image.Dither.NONE)
    palette = small.getpalette() or []
    pixels = np.asarray(small)
    text = [f'\x1bPq"1;1;{small.width};{small.height}']
    for index in np.unique(pixels).tolist():
        red, green, blue = (round(100 * v / 255) for v in palette[3 * index : 3 * index + 3])
        text.append(f"#{index};2;{red};{green};{blue}")
    for top in range(0, small.height, 6):
        rows = pixels[top : top + 6]
        values = 1 << np.arange(len(rows))[:, np.newaxis]
        for index in np.unique(rows).tolist():
            bits = (np.where(rows == index, values, 0).sum(axis=0) + 63).astype(np.uint8)
            text.append(f"#{index}{bits.tobytes().decode('ascii')}$")
        text.append("-")
    return "".join(text) + "\x1b\\"


def _to_png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
