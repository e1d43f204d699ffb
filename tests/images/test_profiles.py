"""Colour profiles: ignored unless asked for; then pictures come out in sRGB, whatever they are."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import featx
from featx.errors import FingerprintMismatch
from featx.images.decode import decode_image
from featx.images.profiles import MAX_PROFILE_BYTES
from featx.input_spec import InputSpec
from featx.models import load_model, restore_model
from featx.store import open_store
from tests.images.icc_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    cmyk_profile,
    grey_profile,
    rgb_profile,
    to_srgb,
)
from tests.images.picture_files import encode

COLORS = np.array([[200, 30, 40], [60, 150, 60], [90, 90, 210], [128, 128, 128]], np.uint8)
SMALL = InputSpec(1, 4, scaling="raw", interpolation="nearest", icc="apply")


def picture() -> Image.Image:
    return Image.fromarray(COLORS[None])


def decode(data: bytes, contract: InputSpec = SMALL) -> np.ndarray:
    return decode_image(data, contract).astype(int)


@pytest.mark.parametrize("primaries", [ADOBE_RGB, DISPLAY_P3], ids=["Adobe RGB", "Display P3"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_colours_are_those_of_the_formula(primaries: np.ndarray, file_format: str) -> None:
    options: dict[str, Any] = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(picture(), file_format, icc_profile=rgb_profile(primaries), **options)
    expected = to_srgb(COLORS, primaries)
    assert np.abs(expected - COLORS).max() > 10
    assert np.abs(decode(data)[0] - expected).max() <= 1.5
    np.testing.assert_array_equal(decode(data, replace(SMALL, icc="ignore"))[0], COLORS)


def test_profiles_are_ignored_by_default() -> None:
    data = encode(picture(), "PNG", icc_profile=rgb_profile())
    np.testing.assert_array_equal(decode(data, InputSpec(1, 4, interpolation="nearest"))[0], COLORS)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_it_is_as_pillow_converts_the_whole_picture(resize: Any) -> None:
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    photo = coarse.resize((480, 360), Image.Resampling.BICUBIC)
    profile = rgb_profile()
    file = encode(photo, "JPEG", quality=95, icc_profile=profile)
    converted = ImageCms.profileToProfile(
        Image.open(io.BytesIO(file)),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert converted is not None
    contract = InputSpec(32, 32, scaling="raw", resize=resize, icc="apply", decode="exact")
    expected = decode(encode(converted, "PNG"), contract)
    received = decode(file, contract)
    assert np.abs(received - expected).mean() < 1
    assert np.abs(decode(file, replace(contract, icc="ignore")) - expected).mean() > 2


def test_grey_alpha_palette_and_one_channel() -> None:
    grey = Image.fromarray(COLORS[None, :, 0])
    lighter = decode(encode(grey, "PNG", icc_profile=grey_profile(1.0)))
    assert (lighter[0, :, 0] > COLORS[:, 0]).all()  # Linear light is darker than it is stored.
    assert np.ptp(lighter[0], axis=1).max() <= 1
    expected = to_srgb(COLORS)
    alpha = picture().copy()
    alpha.putalpha(100)
    with_alpha = decode(encode(alpha, "PNG", icc_profile=rgb_profile()), replace(SMALL, channels=4))
    assert np.abs(with_alpha[0, :, :3] - expected).max() <= 1.5
    assert (with_alpha[0, :, 3] == 100).all()
    palette = picture().quantize(4)
    found = decode(encode(palette, "PNG", icc_profile=rgb_profile()))
    assert np.abs(found[0] - expected).max() <= 1.5
    luma = expected @ [0.299, 0.587, 0.114]
    one = decode(encode(picture(), "PNG", icc_profile=rgb_profile()), replace(SMALL, channels=1))
    assert np.abs(one[0, :, 0] - luma).max() <= 1.5


def test_cmyk_gets_the_colours_of_its_press() -> None:
    # Full cyan prints as a mid blue, and every combination with black as black.
    blue, black, paper = (50.0, -10.0, -40.0), (0.0, 0.0, 0.0), (100.0, 0.0, 0.0)
    inks = [black if k else blue if (c, m, y) == (1, 0, 0) else paper
            for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]  # fmt: skip
    cmyk = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 0]]], np.uint8), "CMYK")
    data = encode(cmyk, "TIFF", icc_profile=cmyk_profile(inks))
    contract = replace(SMALL, width=2)
    white, cyan = decode(data, contract)[0]
    assert white.tolist() == pytest.approx([255] * 3, abs=2)
    # sRGB of L*a*b* (50, -10, -40) under D50, by the formulas of CIE 1976 and IEC 61966-2-1.
    assert cyan.tolist() == pytest.approx([36, 126, 186], abs=2)
    assert decode(data, replace(contract, icc="ignore"))[0, 1].tolist() == [0, 255, 255]


def test_profiles_that_are_no_use_are_passed_over() -> None:
    useless = {
        "of other pixels": grey_profile(2.2),
        "empty": b"",
        "no profile": b"not a profile" * 20,
        "cut off": rgb_profile()[:200],
        "too large": rgb_profile() + bytes(MAX_PROFILE_BYTES),
    }
    for name, profile in useless.items():
        data = encode(picture(), "TIFF", icc_profile=profile)
        np.testing.assert_array_equal(decode(data)[0], COLORS, err_msg=name)


def test_damaged_profiles_neither_stop_nor_crash() -> None:
    random = np.random.default_rng(0)
    inks = [(float(n), 0.0, 0.0) for n in range(0, 96, 6)]
    cmyk = picture().convert("CMYK")
    pairs = [(picture(), rgb_profile()), (cmyk, cmyk_profile(inks))]
    for image, profile in pairs:
        for _ in range(12):
            damaged = bytearray(profile)
            for at in random.integers(0, min(len(profile), 600), 3):
                damaged[at] = random.integers(256)
            data = encode(image, "TIFF", icc_profile=bytes(damaged))
            assert decode(data).shape == (1, 4, 3)


def test_threads_share_a_profile() -> None:
    data = encode(picture().resize((256, 256)), "PNG", icc_profile=rgb_profile())
    contract = InputSpec(128, 128, scaling="raw", icc="apply")
    expected = decode(data, contract)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: decode(data, contract), range(40)):
            np.testing.assert_array_equal(found, expected)


def test_it_is_part_of_the_identity_and_a_store_goes_on_with_it(
    run: Any, toy: str, photos: Path, store: Path
) -> None:
    Image.fromarray(np.broadcast_to(COLORS[0], (8, 8, 3)).copy()).save(
        photos / "a.png", icc_profile=rgb_profile()
    )
    run(icc="apply")
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes() + b"\0")
    assert run().done == 1
    with open_store(store) as opened:
        spec, values = opened.model, opened.features("mean")[:]
    assert values == pytest.approx(np.stack([to_srgb(COLORS[0]) / 255] * 2), abs=0.01)
    assert spec.input.identity()["icc"] == "apply"
    assert restore_model(spec).spec.fingerprint == spec.fingerprint
    assert "icc" not in load_model(toy).spec.input.identity()
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes() + b"\1")
    with pytest.raises(FingerprintMismatch, match="icc"):
        run(icc="ignore")
    plain = store.with_name("plain.h5")
    run(output=plain)
    (photos / "d.png").write_bytes((photos / "a.png").read_bytes() + b"\2")
    with pytest.raises(FingerprintMismatch, match="icc"):
        featx.extract(photos, model=toy, layers=["mean"], output=plain, icc="apply")
