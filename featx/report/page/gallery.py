"""Pictures of a page, each with its caption."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from featx.errors import ImageError
from featx.images.roots import Root
from featx.report.page.markup import Content, Markup, break_path, element, isolate, join
from featx.report.page.thumbnails import Thumbnails

SHOWN_LETTERS = 36
"""Of a location: what two lines below a picture hold."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture with its caption.

    Attributes:
        location: Where the picture is; with a root, its key. Its end is shown below the picture,
            and all of it is the alternative text.
        title: What the caption says first.
        detail: What it says below that; may be empty.
        true_class: The true class, where that is not the title.
        is_right: Green if True, red if False, with a mark in front of the title for those who do
            not see colours; neither if None.
        content_hash: BLAKE2b-128 of the picture's bytes, if that is known.
        root: What a store or an index says that the key is relative to.
        frame: A box around which a frame is drawn, in pixels: left, top, right and bottom.
        size: Width and height of the picture with these pixels.
    """

    location: str
    title: str
    detail: str = ""
    true_class: str | None = None
    is_right: bool | None = None
    content_hash: bytes | None = None
    root: Root | None = None
    frame: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None


def make_gallery(label: str, tiles: Iterable[Tile], thumbnails: Thumbnails) -> Markup:
    """Return pictures in rows, as many in each as there is room for.

    A picture that cannot be shown leaves its place, with the reason in it.

    Args:
        label: What they are, for screen readers.
        tiles: The pictures.
        thumbnails: Where they come from.
    """
    figures = [element("li", _make_figure(tile, thumbnails)) for tile in tiles]
    return element("ul", figures, class_="gallery", aria_label=label)


def _draw_frame(tile: Tile) -> Content:
    """Draw the frame over a picture, which fills its place as `object-fit: contain` says."""
    if tile.frame is None or tile.size is None:
        return ""
    left, top, right, bottom = tile.frame
    sides = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    lines = [element("rect", **sides, class_=name) for name in ("frame-edge", "frame")]
    width, height = tile.size
    return element("svg", lines, viewBox=f"0 0 {width} {height}", aria_hidden="true")


def _describe(tile: Tile) -> Content:
    if tile.true_class is None:
        return tile.detail
    return [f"{tile.detail}; true: ", isolate(tile.true_class)]


def _clip(location: str) -> str:
    """Leave out the first folders of a long location: the name at its end tells pictures apart.

    Example:
        >>> _clip("work/photographs/2026/flowers/train/daisy/0001.jpg")
        '…/2026/flowers/train/daisy/0001.jpg'
        >>> _clip("daisy/0001.jpg")
        'daisy/0001.jpg'
    """
    if len(location) <= SHOWN_LETTERS:
        return location
    end = location[-SHOWN_LETTERS:]
    return f"…/{end.partition('/')[2]}" if "/" in end else f"…{end}"


def _make_figure(tile: Tile, thumbnails: Thumbnails) -> Markup:
    try:
        address = thumbnails.get(tile.location, tile.content_hash, tile.root)
        picture = join([element("img", src=address, alt=tile.location), _draw_frame(tile)])
    except ImageError as error:
        picture = element("span", error.reason, class_="missing")
    state = {True: "right", False: "wrong", None: None}[tile.is_right]
    mark = {True: "✓", False: "✗", None: ""}[tile.is_right]
    title = [element("span", mark, role="img", aria_label=state), " "] if state else []
    return element(
        "figure",
        element("div", picture, class_="picture"),
        element(
            "figcaption",
            element("div", title, isolate(tile.title), class_=f"title {state or ''}".strip()),
            element("div", _describe(tile), class_="note detail"),
            element("div", break_path(_clip(tile.location)), class_="path", title=tile.location),
        ),
        class_=f"is-{state}" if state else None,
    )
