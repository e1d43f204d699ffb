"""Which part of a picture a model sees, and where in its input it is: by the resize rule."""

from __future__ import annotations

from dataclasses import dataclass

from featx.input_spec import InputSpec

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture is in a model's input.

    Attributes:
        seen: The box of the picture that the model sees, in pixels of the picture.
        inside: Where that is in the input, in pixels of the input.
    """

    seen: Box
    inside: Box

    def to_picture(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return a box of the input, in pixels of the picture: inside of it, and not empty."""
        (x1, y1), (x2, y2) = self._point(left, top), self._point(right, bottom)
        x, y = min(round(x1), self.seen[2] - 1), min(round(y1), self.seen[3] - 1)
        return x, y, max(round(x2), x + 1), max(round(y2), y + 1)

    def _point(self, x: float, y: float) -> tuple[float, float]:
        found = []
        for axis, place in enumerate((x, y)):
            low, high = self.seen[axis], self.seen[axis + 2]
            start, end = self.inside[axis], self.inside[axis + 2]
            share = (place - start) / (end - start)
            found.append(low + min(max(share, 0.0), 1.0) * (high - low))
        return found[0], found[1]


def place(size: tuple[int, int], contract: InputSpec) -> Placement:
    """Return where a picture of some width and height is in a model's input.

    Example:
        >>> place((200, 100), InputSpec(50, 50, resize="crop"))
        Placement(seen=(50, 0, 150, 100), inside=(0, 0, 50, 50))
        >>> place((200, 100), InputSpec(50, 50, resize="pad")).inside
        (0, 12, 50, 37)
    """
    (full_width, full_height), width, height = size, contract.width, contract.height
    if contract.resize == "crop":
        # The largest centred box of the target's proportions, in whole pixels as
        # keras.utils.load_img(keep_aspect_ratio=True) takes it.
        box_width = min(full_width, max(1, full_height * width // height))
        box_height = min(full_height, max(1, full_width * height // width))
        left, top = (full_width - box_width) // 2, (full_height - box_height) // 2
        return Placement((left, top, left + box_width, top + box_height), (0, 0, width, height))
    whole = (0, 0, full_width, full_height)
    if contract.resize == "stretch":
        return Placement(whole, (0, 0, width, height))
    # As ImageOps.contain; at least one pixel, however narrow it is.
    if full_width / full_height > width / height:
        across, down = width, max(1, round(full_height / full_width * width))
    else:
        across, down = max(1, round(full_width / full_height * height)), height
    left, top = round((width - across) / 2), round((height - down) / 2)
    return Placement(whole, (left, top, left + across, top + down))
