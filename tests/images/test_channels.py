"""Models of other channels than grey and colour: transparency, and the pages of a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from featx.errors import ImageError, InvalidValue
from featx.images.decode import decode_image
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_four_channels_are_colour_and_alpha() -> None:
    pixels = np.array([[[10, 20, 30, 40], [50, 60, 70, 255]]], np.uint8)
    contract = InputSpec(1, 2, channels=4, scaling="unit")
    decoded = decode_image(encode(Image.fromarray(pixels), "PNG"), contract)
    assert decoded.tolist() == pixels.tolist()
    assert scale_pixels(decoded[np.newaxis], contract).shape == (1, 1, 2, 4)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "I;16"])
def test_a_picture_without_transparency_is_opaque(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    decoded = decode_image(encode(Image.new(mode, (3, 2)), kind), InputSpec(2, 3, channels=4))
    assert decoded.shape == (2, 3, 4)
    assert (decoded[..., 3] == 255).all()


@pytest.mark.parametrize("count", [2, 5])
def test_other_channels_are_the_pages_of_a_file_in_grey(count: int) -> None:
    pages = [Image.new("RGB", (4, 4), (9 * i, 9 * i, 9 * i)) for i in range(count)]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    decoded = decode_image(data, InputSpec(2, 2, channels=count))
    assert decoded.shape == (2, 2, count)
    assert decoded[0, 0].tolist() == [9 * i for i in range(count)]


def test_another_number_of_pages_is_refused() -> None:
    data = encode(Image.new("RGB", (4, 4)), "PNG")
    with pytest.raises(ImageError, match="1 page: the model takes 5 channels"):
        decode_image(data, InputSpec(2, 2, channels=5))


def test_scalings_that_are_defined_for_colour_are_refused() -> None:
    with pytest.raises(InvalidValue, match="4 input channels"):
        InputSpec(2, 2, channels=4, scaling="torch")


def test_the_limit_counts_for_each_page() -> None:
    data = encode(
        Image.new("L", (10, 10)), "TIFF", save_all=True, append_images=[Image.new("L", (300, 300))]
    )
    contract = InputSpec(2, 2, channels=2)
    assert decode_image(data, contract, max_pixels=90_000).shape == (2, 2, 2)
    with pytest.raises(ImageError, match=r"page 2: 300 x 300 pixels.*max_pixels="):
        decode_image(data, contract, max_pixels=10_000)


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_pages_are_turned_as_a_single_picture_is(exif: str) -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image = Image.fromarray(pixels)
    data = encode(image, "TIFF", save_all=True, append_images=[image] * 4, tiffinfo={274: 6})
    pages = decode_image(data, InputSpec(4, 4, channels=5, exif=exif))
    upright = np.rot90(pixels, -1) if exif == "apply" else pixels
    assert pages[..., 0].tolist() == upright.tolist()
    tags = [
        274 in dict(page.getexif()) for page in ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    ]
    for number, has_tag in enumerate(tags):
        expected = upright if has_tag else pixels
        assert pages[..., number].tolist() == expected.tolist()
