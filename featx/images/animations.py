"""Single frames of animations and pages of documents."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image

from featx.errors import ImageError
from featx.images.canvas import Unpainted
from featx.images.formats import open_picture
from featx.images.limits import check_pixels, decoding, largest_allowed
from featx.images.orientation import load_as_stored
from featx.images.reasons import describe

Encode = Callable[[Image.Image, int], bytes]
"""Encodes the stored pixels of a frame, and their orientation, as the bytes of a file."""


def count_frames(data: bytes) -> int:
    """Return the frames or pages of a picture; 1 for one that cannot be opened.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> pages = [Image.new("L", (4, 4), grey) for grey in (0, 255)]
        >>> pages[0].save(file, "GIF", save_all=True, append_images=pages[1:])
        >>> count_frames(file.getvalue())
        2
    """
    try:
        with open_picture(data) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # Decoding reports what is wrong with it.
        return 1


def take_frame(data: bytes, number: int, encode: Encode) -> bytes:
    """Return one frame of a picture as a picture of its own.

    Raises:
        ImageError: If there is no such frame.
    """
    try:
        with open_picture(data) as image:
            return _encode_frame(image, Unpainted(image), number, encode)
    except MemoryError:
        raise
    except EOFError:
        raise ImageError(f"there is no frame {number} in it") from None
    except Exception as error:  # As in `decode_image`.
        raise ImageError(describe(error, data, largest_allowed())) from error


def _encode_frame(image: Image.Image, unpainted: Unpainted, number: int, encode: Encode) -> bytes:
    """Go to a frame and encode it."""
    with decoding(image):
        unpainted.seek(image, number)
        check_pixels(image, largest_allowed(), f"frame {number}")
        return encode(*load_as_stored(image, unpainted))


class FrameTaker:
    """Takes frames of one picture, which is opened once if they are asked for roughly in order.

    An animation can only be decoded from its beginning.

    Args:
        data: The bytes of the file.
        encode: Encodes a frame as a file.
        keeps_passed: Keep some of the frames that are passed: other threads ask for them.
    """

    def __init__(self, data: bytes, encode: Encode, *, keeps_passed: bool) -> None:
        self._data = data
        self._encode = encode
        self._keeps_passed = keeps_passed
        self._lock = threading.Lock()
        self._opened: tuple[Image.Image, Unpainted] | None = None
        self._next = 0
        self._passed: OrderedDict[int, bytes] = OrderedDict()

    def take(self, number: int) -> bytes:
        """Return one frame; see `take_frame`."""
        with self._lock:
            if number in self._passed:
                return self._passed.pop(number)
            try:
                return self._take(number)
            except MemoryError:
                self._opened = None
                raise
            except Exception:
                self._opened = None
        # Opened again, so that the error is that of this frame and of no other.
        return take_frame(self._data, number, self._encode)

    def _take(self, number: int) -> bytes:
        if self._opened is None or number < self._next:
            image = open_picture(self._data)
            self._opened, self._next = (image, Unpainted(image)), 0
        if self._keeps_passed:
            for passed in range(max(self._next, number - _MOST_PASSED), number):
                self._passed[passed] = self._encode_next(*self._opened, passed)
            while self._passed and (
                len(self._passed) > _MOST_PASSED
                or sum(map(len, self._passed.values())) > _MOST_PASSED_BYTES
            ):
                self._passed.popitem(last=False)
        return self._encode_next(*self._opened, number)

    def _encode_next(self, image: Image.Image, unpainted: Unpainted, number: int) -> bytes:
        encoded = _encode_frame(image, unpainted, number, self._encode)
        self._next = number + 1
        return encoded


_MOST_PASSED = 16
_MOST_PASSED_BYTES = 64 << 20
