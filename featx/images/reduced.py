"""Large JPEGs decoded at a fraction of their size: which, how small, and what they then cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from featx.input_spec import InputSpec

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "MPO")
"""Formats whose `draft` scales the whole picture. Plugins may take the word otherwise: that of
pillow-heif (from 1.8 on) decodes an embedded thumbnail, which may show something else."""

SMOOTH = ("bilinear", "hamming", "bicubic", "lanczos")
"""Filters for which pictures are decoded at a fraction of their size. The result of the others
depends on single pixels: nearest takes one, box two or three of a small picture."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How a picture is decoded at a fraction of its size.

    Attributes:
        full_size: Width and height of the picture.
        covered: Width and height that the picture covers in the decoded pixels: the last column
            and the last row may be half outside.
    """

    full_size: tuple[int, int]
    covered: tuple[float, float]

    def transposed(self) -> Reduction:
        """Return the same for a picture that was turned by 90 degrees."""
        return Reduction(self.full_size[::-1], self.covered[::-1])


def reduce(image: Image.Image, contract: InputSpec) -> Reduction | None:
    """Have an opened picture decoded at a fraction of its size, where the contract allows that.

    Args:
        image: The picture; nothing of it is decoded yet.
        contract: Input size, interpolation, and the way of decoding.

    Returns:
        What the decoded pixels cover; None if all pixels are decoded.
    """
    allowed = contract.decode == "fast" and contract.interpolation in SMOOTH
    if not allowed or image.format not in FORMATS:
        return None
    # Of the longer side, since a picture may be stored on its side.
    side = contract.decode_margin * max(contract.width, contract.height)
    full_size = image.size
    drafted = image.draft(None, (side, side))
    if drafted is None or image.size == full_size:
        return None
    _, (_, _, width, height) = drafted
    return Reduction(full_size, (width, height))
