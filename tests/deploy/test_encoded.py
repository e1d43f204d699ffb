"""The bytes of files become pixels in a graph as they do with Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import ExifTags, Image

from featx.deploy.encoded import decode
from featx.images.decode import decode_image
from featx.input_spec import InputSpec

pytestmark = pytest.mark.tensorflow

HEIGHT, WIDTH = 21, 34


def smooth(channels: int) -> np.ndarray:
    generator = np.random.default_rng(channels)
    small = generator.integers(0, 256, (4, 6, channels)).astype(np.uint8)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    picture = Image.fromarray(small.squeeze(), mode if channels > 1 else None)
    return np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def save(picture: np.ndarray, kind: str, orientation: int | None = None, order: str = "") -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(picture)
    if orientation is None:
        image.save(file, kind)
        return file.getvalue()
    exif = Image.Exif()
    exif.endian = ">" if order == "MM" else "<"
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.Base.Orientation] = orientation
    image.save(file, kind, exif=exif)
    return file.getvalue()


def check(data: bytes, size: Sequence[int], most: int = 0, **fields: object) -> None:
    contract = InputSpec(*size, decode="exact", **fields)  # type: ignore[arg-type]
    found = np.asarray(decode(data, contract)).astype(int)
    expected = decode_image(data, contract).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= most


@pytest.mark.parametrize(
    ("orientation", "order"), [(number, "MM" if number % 2 else "II") for number in range(1, 9)]
)
def test_a_jpeg_is_turned_as_its_camera_says(orientation: int, order: str) -> None:
    size = (WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH)
    check(save(smooth(3), "JPEG", orientation, order), size, most=1)


def test_a_jpeg_is_not_turned_where_the_contract_ignores_it() -> None:
    check(save(smooth(3), "JPEG", 6, "MM"), (HEIGHT, WIDTH), most=1, exif="ignore")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_becomes_colour(kind: str) -> None:
    check(save(smooth(1), kind), (HEIGHT, WIDTH), most=1 if kind == "JPEG" else 0)


def test_transparency_is_composited_as_pillow_does_it() -> None:
    check(save(smooth(4), "PNG"), (HEIGHT, WIDTH), background=(200, 30, 90))


@pytest.mark.parametrize("end", [30, 60, 200])
def test_exif_data_that_are_cut_off_turn_nothing_and_fail_nothing(end: int) -> None:
    data = save(smooth(3), "JPEG", 6, "II")
    begin = data.index(b"Exif")
    damaged = data[: begin + 6] + bytes([255] * min(end, 20)) + data[begin + 6 + min(end, 20) :]

    pixels = np.asarray(decode(damaged, InputSpec(1, 1)))

    assert pixels.shape == (HEIGHT, WIDTH, 3)
