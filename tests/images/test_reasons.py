"""A refused picture says why, and what it says is true."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, features

from featx.errors import ImageError
from featx.images.animations import take_frame
from featx.images.decode import decode_image
from featx.input_spec import InputSpec
from tests.images.picture_files import encode

CONTRACT = InputSpec(4, 4, scaling="raw")
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))


def reason_for(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, CONTRACT)
    return caught.value.reason


def tiff(*, samples: int = 1, bits: int = 8, kind: int = 1, compression: int = 1) -> bytes:
    """A TIFF of 4 x 4 pixels, all zero."""
    num_bytes = 16 * samples * bits // 8
    tags = [
        (256, 4, 1, 4),
        (257, 4, 1, 4),
        (258, 3, 1, bits),
        (259, 3, 1, compression),
        (262, 3, 1, 2 if samples >= 3 else 1),
        (273, 4, 1, 8),
        (277, 3, 1, samples),
        (278, 4, 1, 4),
        (279, 4, 1, num_bytes),
        (339, 3, 1, kind),
    ]
    if samples > 1:  # Several values of 2 bytes are behind the directory.
        behind = 8 + num_bytes + 2 + 12 * len(tags) + 4
        tags[2], tags[9] = (258, 3, samples, behind), (339, 3, samples, behind + 2 * samples)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    values = struct.pack(f"<{samples}H", *[bits] * samples)
    values += struct.pack(f"<{samples}H", *[kind] * samples)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4) + values
    return b"II*\0" + struct.pack("<I", 8 + num_bytes) + bytes(num_bytes) + directory


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("bits", [16, 32, 64])
def test_floating_point_tiffs(samples: int, bits: int) -> None:
    reason = reason_for(tiff(samples=samples, bits=bits, kind=3))
    assert reason == "floating-point pixels have no defined 8-bit meaning"


def test_tiffs_of_samples_that_pillow_does_not_read() -> None:
    assert decode_image(tiff(), CONTRACT).shape == (4, 4, 3)
    assert reason_for(tiff(bits=64, kind=5)) == "complex numbers are no pixels"
    expected = "TIFF of 3 x 32-bit samples{}: Pillow does not read such pixels"
    assert reason_for(tiff(samples=3, bits=32)) == expected.format("")
    assert reason_for(tiff(samples=3, bits=32, kind=2)) == expected.format(" with a sign")


@pytest.mark.parametrize("kind", [1, 2])
def test_tiffs_of_32_bit_integers_whatever_their_values(kind: int) -> None:
    reason = reason_for(tiff(bits=32, kind=kind))
    assert reason == "32-bit integer pixels have no defined 8-bit meaning"
    assert decode_image(tiff(bits=16), CONTRACT).shape == (4, 4, 3)


@pytest.mark.parametrize("num_bytes", [8, 33, 200])
def test_pngs_that_end_early(num_bytes: int) -> None:
    assert reason_for(encode(PICTURE, "PNG")[:num_bytes]) == "truncated PNG: its data end early"


@pytest.mark.parametrize(
    ("method", "name"), [(34887, "LERC"), (34712, "JPEG 2000"), (99, "method 99")]
)
def test_tiffs_compressed_in_a_way_that_is_not_read(method: int, name: str) -> None:
    reason = reason_for(tiff(compression=method))
    assert reason.startswith("damaged TIFF, or compressed in a way that this Pillow does not read")
    assert reason.endswith(f"({name})")


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1, 330: 8}])
def test_the_preview_in_a_raw_file_is_not_taken_for_the_picture(tags: dict[int, object]) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for number, value in tags.items():
        info.tagtype[number] = 1 if isinstance(value, bytes) else 4
        info[number] = value
    reason = reason_for(encode(PICTURE, "TIFF", tiffinfo=info))
    assert reason.startswith("a camera's raw file: develop it first")
    assert decode_image(encode(PICTURE, "TIFF"), CONTRACT).shape == (4, 4, 3)


def test_a_raw_file_without_a_preview_is_named_too() -> None:
    data = bytearray(encode(Image.new("L", (4, 4)), "TIFF"))
    entry = struct.pack("<HHIH", 262, 3, 1, 1)
    assert data.count(entry) == 1
    where = data.index(entry)
    data[where + 8 : where + 10] = struct.pack("<H", 32803)
    assert reason_for(bytes(data)).startswith("a camera's raw file: develop it first")


def test_jpegs_of_12_bits() -> None:
    data = bytearray(encode(PICTURE, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert (
        reason_for(bytes(data)) == "JPEG with 12 bits for each sample: only those with 8 are read"
    )


def test_jpegs_of_two_channels() -> None:
    data = bytearray(encode(PICTURE, "JPEG"))
    data[data.index(b"\xff\xc0") + 9] = 2
    assert reason_for(bytes(data)) == "JPEG with 2 channels: only those with 1, 3 or 4 are read"


def test_bmps_with_unusual_bit_masks() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<III", 0b110000, 0b001110, 0b000001)
    data = b"BM" + struct.pack("<IHHI", 74, 0, 0, 66) + header + masks + bytes(8)
    assert reason_for(data) == "BMP with bit masks that Pillow does not read: convert it to PNG"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_that_cannot_be_parsed_is_not_told_to_install_pillow() -> None:
    data = encode(PICTURE, "AVIF")
    for damaged in (data[:60] + bytes(60) + data[120:], data[: len(data) // 2]):
        reason = reason_for(damaged)
        assert reason.startswith(("damaged or unsupported AVIF: ", "truncated AVIF"))
        assert "install" not in reason


@pytest.mark.skipif(features.check("avif"), reason="this Pillow has AVIF")
def test_an_avif_without_a_decoder_says_what_to_install() -> None:
    assert "install Pillow 11.3" in reason_for(b"\0\0\0\x1cftypavif" + bytes(100))


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n  <html lang='en'>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "SVG"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\1\0\1\0", "an icon"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08", "JPEG-LS"),
        (b"PK\x03\x04", "an archive"),
        (b"\0\0\0\x18ftypmp42", "a video"),
    ],
)
def test_files_that_are_something_else_are_named(begin: bytes, what: str) -> None:
    reason = reason_for(begin + bytes(100))
    assert reason.startswith(f"not an image in a format that featx reads: it is {what}")


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "TGA"])
def test_a_file_that_ends_early_is_not_called_unknown(file_format: str) -> None:
    data = encode(PICTURE, file_format)
    reason = reason_for(data[: len(data) // 2])
    shown = {"PPM": "PNM", "JPEG2000": "JPEG 2000"}.get(file_format, file_format)
    assert shown in reason
    assert "not an image" not in reason


def test_a_jpeg_of_a_process_that_nothing_decodes_is_not_called_damaged() -> None:
    data = encode(PICTURE, "JPEG")
    frame = data.index(b"\xff\xc0")
    header = data[frame + 2 : frame + 19]
    pyramid = data[:frame] + b"\xff\xde" + header + data[frame:]
    differential = data[:frame] + b"\xff\xc5" + data[frame + 2 :]
    for changed in (pyramid, differential):
        assert reason_for(changed).startswith("hierarchical JPEG: Pillow does not read this")


@pytest.mark.parametrize("options", [{}, {"compression": "tga_rle"}])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_tga_that_ends_early(mode: str, options: dict[str, str]) -> None:
    data = encode(PICTURE.convert(mode), "TGA", **options)
    assert reason_for(data[: len(data) * 3 // 4]) == "truncated TGA: its data end early"


def test_a_damaged_header_is_not_called_an_unknown_format() -> None:
    data = bytearray(encode(PICTURE, "PNG"))
    data[16:24] = bytes(8)
    assert reason_for(bytes(data)).startswith("damaged or unsupported PNG: ")


def test_a_frame_says_the_same() -> None:
    pages = [PICTURE, PICTURE.rotate(90)]
    data = encode(pages[0], "GIF", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match=r"^(truncated|damaged or unsupported) GIF"):
        take_frame(data[: len(data) * 3 // 4], 1, lambda image, orientation: b"")
