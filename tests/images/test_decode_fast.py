"""Large JPEGs decoded at a fraction of their size: how near that is, and when it is not done."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.errors import FingerprintMismatch
from featx.images import decode
from featx.images.decode import decode_image
from featx.images.orientation import load_upright
from featx.input_spec import Decode, InputSpec
from featx.testing import register_toy_model

SIZE = 128
CONTRACT = InputSpec(SIZE, SIZE, scaling="raw")
EXIF_ORIENTATION = 0x0112
TRANSPOSED = 6


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """4000 x 3000 pixels like those of a camera: smooth areas, edges, fine structure, noise."""
    random = np.random.default_rng(0)
    coarse = random.integers(30, 226, (30, 40, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC))
    y, x = np.arange(3000)[:, None], np.arange(4000)
    fine = 6 * random.standard_normal((3000, 4000), np.float32)
    fine += (12 * np.sin(x / 9) * (y > 1500)).astype(np.float32)
    fine[x + y > 3500] -= 40
    return np.clip(smooth + fine.astype(np.int16)[..., None], 0, 255).astype(np.uint8)


def save(pixels: np.ndarray, format: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, format, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def photo(scene: np.ndarray) -> bytes:
    return save(scene, quality=90)


@pytest.fixture
def drafts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Sizes at which pictures are decoded."""
    sizes: list[tuple[int, int]] = []

    def spy(image: Image.Image, contract: InputSpec) -> Image.Image:
        sizes.append(image.size)
        return load_upright(image, contract)

    monkeypatch.setattr(decode, "load_upright", spy)
    return sizes


def both(data: bytes, contract: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    fast = decode_image(data, replace(contract, decode="fast"))
    exact = decode_image(data, replace(contract, decode="exact"))
    assert fast.shape == exact.shape == (contract.height, contract.width, contract.channels)
    return fast, exact


def difference(data: bytes, contract: InputSpec) -> float:
    fast, exact = both(data, contract)
    assert exact.std() > 10
    return float(np.abs(fast.astype(np.float64) - exact).mean())


@pytest.mark.parametrize(
    ("interpolation", "resize"),  # The filter does not know of what it is applied to.
    [
        *((name, "crop") for name in ("bilinear", "hamming", "bicubic", "lanczos")),
        ("bicubic", "stretch"),
        ("bilinear", "pad"),
    ],
)
def test_it_is_within_one_of_255(photo: bytes, interpolation: Any, resize: Any) -> None:
    contract = replace(CONTRACT, interpolation=interpolation, resize=resize)
    assert 0 < difference(photo, contract) < 0.5


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_sizes_that_are_no_multiple_of_eight(scene: np.ndarray, resize: Any) -> None:
    # The last pixel of a fraction is then mostly outside the picture.
    contract = replace(CONTRACT, resize=resize)
    for height, width in ((1033, 1201), (1201, 1033), (1599, 2047)):
        assert 0 < difference(save(scene[:height, :width], quality=90), contract) < 0.5


@pytest.mark.parametrize(("height", "width"), [(224, 224), (128, 96), (64, 200)])
def test_other_sizes(photo: bytes, height: int, width: int) -> None:
    assert difference(photo, InputSpec(height, width, scaling="raw")) < 1


def test_grey_and_cmyk_and_progressive(scene: np.ndarray) -> None:
    small = scene[:1200, :1600]
    for options in ({"mode": "L"}, {"mode": "CMYK"}, {"progressive": True}):
        assert difference(save(small, quality=90, **options), CONTRACT) < 1  # type: ignore[arg-type]
    grey = replace(CONTRACT, channels=1)
    for mode in ("L", "RGB"):
        assert difference(save(small, mode=mode, quality=90), grey) < 1


def test_pictures_that_lie_on_their_side(scene: np.ndarray) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = TRANSPOSED
    data = save(scene[:1200, :1600], quality=90, exif=exif)
    for height, width in ((128, 128), (160, 100), (100, 160)):
        contract = InputSpec(height, width, scaling="raw")
        assert difference(data, contract) < 1
        fast, _ = both(data, contract)
        as_stored, _ = both(data, replace(contract, exif="ignore"))
        assert np.abs(fast.astype(int) - as_stored).mean() > 5


def test_it_is_used_from_four_times_the_size_on(
    scene: np.ndarray, drafts: list[tuple[int, int]]
) -> None:
    for side, decoded in (
        (4 * SIZE - 1, 4 * SIZE - 1),
        (4 * SIZE, 2 * SIZE),
        (8 * SIZE - 1, 4 * SIZE),
        (8 * SIZE, 2 * SIZE),
    ):
        for height, width in ((side, side), (side + 100, side), (side, side + 900)):
            drafts.clear()
            decode_image(save(scene[:height, :width]), CONTRACT)
            assert min(drafts[-1]) == decoded, (height, width)
            assert min(drafts[-1]) >= 2 * SIZE
    drafts.clear()
    decode_image(save(scene[: 8 * SIZE, : 8 * SIZE]), replace(CONTRACT, decode="exact"))
    assert drafts[-1] == (8 * SIZE, 8 * SIZE)


def test_below_that_nothing_changes(scene: np.ndarray) -> None:
    fast, exact = both(save(scene[: 4 * SIZE - 1, :3000]), CONTRACT)
    np.testing.assert_array_equal(fast, exact)
    wide = InputSpec(
        32, 400, scaling="raw"
    )  # By the longer side: a picture may be stored on its side.
    fast, exact = both(save(scene[:1599, :3000]), wide)
    np.testing.assert_array_equal(fast, exact)


def test_single_pixels_and_other_formats_are_taken_exactly(scene: np.ndarray) -> None:
    small = scene[:1200, :1600]
    fast, exact = both(save(small), replace(CONTRACT, interpolation="nearest"))
    np.testing.assert_array_equal(fast, exact)
    fast, exact = both(save(small), replace(CONTRACT, interpolation="box"))
    np.testing.assert_array_equal(fast, exact)
    for format in ("PNG", "BMP"):
        fast, exact = both(save(small, format), CONTRACT)
        np.testing.assert_array_equal(fast, exact)


# ---- in a store ----


def write_photos(folder: Path, count: int, scene: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        part = scene[number * 40 : number * 40 + 300, :400]
        (folder / f"{number}.jpg").write_bytes(save(part, quality=90))


def settings(store: Path) -> tuple[Decode, np.ndarray]:
    with featx.open_store(store) as opened:
        return opened.header.model.input.decode, opened.table("mean").values


def test_a_store_goes_on_as_it_was_begun(tmp_path: Path, scene: np.ndarray) -> None:
    register_toy_model()
    photos, store = tmp_path / "photos", tmp_path / "f.h5"

    def extract(**options: Any) -> Any:
        return featx.extract(photos, model="toy:colors", layers=["mean"], output=store, **options)

    write_photos(photos, 2, scene)
    assert extract(decode="exact").done == 2
    write_photos(photos, 4, scene)
    assert extract().done == 2
    way, values = settings(store)
    assert way == "exact"
    store.unlink()
    assert extract(decode="exact").done == 4
    np.testing.assert_array_equal(values, settings(store)[1])
    store.unlink()
    assert extract().done == 4
    way, fast = settings(store)
    assert way == "fast"
    assert 0 < np.abs(fast - values).max() < 1 / 255
    write_photos(photos, 5, scene)
    with pytest.raises(FingerprintMismatch, match="decode"):
        extract(decode="exact")
