"""JPEG files without end marker, with data behind it, and without their last rows."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featx.errors import ImageError
from featx.images.decode import decode_image
from featx.images.jpeg_markers import read_markers
from featx.input_spec import InputSpec
from tests.images.picture_files import encode

END = b"\xff\xd9"
SIDE = 128
EXACT = InputSpec(SIDE, SIDE, scaling="raw", decode="exact")
FAST = InputSpec(SIDE // 4, SIDE // 4, scaling="raw", decode="fast")


def photo(mode: str = "RGB") -> Image.Image:
    """Smooth areas with noise."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(40, 216, (8, 8, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    noisy = smooth + random.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).convert(mode)


VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "optimized": {"optimize": True},
    "best": {"quality": 100},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "many restarts": {"restart_marker_blocks": 1},
    "progressive, restarts": {"progressive": True, "restart_marker_rows": 1},
    "progressive, many restarts": {"progressive": True, "restart_marker_blocks": 1},
}
FILES = {name: encode(photo(), "JPEG", **options) for name, options in VARIANTS.items()} | {
    "grey": encode(photo("L"), "JPEG"),
    "grey, progressive": encode(photo("L"), "JPEG", progressive=True),
    "CMYK": encode(photo("CMYK"), "JPEG"),
}
THUMBNAIL = encode(photo().resize((16, 16)), "JPEG")
TRAILERS = {
    "nothing": b"",
    "text": b"SEFH" + b"Samsung_Capture_Info" * 5 + b"SEFT",
    "a picture": b"SEFH" + THUMBNAIL,
    "noise": b"Sf" + np.random.default_rng(1).bytes(20_000),
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
}


def separate_scans(data: bytes) -> bytes:
    """Make a baseline file of one component that has three scans of it: one for each colour."""
    # Three components with the same tables; the grey scan serves each of them.
    markers = data.index(b"\xff\xc0")
    frame = bytearray(data[markers : markers + 13])
    frame[3], frame[9] = 17, 3
    first = data.index(b"\xff\xda")
    scan = data[first + 10 : -2]
    headers = (
        data[:markers] + bytes(frame) + b"\x02\x11\x00\x03\x11\x00" + data[markers + 13 : first]
    )
    scans = [
        b"\xff\xda\x00\x08\x01" + bytes([number, 0]) + b"\0\x3f\0" + scan for number in (1, 2, 3)
    ]
    return headers + b"".join(scans) + END


FILES["separate scans"] = separate_scans(FILES["grey"])


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_gives_what_pillow_decodes(name: str) -> None:
    np.testing.assert_array_equal(decode_image(FILES[name], EXACT), pixels(FILES[name]))


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("name", FILES)
def test_a_missing_end_marker_costs_no_pixel(name: str, trailer: str) -> None:
    data = FILES[name].removesuffix(END) + TRAILERS[trailer]
    np.testing.assert_array_equal(decode_image(data, EXACT), pixels(FILES[name]))
    np.testing.assert_array_equal(decode_image(data, FAST), decode_image(FILES[name], FAST))


@pytest.mark.parametrize("name", FILES)
def test_what_is_behind_the_end_marker_does_not_matter(name: str) -> None:
    expected = pixels(FILES[name])
    for trailer in (*TRAILERS.values(), FILES[name]):
        np.testing.assert_array_equal(decode_image(FILES[name] + trailer, EXACT), expected)


ENDINGS: dict[str, Callable[[bytes], bytes]] = {
    "no end marker": lambda cut: cut,
    "an end marker": lambda cut: cut + END,
    "an end marker and a picture": lambda cut: cut + END + FILES["baseline"],
    "a picture": lambda cut: cut + b"SEFH" + FILES["baseline"],
    "text": lambda cut: cut + b"SEFH" + b"Samsung_Capture_Info" * 500 + b"SEFT",
    "zeros": lambda cut: cut + bytes(30_000),
    "ones": lambda cut: cut + b"\xff" * 30_000,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_early_is_refused(name: str, ending: str) -> None:
    data = FILES[name]
    for length in (len(data) // 2, len(data) * 4 // 5, len(data) * 95 // 100, len(data) - 60):
        cut = ENDINGS[ending](data[:length])
        for contract in (EXACT, FAST):
            with pytest.raises(ImageError, match=r"^truncated JPEG: its data end before"):
                decode_image(cut, contract)


@pytest.mark.parametrize("name", ["baseline", "4:2:2", "best", "restarts", "grey", "CMYK"])
def test_a_file_that_lacks_only_its_last_bytes_is_refused(name: str) -> None:
    data = FILES[name].removesuffix(END)
    for missing in range(1, 9):
        with pytest.raises(ImageError, match="truncated"):
            decode_image(data[:-missing], EXACT)


@pytest.mark.parametrize("behind", [b"", FILES["baseline"], FILES["many restarts"][:-2]], ids=len)
def test_markers_without_end_are_passed_in_no_time(behind: bytes) -> None:
    start = time.process_time()
    read_markers((behind or b"\xff\xd8") + b"\xff\xd0" * 2_000_000)
    assert time.process_time() - start < 1, "a second for each megabyte, if one by one"


def test_the_rest_of_a_picture_lost_in_the_middle_of_its_data() -> None:
    data = FILES["baseline"]
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[: len(data) // 2] + END + data[len(data) // 2 :], EXACT)


def test_a_progressive_file_may_leave_out_fine_detail_if_it_says_where_it_ends() -> None:
    data = FILES["progressive"]
    last = data.rindex(b"\xff\xda")
    cut = data[: data.rindex(b"\xff\xc4", 0, last)]
    assert read_markers(cut + END).are_all_there()
    assert decode_image(cut + END, EXACT).shape == (SIDE, SIDE, 3)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(cut, EXACT)


def test_a_colour_that_is_missing_is_not_taken_for_grey() -> None:
    data = FILES["separate scans"]
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[: data.rindex(b"\xff\xda")] + END, EXACT)


def test_pictures_of_a_file_of_several() -> None:
    other = photo().transpose(Image.Transpose.ROTATE_90)
    data = encode(photo(), "MPO", save_all=True, append_images=[other])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    np.testing.assert_array_equal(decode_image(data, EXACT), pixels(data))
    # The second one has lost its rows; the first is whole.
    np.testing.assert_array_equal(decode_image(data[:-1000], EXACT), pixels(data))


def test_an_end_marker_in_a_thumbnail_is_not_that_of_the_picture() -> None:
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + THUMBNAIL
    data = encode(photo(), "JPEG", exif=exif)
    assert data.index(END) < len(data) // 2
    np.testing.assert_array_equal(decode_image(data[:-2], EXACT), pixels(data))
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[: len(data) * 3 // 4] + END, EXACT)


def test_a_file_with_sampling_factors_of_zero_is_damaged() -> None:
    data = bytearray(FILES["progressive, restarts"])
    frame = data.index(b"\xff\xc2")
    for component in range(data[frame + 9]):
        data[frame + 11 + 3 * component] = 0
    with pytest.raises(ImageError, match="^(truncated|damaged) JPEG: "):
        decode_image(bytes(data), EXACT)
