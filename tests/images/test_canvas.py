"""What of a picture is shown: GIFs that do not fill their canvas, the clean aperture of AVIF."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from featx.images.clean_aperture import find_clean_aperture
from featx.images.decode import decode_image
from featx.images.limits import MAX_PIXELS
from featx.images.sources import find_images
from featx.input_spec import InputSpec
from tests.images.picture_files import encode, gif_file, with_clean_aperture

RED, BLUE, WHITE = (200, 10, 10), (10, 10, 200), (255, 255, 255)
EXIF_ORIENTATION = 0x0112


def plain(size: tuple[int, int], color: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", size, color).quantize(4)


def decode(data: bytes, width: int, height: int, **changes: Any) -> list[Any]:
    contract = InputSpec(height, width, interpolation="nearest", **changes)
    pixels: list[Any] = decode_image(data, contract).tolist()
    return pixels


def test_a_gif_is_transparent_around_its_first_frame() -> None:
    data = gif_file((4, 2), [(1, 0, plain((2, 1), RED))])
    row = [[*WHITE], [*RED], [*RED], [*WHITE]]
    assert decode(data, 4, 2) == [row, [[*WHITE]] * 4]
    assert decode(data, 4, 2, background=BLUE)[1] == [[*BLUE]] * 4
    assert [pixel[3] for pixel in decode(data, 4, 2, channels=4)[0]] == [0, 255, 255, 0]


@pytest.mark.parametrize("chosen", ["all", 1])
def test_later_frames_of_a_gif_keep_what_earlier_ones_painted(chosen: Any, tmp_path: Path) -> None:
    frames = [(0, 0, plain((1, 1), RED)), (2, 0, plain((1, 1), BLUE)), (0, 0, plain((4, 1), RED))]
    (tmp_path / "a.gif").write_bytes(gif_file((4, 1), frames))
    rows = [
        decode(item.read_bytes(), 4, 1)[0] for item in find_images(tmp_path, frame=chosen).items
    ]
    first, second = [[*RED], *[[*WHITE]] * 3], [[*RED], [*WHITE], [*BLUE], [*WHITE]]
    assert rows == ([first, second, [[*RED]] * 4] if chosen == "all" else [second])


def test_frames_of_a_gif_as_channels_keep_what_earlier_ones_painted() -> None:
    grey = [plain((4, 1), (10, 10, 10)), plain((1, 1), (200, 200, 200))]
    data = gif_file((4, 1), [(0, 0, grey[0]), (1, 0, grey[1])])
    assert decode(data, 4, 1, channels=2) == [[[10, 10], [10, 200], [10, 10], [10, 10]]]


def test_a_gif_that_uses_all_colors_of_its_palette_is_transparent_around_its_first_frame() -> None:
    frame = Image.frombytes("P", (256, 1), bytes(range(256)))
    frame.putpalette([(value * 7 + channel) % 256 for value in range(256) for channel in range(3)])
    alpha = np.array(decode(gif_file((258, 1), [(1, 0, frame)]), 258, 1, channels=4))[0, :, 3]
    assert alpha.tolist() == [0, *[255] * 256, 0]


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def quarters() -> Image.Image:
    """64 x 32 pixels: four columns of 16, each in its own grey."""
    greys = np.repeat(np.array([20, 90, 160, 230], np.uint8), 16)
    return Image.fromarray(np.broadcast_to(greys, (32, 64)).copy()).convert("RGB")


@needs_avif
def test_only_the_clean_aperture_of_an_avif_is_shown() -> None:
    whole = encode(quarters(), "AVIF", quality=100, subsampling="4:4:4")
    # 32 x 32 pixels whose centre is 8 pixels right of the middle: columns 24 to 56.
    cut = with_clean_aperture(whole, (32, 1, 32, 1, 8, 1, 0, 1))
    greys = np.array(decode_image(cut, InputSpec(32, 32)))[:, :, 0]
    assert greys[16, [0, 7, 8, 23, 24, 31]] == pytest.approx([90, 90, 160, 160, 230, 230], abs=3)
    greys = np.array(decode_image(whole, InputSpec(32, 64)))[:, :, 0]
    assert greys[16, [0, 63]] == pytest.approx([20, 230], abs=3)


@needs_avif
def test_it_is_cut_before_the_picture_is_turned() -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    whole = encode(quarters(), "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    cut = with_clean_aperture(whole, (16, 1, 32, 1, -24, 1, 0, 1))
    assert np.array(decode_image(cut, InputSpec(16, 32))).mean() == pytest.approx(20, abs=3)


@needs_avif
@pytest.mark.parametrize(
    "numbers",
    [
        (64, 1, 32, 1, 0, 1, 0, 1),
        (65, 1, 32, 1, 0, 1, 0, 1),
        (32, 0, 32, 1, 0, 1, 0, 1),
        (32, 1, 32, 1, 100, 1, 0, 1),
        (0, 1, 32, 1, 0, 1, 0, 1),
        (33, 2, 32, 1, 0, 1, 0, 1),
    ],
)
def test_apertures_that_cut_nothing_or_are_impossible_are_ignored(numbers: Any) -> None:
    whole = encode(quarters(), "AVIF", quality=100)
    cut = decode_image(with_clean_aperture(whole, numbers), InputSpec(32, 64))
    np.testing.assert_array_equal(cut, decode_image(whole, InputSpec(32, 64)))


@needs_avif
def test_damaged_descriptions_cut_nothing_or_something_inside() -> None:
    data = with_clean_aperture(encode(quarters(), "AVIF"), (32, 1, 32, 1, 8, 1, 0, 1))
    random = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(data)
        for at in random.integers(0, data.index(b"mdat"), 3):
            damaged[at] = random.integers(256)
        box = find_clean_aperture(bytes(damaged), (64, 32))
        assert box is None or (0 <= box[0] < box[2] <= 64 and 0 <= box[1] < box[3] <= 32)
    for length in range(0, len(data), 7):
        find_clean_aperture(data[:length], (64, 32))
    assert find_clean_aperture(struct.pack(">I4s", 8, b"free") * 100_000, (64, 32)) is None


@pytest.mark.parametrize("size", [(12240, 16320), (16384, 12288)])
def test_the_largest_pictures_of_phones_are_within_the_limit(size: tuple[int, int]) -> None:
    assert size[0] * size[1] <= MAX_PIXELS
