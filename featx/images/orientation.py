"""Decoding pixels upright, as the camera's EXIF data say."""

from __future__ import annotations

from PIL import ExifTags, Image

from featx.images.canvas import Unpainted, load_canvas
from featx.input_spec import InputSpec

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the transposition that turns the pixels upright (Exif 2.32, tag 0x0112)."""

_TURNS_BACK = _TURNS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def load_upright(
    image: Image.Image, contract: InputSpec, unpainted: Unpainted | None = None
) -> Image.Image:
    """Decode the pixels, turned as the contract's EXIF policy says.

    Args:
        image: The picture, at one of its frames.
        contract: Says whether the orientation is applied.
        unpainted: See `load_canvas`.

    `ImageOps.exif_transpose` is not used: it fails on any other tag of a type that it cannot
    write back.
    """
    if image.format == "TIFF":  # Pillow turns these while loading, and drops the tag.
        orientation = _orientation(image)
        image.load()
        turn = _TURNS_BACK.get(orientation) if contract.exif == "ignore" else None
        return image if turn is None else image.transpose(turn)
    canvas = load_canvas(image, unpainted)
    turn = _TURNS.get(_orientation(image)) if contract.exif == "apply" else None
    return canvas if turn is None else canvas.transpose(turn)


def load_as_stored(
    image: Image.Image, unpainted: Unpainted | None = None
) -> tuple[Image.Image, int]:
    """Decode the pixels as they are stored, not turned; return them with the orientation.

    Args:
        image: The picture, at one of its frames.
        unpainted: See `load_canvas`.
    """
    orientation = _orientation(image)
    canvas = load_canvas(image, unpainted)
    if orientation not in _TURNS:
        return canvas, 1
    if image.format == "TIFF":
        return canvas.transpose(_TURNS_BACK[orientation]), orientation
    return canvas, orientation


def is_turned_sideways(image: Image.Image, contract: InputSpec) -> bool:
    """Whether `load_upright` gives a picture whose width is the height that Pillow states.

    Of a TIFF, Pillow states the size as it is looked at.
    """
    is_sideways = _orientation(image) in (5, 6, 7, 8)
    return is_sideways and (contract.exif == "apply") != (image.format == "TIFF")


def remaining_orientation(image: Image.Image, contract: InputSpec) -> int:
    """Return the EXIF orientation by which what `load_upright` gives is to be turned still."""
    orientation = _orientation(image)
    return orientation if contract.exif == "ignore" and orientation in _TURNS else 1


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none that can be parsed."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def turn_box(
    box: tuple[int, int, int, int], size: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Return a box of pixels as they are stored, in pixels as they are seen.

    Args:
        box: Left, top, right, bottom.
        size: Width and height as they are stored.
        orientation: The EXIF orientation, 1 to 8.

    Example:
        >>> turn_box((0, 0, 10, 20), (100, 50), 6)  # The camera's left is the top.
        (30, 0, 50, 10)
    """
    (left, top, right, bottom), (width, height) = box, size
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    if orientation in (5, 6, 7, 8):
        left, top, right, bottom = top, left, bottom, right
    return left, top, right, bottom
