"""JPEG files that are whole, that only lack their end marker, and that end early.

libjpeg fills what is missing at the end of a picture with grey, and Pillow does not pass its
warning on. So the decoder is stopped where the data of the last scan end, given a few bytes more,
and asked whether it is done: with a whole picture it is. That takes no second decoding; a file
without an end marker, of which there are few, is decoded twice, with different bytes behind it.
"""

from __future__ import annotations

import io
import re
from typing import Any, TypeGuard

from PIL import Image, ImageChops, ImageFile

from featx.errors import ImageError
from featx.images.jpeg_markers import Scans, read_markers

TRUNCATED = "truncated JPEG: its data end before its last row"

HIERARCHICAL = "hierarchical JPEG: Pillow does not read this process (convert it to PNG)"

_END = b"\xff\xd9"

_FILLER = b"\xaa"
"""Not the end of a picture in any usual code: of files that lack their last 1 to 8 bytes before an
end marker, 4 % are taken for whole with this byte, and 9 to 40 % with others; those that lack more
never are."""

_AHEAD = 8 * _FILLER
"""libjpeg reads up to 64 bits ahead of those that it needs."""

_OTHER_AHEAD = 8 * b"\x55"

_NEED_MARKERS = frozenset(["progressive", "mp"])
"""What Pillow says of pictures of several scans, and of files of several pictures."""

_HOLE = 32
"""As many zero bytes at the end of a file without an end marker are a hole, not a picture."""

_TEXT = re.compile(rb"[ -~]{24,}")
"""Text, with which makers' trailers begin: a scan has as much at one place of 10^10."""

_FEWEST_LETTERS = 8

_OWN_LETTERS = 4
"""Last bytes of a scan that may look like letters of the text behind them."""

_NO_MEMORY = -9
"""Pillow's IMAGING_CODEC_MEMORY."""


def is_jpeg(image: Image.Image) -> TypeGuard[ImageFile.ImageFile]:
    """Whether a picture is a JPEG that has not been decoded yet."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return False
    return image.format in ("JPEG", "MPO")


def load_jpeg(image: ImageFile.ImageFile) -> None:
    """Decode the pixels of an opened JPEG as `image.load()` does, if it has all of them.

    Raises:
        ImageError: If it ends early, or is damaged.
    """
    assert isinstance(image.fp, io.BytesIO)
    data = image.fp.getvalue()[image.tile[0].offset :]
    image.load_prepare()
    reason = TRUNCATED
    try:
        is_whole = _decode_usual(image, data) or _decode_any(image, data)
    except ImageError as error:
        is_whole, reason = False, error.reason
    if not is_whole:
        raise ImageError(HIERARCHICAL if read_markers(data).is_hierarchical else reason)
    image.tile = []


def _decode_usual(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Decode a file whose first end marker is at its end; False for what may be another one.

    Rows that come with the filler, and not before, came from data without any marker: at one,
    libjpeg would have filled in the rest. So nothing has to be searched for.
    """
    if not data.endswith(_END) or not _NEED_MARKERS.isdisjoint(image.info):
        return False
    with _Decoder(image, image) as decoder:
        try:
            if not decoder.feed(memoryview(data)[: -len(_END)]):
                return decoder.feed(_AHEAD)
        except ImageError:
            return False
    scans = read_markers(data)
    return scans.end == len(data) - len(_END) and scans.gives_rows


def _decode_any(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Decode the data up to the end of the last scan; whether they are complete."""
    scans = read_markers(data)
    if not scans.are_all_there():
        return False
    end = _find_end(data, scans)
    if scans.is_arithmetic:
        return _decode_twice(image, data[:end], (b"", bytes(4) + 8 * _AHEAD), _END)
    if scans.gives_rows and not scans.has_end_marker:
        # What is decoded from other bytes behind it was not whole.
        return _decode_twice(image, data[:end], (_AHEAD, _OTHER_AHEAD))
    with _Decoder(image, image) as decoder:
        if decoder.feed(memoryview(data)[:end]):
            return True
        if scans.gives_rows:
            return decoder.feed(_AHEAD)
        # Rows come when the end marker has been read, whatever is missing.
        return decoder.is_behind_scan() and decoder.feed(_END)


class _Decoder:
    """Pillow's JPEG decoder, given the data piece by piece."""

    def __init__(self, image: ImageFile.ImageFile, target: Image.Image) -> None:
        name, extents, _, arguments = image.tile[0]
        self._decoder: Any = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)
        self._decoder.setimage(target.im, extents)
        self._rest = b""

    def __enter__(self) -> _Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.cleanup()

    def feed(self, data: bytes | memoryview) -> bool:
        """Decode further; whether all rows are there."""
        if self._rest:
            data = self._rest + data
        used, error = self._decoder.decode(data)
        if error == _NO_MEMORY:
            raise MemoryError
        if error < 0:
            raise ImageError("damaged JPEG: libjpeg cannot decode its data")
        self._rest = b"" if used < 0 else bytes(data[used:])
        return bool(used < 0)

    def is_behind_scan(self) -> bool:
        """Whether it stands behind a scan, where what is no marker is passed over.

        Inside a scan, at least one of two bytes given singly waits for more.
        """
        self.feed(_AHEAD)
        return all(not self.feed(_FILLER) and not self._rest for _ in range(2))


def _find_end(data: bytes, scans: Scans) -> int:
    """Return where the data of the last scan end, as far as what is behind them shows."""
    end = scans.end
    while data[end - 1 : end] == b"\xff":
        end -= 1
    if scans.has_end_marker:
        return end
    num_zeros = end - len(data[:end].rstrip(b"\0"))
    end -= num_zeros - 1 if num_zeros >= _HOLE else 0
    for text in _TEXT.finditer(data, scans.start, end):
        # Flat areas repeat a few bytes, which may be letters too.
        if len({*text[0]}) >= _FEWEST_LETTERS:
            return min(end, text.start() + _OWN_LETTERS)
    return end


def _decode_twice(
    image: ImageFile.ImageFile, data: bytes, endings: tuple[bytes, bytes], marker: bytes = b""
) -> bool:
    """Decode with two different endings; whether both give all rows, and the same pixels."""
    other = Image.new(image.mode, image.size)
    for target, rest in zip((image, other), endings, strict=True):
        with _Decoder(image, target) as decoder:
            if not decoder.feed(data + rest + marker):
                return False
    image.tile = []  # Or comparing would load it.
    return ImageChops.difference(image, other).getbbox() is None
