from __future__ import annotations

import io
import struct
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

import featx.images.conversion
import featx.images.decode
import featx.images.limits
from featx.errors import ImageError
from featx.images.decode import decode_image
from featx.images.limits import MAX_PIXELS
from featx.images.orientation import load_upright
from featx.input_spec import InputSpec, Interpolation, Resize
from tests.images.picture_files import (
    encode,
    exif_block,
    huge_png,
    orientation_entry,
    png_file,
)

WHITE, BLACK = [255, 255, 255], [0, 0, 0]

FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode(data: bytes, height: int, width: int, **fields: Any) -> np.ndarray:
    return decode_image(data, InputSpec(height=height, width=width, **fields))


def picture(height: int, width: int, *, channels: int = 3, seed: int = 7) -> Image.Image:
    """A picture in which every pixel differs from its neighbours."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


# ---- every mode to RGB ----


def test_rgb_is_taken_as_it_is() -> None:
    image = picture(3, 5)
    decoded = decode(encode(image, "PNG"), 3, 5)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, np.asarray(image))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_give_their_pixels(file_format: str) -> None:
    image = picture(4, 3)
    np.testing.assert_array_equal(decode(encode(image, file_format), 4, 3), np.asarray(image))


def test_lossless_webp_gives_its_pixels() -> None:
    image = picture(4, 3)
    decoded = decode(encode(image, "WEBP", lossless=True), 4, 3)
    np.testing.assert_array_equal(decoded, np.asarray(image))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_gives_its_pixels() -> None:
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    decoded = decode(encode(image, "AVIF", quality=100), 16, 16)
    np.testing.assert_allclose(decoded, np.asarray(image), atol=2)


def test_jpeg_gives_what_pillow_decodes() -> None:
    data = encode(picture(16, 24), "JPEG", quality=80)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data, 16, 24), expected)


def test_grey_is_repeated_for_each_channel() -> None:
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    decoded = decode(encode(Image.fromarray(grey), "PNG"), 2, 2)
    assert decoded.tolist() == [[[0] * 3, [100] * 3], [[200] * 3, [255] * 3]]


def test_bilevel_becomes_black_and_white() -> None:
    image = Image.fromarray(np.array([[True, False], [False, True]]))
    assert image.mode == "1"
    assert decode(encode(image, "PNG"), 2, 2).tolist() == [[WHITE, BLACK], [BLACK, WHITE]]


def palette_picture() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    return image


def test_palette_is_looked_up() -> None:
    decoded = decode(encode(palette_picture(), "PNG"), 1, 3)
    assert decoded.tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


def test_transparent_palette_entry_gets_the_background() -> None:
    data = encode(palette_picture(), "PNG", transparency=1)
    assert decode(data, 1, 3).tolist() == [[[10, 20, 30], WHITE, [70, 80, 90]]]
    decoded = decode(data, 1, 3, background=(1, 2, 3))
    assert decoded.tolist() == [[[10, 20, 30], [1, 2, 3], [70, 80, 90]]]


def test_half_transparent_palette_entries_are_mixed() -> None:
    data = encode(palette_picture(), "PNG", transparency=bytes([255, 51, 0]))
    # 51/255 is a fifth: 40/5 + 255*4/5 = 212, 50/5 + 204 = 214, 60/5 + 204 = 216.
    assert decode(data, 1, 3).tolist() == [[[10, 20, 30], [212, 214, 216], WHITE]]


def test_rgba_is_composited_onto_the_background() -> None:
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 51], [200, 100, 0, 0]]], np.uint8)
    data = encode(Image.fromarray(rgba), "PNG")
    # 200/5 + 204 = 244, 100/5 + 204 = 224, 0/5 + 204 = 204.
    assert decode(data, 1, 3).tolist() == [[[200, 100, 0], [244, 224, 204], WHITE]]
    # On (0, 50, 100): 200/5 + 0, 100/5 + 40, 0/5 + 80.
    on_blue = decode(data, 1, 3, background=(0, 50, 100))
    assert on_blue.tolist() == [[[200, 100, 0], [40, 60, 80], [0, 50, 100]]]


def test_grey_with_alpha_is_composited_onto_the_background() -> None:
    la = np.array([[[100, 255], [100, 51], [100, 0]]], np.uint8)
    image = Image.fromarray(la)
    assert image.mode == "LA"
    data = encode(image, "PNG")
    assert decode(data, 1, 3).tolist() == [[[100] * 3, [224] * 3, WHITE]]  # 100/5 + 204
    on_red = decode(data, 1, 3, background=(255, 0, 0))
    assert on_red.tolist() == [[[100] * 3, [224, 20, 20], [255, 0, 0]]]


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7)), ("1", 0)])
def test_a_transparent_colour_gets_the_background(mode: str, key: Any) -> None:
    image = Image.new(mode, (2, 1), 255 if mode != "RGB" else (255, 255, 255))
    image.putpixel((0, 0), key)
    data = encode(image, "PNG", transparency=key)
    assert decode(data, 1, 2, background=(9, 8, 7)).tolist() == [[[9, 8, 7], WHITE]]


def test_cmyk_is_converted_by_the_plain_formula() -> None:
    # R = (255 - C) * (255 - K) / 255 and so on.
    cmyk = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 51, 0], [0, 51, 0, 102]]], np.uint8)
    decoded = decode(encode(Image.frombytes("CMYK", (4, 1), cmyk.tobytes()), "TIFF"), 1, 4)
    assert decoded.tolist() == [[WHITE, [0, 255, 255], [255, 0, 204], [153, 122, 153]]]


@pytest.mark.parametrize(
    ("ink", "expected"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 51), (0, 204, 204)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_cmyk_jpeg_is_not_inverted(
    ink: tuple[int, int, int, int], expected: tuple[int, int, int]
) -> None:
    data = encode(Image.new("CMYK", (8, 8), ink), "JPEG", quality=100)
    np.testing.assert_allclose(
        decode(data, 8, 8), np.broadcast_to(np.array(expected), (8, 8, 3)), atol=2
    )


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_the_high_byte(file_format: str) -> None:
    samples = np.array([[0, 255, 256], [0x12FF, 0x8000, 65535]], np.uint16)
    decoded = decode(encode(Image.fromarray(samples), file_format), 2, 3)
    assert decoded[..., 0].tolist() == [[0, 0, 1], [0x12, 0x80, 255]]
    assert (decoded == decoded[..., :1]).all()


def test_big_endian_16_bit_tiff_keeps_the_high_byte() -> None:
    image = Image.new("I;16B", (2, 1))
    image.putpixel((0, 0), 0x1234)
    image.putpixel((1, 0), 0xFF00)
    data = encode(image, "TIFF")
    assert data[:2] == b"MM"
    assert decode(data, 1, 2)[0, :, 0].tolist() == [0x12, 0xFF]


def test_16_bit_grey_portable_map_keeps_the_high_byte() -> None:
    data = b"P5 3 1 65535\n" + np.array([0x00FF, 0x1234, 0xFFFF], ">u2").tobytes()
    assert decode(data, 1, 3)[0, :, 0].tolist() == [0, 0x12, 0xFF]


def test_16_bit_colour_keeps_the_high_byte() -> None:
    samples = np.array([[[0x12FF, 0x5600, 0x9ABC], [0, 255, 65535]]], np.uint16)
    decoded = decode(png_file(samples, 2), 1, 2)
    assert decoded.tolist() == [[[0x12, 0x56, 0x9A], [0, 0, 255]]]


def test_16_bit_grey_with_alpha_is_composited() -> None:
    samples = np.array([[[0x64FF, 0xFFFF], [0x64FF, 0x3300], [0x64FF, 0]]], np.uint16)
    assert decode(png_file(samples, 4), 1, 3).tolist() == [[[100] * 3, [224] * 3, WHITE]]


def test_16_bit_grey_with_a_transparent_value_is_composited() -> None:
    samples = np.array([[[0x1234], [0x12FF], [0x6400]]], np.uint16)
    data = png_file(samples, 0, transparency=[0x1234])
    decoded = decode(data, 1, 3, background=(9, 8, 7))
    assert decoded.tolist() == [[[9, 8, 7], [0x12] * 3, [0x64] * 3]]


@pytest.mark.parametrize("value", [70_000, -1])
def test_32_bit_integers_are_refused(value: int) -> None:
    image = Image.fromarray(np.array([[0, value]], np.int32))
    with pytest.raises(ImageError, match="32-bit integer pixels have no defined 8-bit meaning"):
        decode(encode(image, "TIFF"), 1, 2)


def test_floating_point_is_refused() -> None:
    image = Image.fromarray(np.zeros((2, 2), np.float32))
    with pytest.raises(ImageError, match="floating-point pixels have no defined 8-bit meaning"):
        decode(encode(image, "TIFF"), 2, 2)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_several_is_taken(file_format: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in [(255, 0, 0), (0, 255, 0), (0, 0, 255)]]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
    np.testing.assert_array_equal(
        decode(data, 4, 4), np.broadcast_to(np.array([255, 0, 0]), (4, 4, 3))
    )


def test_transparent_gif_gets_the_background() -> None:
    data = encode(palette_picture(), "GIF", transparency=2)
    decoded = decode(data, 1, 3, background=(1, 2, 3))
    assert decoded.tolist() == [[[10, 20, 30], [40, 50, 60], [1, 2, 3]]]


# ---- one channel ----


def test_colour_becomes_luma_for_a_model_of_one_channel() -> None:
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    decoded = decode(encode(Image.fromarray(rgb), "PNG"), 1, 4, channels=1)
    # ITU-R 601-2: .299 R + .587 G + .114 B.
    assert decoded.shape == (1, 4, 1)
    assert decoded.ravel().tolist() == [76, 150, 29, 18]


def test_grey_stays_grey_for_a_model_of_one_channel() -> None:
    image = picture(3, 2, channels=1)
    decoded = decode(encode(image, "PNG"), 3, 2, channels=1)
    np.testing.assert_array_equal(decoded[..., 0], np.asarray(image))


def test_transparency_and_padding_get_the_same_grey() -> None:
    transparent = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    fields: dict[str, Any] = {"channels": 1, "resize": "pad", "background": (255, 0, 0)}
    decoded = decode(encode(transparent, "PNG"), 2, 2, **fields)
    assert decoded[..., 0].tolist() == [[76, 76], [76, 76]]  # the luma of red, above and below


# ---- EXIF ----

ORIENTED = ["JPEG", "PNG", "WEBP", "TIFF"]


def oriented(file_format: str, orientation: int) -> tuple[bytes, Image.Image]:
    """A file with an orientation tag, and the picture that is stored in it."""
    blocks = np.kron(picture(2, 3), np.ones((8, 8, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    plain = encode(Image.fromarray(blocks), file_format, **options.get(file_format, {}))
    stored = Image.open(io.BytesIO(plain)).convert("RGB")
    data = encode(Image.fromarray(blocks), file_format, exif=exif, **options.get(file_format, {}))
    return data, stored


TURNS: dict[int, Image.Transpose | None] = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("file_format", ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(file_format: str, orientation: int) -> None:
    data, stored = oriented(file_format, orientation)
    turn = TURNS[orientation]
    upright = np.asarray(stored if turn is None else stored.transpose(turn))
    assert upright.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))
    np.testing.assert_array_equal(decode(data, *upright.shape[:2]), upright)


@pytest.mark.parametrize("file_format", ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_ignored_on_request(file_format: str, orientation: int) -> None:
    data, stored = oriented(file_format, orientation)
    np.testing.assert_array_equal(decode(data, 16, 24, exif="ignore"), np.asarray(stored))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(orientation: int) -> None:
    data, _ = oriented("JPEG", orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert upright is not None
    np.testing.assert_array_equal(decode(data, upright.height, upright.width), np.asarray(upright))


def test_the_phone_held_upright_by_hand() -> None:
    # Orientation 6, "right top": the stored left column is the top row, read from below.
    stored = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.fromarray(stored), "PNG", exif=exif)
    assert decode(data, 3, 2, channels=1)[..., 0].tolist() == [[4, 1], [5, 2], [6, 3]]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((0x011A, 2, 4, b"abc\0"), id="resolution-is-text"),
        pytest.param((0x010F, 2, 4000, struct.pack("<I", 99_999)), id="text-beyond-the-end"),
        pytest.param((0x8769, 4, 1, struct.pack("<I", 99_999)), id="block-beyond-the-end"),
        pytest.param((0x8825, 2, 4, b"abc\0"), id="position-is-text"),
        pytest.param((0x9003, 77, 2, b"abcd"), id="unknown-type"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_orientation_is_applied_beside_damaged_tags(other: tuple[int, int, int, bytes]) -> None:
    _, stored = oriented("JPEG", 1)
    blocks = np.kron(picture(2, 3), np.ones((8, 8, 1), np.uint8))
    exif = exif_block(orientation_entry(6), other)
    data = encode(Image.fromarray(blocks), "JPEG", quality=95, exif=exif)
    upright = np.asarray(stored.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(decode(data, 24, 16), upright)


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0", id="empty"),
        pytest.param(b"Exif\0\0II*\0", id="cut"),
        pytest.param(b"Exif\0\0" + b"\xff" * 40, id="noise"),
        pytest.param(exif_block(orientation_entry(0)), id="orientation-0"),
        pytest.param(exif_block(orientation_entry(9)), id="orientation-9"),
        pytest.param(exif_block((0x0112, 2, 4, b"abc\0")), id="orientation-is-text"),
        pytest.param(exif_block((0x0112, 3, 0, bytes(4))), id="orientation-without-value"),
        pytest.param(exif_block((0x0112, 5, 1, struct.pack("<I", 9999))), id="orientation-gone"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_counts_as_none(exif: bytes) -> None:
    image = Image.new("RGB", (16, 8), (10, 200, 30))
    data = encode(image, "JPEG", exif=exif)
    expected = np.asarray(Image.open(io.BytesIO(encode(image, "JPEG"))))
    np.testing.assert_array_equal(decode(data, 8, 16), expected)


# ---- resize ----


@pytest.mark.parametrize("interpolation", list(FILTERS))
@pytest.mark.parametrize("size", [(5, 9), (40, 12), (16, 24)])
def test_stretch_is_a_plain_resize(interpolation: Interpolation, size: tuple[int, int]) -> None:
    image = picture(16, 24)
    decoded = decode(encode(image, "PNG"), *size, resize="stretch", interpolation=interpolation)
    expected = image.resize((size[1], size[0]), FILTERS[interpolation])
    np.testing.assert_array_equal(decoded, np.asarray(expected))


def keras_crop_box(
    height: int, width: int, target_height: int, target_width: int
) -> tuple[int, int, int, int]:
    """The box that `keras.utils.load_img(keep_aspect_ratio=True)` resizes, in its integers."""
    crop_height = np.minimum(height, (width * target_height) // target_width)
    crop_width = np.minimum(width, (height * target_width) // target_height)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return int(left), int(top), int(left + crop_width), int(top + crop_height)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "lanczos"])
@pytest.mark.parametrize("shape", [(16, 24), (24, 16), (17, 31), (9, 9), (8, 40)])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (13, 6), (16, 24)])
def test_crop_takes_the_centre_as_keras_does(
    interpolation: Interpolation, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    image = picture(*shape)
    decoded = decode(encode(image, "PNG"), *size, resize="crop", interpolation=interpolation)
    box = keras_crop_box(*shape, *size)
    expected = image.resize((size[1], size[0]), FILTERS[interpolation], box=box)
    np.testing.assert_array_equal(decoded, np.asarray(expected))


def test_crop_by_hand() -> None:
    columns = np.arange(6, dtype=np.uint8)[None, :].repeat(2, axis=0)
    decoded = decode(encode(Image.fromarray(columns), "PNG"), 2, 2, channels=1, resize="crop")
    assert decoded[..., 0].tolist() == [[2, 3], [2, 3]]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape", [(16, 24), (24, 16), (17, 31), (9, 9), (8, 40)])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (13, 6), (16, 24)])
def test_pad_is_pillows_pad(
    interpolation: Interpolation, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    image = picture(*shape)
    decoded = decode(
        encode(image, "PNG"),
        *size,
        resize="pad",
        interpolation=interpolation,
        background=(1, 2, 3),
    )
    expected = ImageOps.pad(image, (size[1], size[0]), FILTERS[interpolation], color=(1, 2, 3))
    np.testing.assert_array_equal(decoded, np.asarray(expected))


def test_pad_by_hand() -> None:
    image = Image.new("RGB", (2, 4), (10, 20, 30))
    decoded = decode(encode(image, "PNG"), 4, 4, resize="pad", background=(0, 0, 255))
    assert decoded[0].tolist() == [[0, 0, 255], [10, 20, 30], [10, 20, 30], [0, 0, 255]]


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(1000, 1), (1, 1000)])
def test_a_very_narrow_picture_does_not_vanish(resize: Resize, size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, (200, 0, 0)), "PNG")
    assert [200, 0, 0] in decode(data, 8, 8, resize=resize).reshape(-1, 3).tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["stretch", "crop", "pad"]),
    st.sampled_from([1, 3]),
)
def test_one_colour_stays_one_colour_at_any_size(
    shape: tuple[int, int], size: tuple[int, int], resize: Resize, channels: int
) -> None:
    data = encode(Image.new("RGB", shape, (90, 90, 90)), "BMP")
    fields: dict[str, Any] = {"channels": channels, "resize": resize, "background": (90, 90, 90)}
    decoded = decode(data, *size, **fields)
    assert decoded.shape == (*size, channels)
    assert (decoded == 90).all()


# ---- damaged files ----


def test_an_empty_file_is_said_to_be_empty() -> None:
    with pytest.raises(ImageError, match=r"^the file is empty \(0 bytes\)$"):
        decode(b"", 2, 2)


@pytest.mark.parametrize("data", [b"hello, world\n" * 50, b"\0" * 500, b"<html></html>", b"\xff"])
def test_what_is_not_an_image_is_said_not_to_be_one(data: bytes) -> None:
    with pytest.raises(
        ImageError, match=r"^not an image in a format that featx reads(: it is a web|$)"
    ):
        decode(data, 2, 2)


TRUNCATED = {
    "jpeg": encode(picture(24, 40), "JPEG", quality=90),
    "progressive": encode(picture(24, 40), "JPEG", quality=90, progressive=True),
    "png": encode(picture(24, 40), "PNG"),
    "bmp": encode(picture(24, 40), "BMP"),
    "webp": encode(picture(24, 40), "WEBP"),
}


@pytest.mark.parametrize("kind", list(TRUNCATED))
def test_a_truncated_file_is_refused_at_any_length(kind: str) -> None:
    data = TRUNCATED[kind]
    assert decode(data, 4, 4).shape == (4, 4, 3)
    # The last bytes (JPEG's end marker, PNG's IEND, WebP's padding) hold no pixels.
    for length in {*range(1, len(data) - 40, 61), len(data) // 2, len(data) - 40}:
        with pytest.raises(ImageError) as caught:
            decode(data[:length], 4, 4)
        assert "\n" not in caught.value.reason


def test_a_truncated_jpeg_says_so() -> None:
    data = TRUNCATED["jpeg"]
    with pytest.raises(ImageError, match=r"^truncated JPEG: its data end before its last row"):
        decode(data[: len(data) // 2], 4, 4)


def test_a_damaged_png_is_not_decoded_by_a_second_look() -> None:
    # Pillow gives the pixels it has when the same object is loaded again after an error.
    data = bytearray(encode(picture(40, 40), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="damaged or unsupported PNG"):
        decode(bytes(data), 4, 4)


@pytest.mark.parametrize("size", [(65_000, 65_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)])
def test_a_picture_of_absurd_size_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"pixels: the limit is 201,326,592 pixels"):
        decode(huge_png(*size), 4, 4)


def test_the_limit_holds_even_when_pillows_own_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(
        ImageError, match=r"^65000 x 65000 pixels: the limit is 201,326,592 pixels "
    ):
        decode(huge_png(65_000, 65_000), 4, 4)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError):
        decode(huge_png(*size), 4, 4)


def test_a_large_jpeg2000_without_a_byte_for_each_code_block_is_refused() -> None:
    data = encode(picture(67, 67), "JPEG2000")
    claimed = data.replace(struct.pack(">II", 67, 67), struct.pack(">II", 9459, 9459))
    assert claimed != data
    with pytest.raises(ImageError, match=r"^damaged: 9459 x 9459 pixels cannot be in [0-9,]+ b"):
        decode(claimed, 4, 4)


def test_a_large_jpeg2000_with_its_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture(67, 67), "JPEG2000")
    expected = decode(data, 67, 67)
    monkeypatch.setattr(featx.images.limits, "LARGE_PIXELS", 100)
    assert decode(data, 67, 67).tolist() == expected.tolist()


@pytest.mark.parametrize(("large", "most"), [(0, 1), (100, 4)])
def test_large_pictures_are_decoded_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, large: int, most: int
) -> None:
    together: list[int] = []
    inside: list[None] = []
    everybody = threading.Barrier(4)

    def watched(image: Image.Image, contract: InputSpec) -> Image.Image:
        inside.append(None)
        if most > 1:
            everybody.wait(timeout=30)
        time.sleep(0.01)
        together.append(len(inside))
        if most > 1:
            everybody.wait(timeout=30)
        inside.pop()
        return load_upright(image, contract)

    monkeypatch.setattr(featx.images.decode, "load_upright", watched)
    monkeypatch.setattr(featx.images.limits, "LARGE_PIXELS", large)
    data = encode(picture(9, 7), "PNG")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: decode(data, 4, 4), range(4)))
    assert together == [most] * 4


def in_modes() -> dict[str, bytes]:
    colors = picture(24, 40)
    grey, deep = colors.convert("L"), np.arange(960, dtype=np.uint16).reshape(24, 40) * 68
    alpha = colors.copy()
    alpha.putalpha(grey)
    return {
        "RGB": encode(colors, "PNG"),
        "L": encode(grey, "PNG"),
        "1": encode(grey.convert("1"), "PNG"),
        "P": encode(colors.quantize(16), "PNG"),
        "P, one transparent": encode(colors.quantize(16), "GIF", transparency=3),
        "P, half transparent": encode(colors.quantize(3), "PNG", transparency=b"\0\x80\xff"),
        "RGB, one transparent": encode(colors, "PNG", transparency=colors.getpixel((3, 3))),
        "RGBA": encode(alpha, "PNG"),
        "LA": encode(alpha.convert("LA"), "PNG"),
        "I;16": encode(Image.fromarray(deep), "PNG"),
        "I;16, one transparent": png_file(deep[:, :, np.newaxis], 0, transparency=[68 * 500]),
        "CMYK": encode(colors.convert("CMYK"), "TIFF"),
    }


@pytest.mark.parametrize("strip", [1, 100, 959])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", in_modes())
def test_strips_change_nothing(
    monkeypatch: pytest.MonkeyPatch, mode: str, channels: int, strip: int
) -> None:
    fields = {"channels": channels, "background": (10, 200, 30)}
    expected = decode(in_modes()[mode], 24, 40, **fields)
    monkeypatch.setattr(featx.images.conversion, "STRIP_PIXELS", strip)
    assert decode(in_modes()[mode], 24, 40, **fields).tolist() == expected.tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_palettes_are_composited_as_their_pixels_are(channels: int) -> None:
    image = picture(24, 40).quantize(256)
    data = encode(image, "PNG", transparency=bytes(range(200)))
    with Image.open(io.BytesIO(data)) as opened:
        expanded = encode(opened.convert("RGBA"), "PNG")
    fields = {"channels": channels, "background": (10, 200, 30)}
    assert decode(data, 24, 40, **fields).tolist() == decode(expanded, 24, 40, **fields).tolist()


def decode_or_refuse(data: bytes, **fields: Any) -> None:
    """Decode arbitrary bytes: pixels as the contract says, or an ImageError with a reason."""
    contract = InputSpec(height=5, width=4, **fields)
    # Pillow warns of some damage, and goes on; sizes are kept small for the tests' own sake.
    with warnings.catch_warnings(), mock.patch.object(Image, "MAX_IMAGE_PIXELS", 500_000):
        warnings.simplefilter("ignore")
        try:
            result: np.ndarray | str = decode_image(data, contract)
        except ImageError as error:
            result = error.reason
    if isinstance(result, str):
        assert result != ""
        assert "\n" not in result
    else:
        assert result.shape == (5, 4, contract.channels)
        assert result.dtype == np.uint8


MAGIC_NUMBERS = [
    b"",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"P6 4 4 255\n",
    b"\0\0\0\x1cftypavif",
    b"\0\0\0\x0cjP  \r\n\x87\n",
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MAGIC_NUMBERS), st.binary(max_size=300), st.sampled_from([1, 3]))
def test_random_bytes_are_pixels_or_refused(magic: bytes, rest: bytes, channels: int) -> None:
    decode_or_refuse(magic + rest, channels=channels)


VALID_FILES = [
    encode(picture(9, 7), "JPEG", exif=exif_block(orientation_entry(6))),
    encode(picture(9, 7), "PNG"),
    encode(palette_picture(), "PNG", transparency=bytes([255, 51, 0])),
    encode(palette_picture(), "GIF", transparency=2),
    encode(picture(9, 7), "BMP"),
    encode(picture(9, 7), "TIFF"),
    encode(picture(9, 7), "TIFF", compression="tiff_lzw"),
    encode(picture(9, 7), "WEBP"),
    encode(Image.new("CMYK", (9, 7), (1, 2, 3, 4)), "JPEG"),
    encode(Image.fromarray(np.arange(63, dtype=np.uint16).reshape(9, 7) * 1000), "PNG"),
    oriented("TIFF", 6)[0],
]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(VALID_FILES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
    st.sampled_from(["apply", "ignore"]),
    st.sampled_from([1, 3]),
)
@example(VALID_FILES[0], [], 1.0, "apply", 3)
def test_mutated_files_are_pixels_or_refused(
    data: bytes, changes: list[tuple[float, int]], kept: float, exif: str, channels: int
) -> None:
    mutated = bytearray(data)
    for position, value in changes:
        mutated[int(position * len(mutated))] = value
    decode_or_refuse(bytes(mutated[: int(kept * len(mutated))]), exif=exif, channels=channels)
