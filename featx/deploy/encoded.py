"""Encoded JPEG and PNG pictures to pixels, in operations of TensorFlow.

What a graph can do of `featx.images.decode`: all pixels in sRGB, transparency on the background,
16-bit samples by their high byte, and the camera's orientation where a JPEG states it in its first
64 KiB. It reads no CMYK, applies no colour profiles, and no orientation of a PNG.
"""

from __future__ import annotations

from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.input_spec import InputSpec

_BEGINNING = 1 << 16
"""Bytes of a file in which its Exif data are looked for."""

_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_ENTRY = 12
"""Bytes of an entry of a TIFF directory."""


def decode(data: Any, contract: InputSpec) -> Any:
    """Decode one file, a scalar string, to uint8 (h, w, 3), turned as its contract says."""
    tensorflow = import_tensorflow()

    def jpeg() -> Any:
        pixels = tensorflow.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
        return _turn(pixels, _orientation(data)) if contract.exif == "apply" else pixels

    def png() -> Any:
        return _composite(tensorflow.io.decode_png(data, 4), contract.background)

    pixels = tensorflow.cond(tensorflow.io.is_jpeg(data), jpeg, png)
    return tensorflow.ensure_shape(pixels, (None, None, 3))


def _composite(pixels: Any, background: tuple[int, int, int]) -> Any:
    """Put RGBA on a colour, rounded as Pillow does (`src/libImaging/AlphaComposite.c`)."""
    tensorflow = import_tensorflow()
    values = tensorflow.cast(pixels, tensorflow.int32)
    share = values[..., 3:] * 128
    mixed = values[..., :3] * share + tensorflow.constant(background) * (255 * 128 - share)
    rounded = mixed + (0x80 << 7)
    return tensorflow.cast((((rounded // 256) + rounded) // 256) // 128, tensorflow.uint8)


def _turn(pixels: Any, orientation: Any) -> Any:
    """Turn pixels upright (Exif 2.32, tag 0x0112); of 1 to 8, others are 1."""
    tensorflow = import_tensorflow()
    mirrored, upturned, around = pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]
    turns = [
        lambda: mirrored,
        lambda: around,
        lambda: upturned,
        lambda: tensorflow.transpose(pixels, (1, 0, 2)),
        lambda: tensorflow.transpose(upturned, (1, 0, 2)),
        lambda: tensorflow.transpose(around, (1, 0, 2)),
        lambda: tensorflow.transpose(mirrored, (1, 0, 2)),
    ]
    return tensorflow.switch_case(orientation - 2, turns, default=lambda: pixels)


def _orientation(data: Any) -> Any:
    """Return what the Exif data of a JPEG say, int32; 1 where nothing is found."""
    tensorflow = import_tensorflow()
    start = tensorflow.strings.substr(data, 0, _BEGINNING)
    values = tensorflow.cast(tensorflow.io.decode_raw(start, tensorflow.uint8), tensorflow.int32)
    # So that every address below is inside.
    values = tensorflow.pad(values, [[0, 64]])
    last = tensorflow.size(values) - len(_EXIF)
    matches = [tensorflow.equal(values[i : last + i], byte) for i, byte in enumerate(_EXIF)]
    found = tensorflow.reduce_all(tensorflow.stack(matches), axis=0)
    begin = tensorflow.cast(tensorflow.argmax(found), tensorflow.int32) + len(_EXIF)
    is_little = tensorflow.equal(values[begin], ord("I"))

    def number(address: Any, count: int) -> Any:
        address = tensorflow.clip_by_value(address, 0, tensorflow.size(values) - count)
        steps = tensorflow.range(count)
        places = tensorflow.where(is_little, steps, count - 1 - steps)
        bytes_ = tensorflow.gather(values, address[..., None] + steps)
        return tensorflow.reduce_sum(bytes_ * 256**places, axis=-1)

    directory = begin + number(begin + 4, 4)
    count = tensorflow.minimum(number(directory, 2), 64)
    entries = directory + 2 + _ENTRY * tensorflow.range(count)
    is_tag = tensorflow.equal(number(entries, 2), _ORIENTATION)
    value = tensorflow.reduce_max(tensorflow.where(is_tag, number(entries + 8, 2), 1))
    is_there = tensorflow.logical_and(tensorflow.reduce_any(found), tensorflow.reduce_any(is_tag))
    return tensorflow.where(is_there, value, 1)
