"""Frames and formats."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

import featx
from featx.errors import AllImagesFailed, ImageError, InvalidValue
from featx.images import decode, formats, limits
from featx.images.animations import FrameTaker, take_frame
from featx.images.decode import decode_image
from featx.images.limits import pixel_limit
from featx.images.reading import read_images
from featx.images.sources import find_images
from featx.images.sources.locations import LocationReader
from featx.images.sources.pictures import encode_picture
from featx.input_spec import InputSpec
from tests.images.source_files import write_tar

GREYS = (0, 100, 200)


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), (grey, grey, grey)) for grey in GREYS]
    file = io.BytesIO()
    kind = kind.removeprefix("A")
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["gif", "tiff", "webp", "png", "apng"])
@pytest.mark.parametrize("source", ["folder", "tar", "tar.gz"])
def test_frames_are_images_of_their_own(kind: str, source: str, tmp_path: Path) -> None:
    still = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(still, "GIF")
    members = {f"a.{kind}": animation(kind.upper()), "still.gif": still.getvalue()}
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, data in members.items():
        (photos / name).write_bytes(data)
    if source != "folder":
        mode: Any = "w:gz" if source == "tar.gz" else "w"
        photos = write_tar(tmp_path / f"a.{source}", members, mode)

    def greys(frame: int | str | None) -> dict[str, int]:
        found = find_images(photos, frame=frame)
        assert [f.key for f in found.failures] == []
        return {
            item.key: int(decode_image(item.read_bytes(), InputSpec(8, 8))[0, 0, 0])
            for item in found.items
        }

    reader = LocationReader()
    for item in find_images(photos, frame="all").items:
        assert reader.read(item.location) == item.read_bytes()
    assert greys(None) == {f"a.{kind}": 0, "still.gif": 9}
    assert greys(1) == {f"a.{kind}#1": 100, "still.gif": 9}
    assert greys("all") == {f"a.{kind}#{n}": grey for n, grey in enumerate(GREYS)} | {
        "still.gif": 9
    }


def test_a_default_image_outside_of_its_animation_is_frame_0(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), grey) for grey in GREYS]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], default_image=True)
    whole, still = find_images(tmp_path).items[0], find_images(tmp_path, frame="0").items[0]
    assert (whole.key, still.key) == ("a.png", "a.png#0")
    contract = InputSpec(8, 8)
    expected = decode_image(whole.read_bytes(), contract)
    assert expected[0, 0, 0] == GREYS[0]
    np.testing.assert_array_equal(decode_image(still.read_bytes(), contract), expected)


@pytest.mark.parametrize("exif", ["apply", "ignore"])
@pytest.mark.parametrize(
    ("kind", "orientation", "mode"),
    [
        ("WEBP", 6, "RGB"),
        ("WEBP", 8, "RGBA"),
        ("PNG", 5, "RGB"),
        ("PNG", 2, "I;16"),
        ("TIFF", 6, "RGB"),
        ("TIFF", 3, "RGBA"),
        ("TIFF", 8, "I;16"),
    ],
)
def test_frames_are_turned_as_the_file_is(
    tmp_path: Path, kind: str, orientation: int, mode: str, exif: Any
) -> None:
    random = np.random.default_rng(2)
    if mode == "I;16":
        pixels = [random.integers(0, 65536, (6, 9)).astype(np.uint16) for _ in GREYS]
    else:
        pixels = [random.integers(0, 256, (6, 9, len(mode))).astype(np.uint8) for _ in GREYS]
    frames = [Image.fromarray(array) for array in pixels]
    tags = Image.Exif()
    tags[0x0112] = orientation
    options = {"WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    path = tmp_path / f"a.{kind.lower()}"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], exif=tags, **options)
    contract = InputSpec(12, 12, exif=exif, interpolation="nearest")
    turned = decode_image(path.read_bytes(), contract)
    items = find_images(tmp_path, frame="all").items
    assert len(items) == 3
    decoded = [decode_image(item.read_bytes(), contract) for item in items]
    np.testing.assert_array_equal(decoded[0], turned)
    for one, array in zip(decoded, pixels, strict=True):
        alone = io.BytesIO()
        Image.fromarray(array).save(alone, "PNG", exif=tags)
        np.testing.assert_array_equal(one, decode_image(alone.getvalue(), contract))


def test_a_frame_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(animation("GIF"))
    found = find_images(tmp_path, frame="3")
    assert [(f.key, f.reason) for f in found.failures] == [("a.gif#3", "it has only 3 frames")]
    for wrong in ("-1", "first", 1.5, -1):
        with pytest.raises(InvalidValue, match="frame= takes a number"):
            find_images(tmp_path, frame=wrong)  # type: ignore[arg-type]


def test_frames_in_a_store_are_found_again_and_are_not_the_first_frame(
    tmp_path: Path, toy: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.gif").write_bytes(animation("GIF"))
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    assert featx.extract(photos, frame="all", **arguments).done == 3
    assert featx.extract(photos, frame="all", **arguments).skipped == 3
    report = featx.extract(photos, **arguments)  # Other keys; the frames are still there.
    assert (report.rows, report.missing) == (4, 0)
    (photos / "a.gif").unlink()
    Image.new("RGB", (8, 8)).save(photos / "b.png")
    assert featx.extract(photos, **arguments).missing == 4


def huge_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = zlib.compress(bytes((width + 1) * height), 1)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_the_limit_of_pixels_is_adjusted_and_named(tmp_path: Path, toy: str) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(huge_png(300, 300))
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    with pytest.raises(AllImagesFailed, match="300 x 300 pixels: the limit is 80,000") as raised:
        featx.extract(photos, max_pixels=80_000, **arguments)
    assert (raised.value.report.done, raised.value.report.failed) == (0, 1)
    with featx.open_store(tmp_path / "f.h5") as store:
        (failure,) = store.failures
    assert failure.reason == (
        "300 x 300 pixels: the limit is 80,000 pixels (max_pixels= changes it)"
    )
    # What failed for its pixels is tried again with another limit, without --retry-failed.
    assert featx.extract(photos, max_pixels=90_000, **arguments).done == 1
    with pytest.raises(InvalidValue, match="max_pixels= takes at least 1"):
        list(decode_all(0))


def decode_all(limit: int) -> Any:
    with pixel_limit(limit):
        yield limit


def test_a_higher_limit_is_told_to_pillow_only_while_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(decode, "MAX_PIXELS", 2000)
    pages = [Image.new("L", (60, 60)), Image.new("L", (60, 60), 9)]
    file = io.BytesIO()
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="max_pixels= changes it"):
        decode_image(file.getvalue(), InputSpec(8, 8))
    with pixel_limit(5000):
        with pixel_limit(4000):
            assert Image.MAX_IMAGE_PIXELS == 5000
        decode_image(file.getvalue(), InputSpec(8, 8), max_pixels=5000)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_a_gif_of_too_many_pixels_is_refused_before_they_are_decoded() -> None:
    data = animation("GIF")
    data = data[:6] + struct.pack("<HH", 65_535, 65_535) + data[10:]
    for take in (
        lambda: take_frame(data, 1, encode_picture),
        lambda: FrameTaker(data, encode_picture, keeps_passed=True).take(1),
    ):
        with pytest.raises(ImageError, match="^65535 x 65535 pixels: the limit is 201,326,592 pix"):
            take()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF"])
def test_frames_are_taken_up_to_the_limit_that_is_held(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_PIXELS", 10)
    with pixel_limit(None), pytest.raises(ImageError, match="8 x 8 pixels: the limit is 10 pixels"):
        take_frame(animation(kind), 1, encode_picture)
    with pixel_limit(64):
        assert take_frame(animation(kind), 1, encode_picture)


def test_large_pictures_do_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow warns above its own limit, half of featx's; warnings are errors here.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"):
        file = io.BytesIO()
        Image.new("RGB", (50, 30)).save(file, kind)
        with pixel_limit(None):
            decode_image(file.getvalue(), InputSpec(8, 8))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("PNG", {}), ("GIF", {}), ("WEBP", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {})]
    + [("TGA", {}), ("JPEG2000", {})]
    + ([("AVIF", {})] if features.check("avif") else []),
)
def test_every_format_is_read(kind: str, options: dict[str, Any]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 100, 50)).save(file, kind, **options)
    pixels = decode_image(file.getvalue(), InputSpec(8, 8))
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() < 12


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PCX", "ICNS"])
def test_other_formats_are_not_opened(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, kind)
    with pytest.raises(ImageError, match="not an image in a format that featx reads"):
        decode_image(file.getvalue(), InputSpec(8, 8))


def test_heic_is_read_with_its_plugin() -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 64), (200, 100, 50))).save(file)
    pixels = decode_image(file.getvalue(), InputSpec(8, 8))
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() < 12


def test_heic_without_its_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    formats.load_plugins()
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(ImageError, match=r"^HEIC: .*pip install pillow-heif"):
        decode_image(b"\0\0\0\x18ftypheic" + bytes(100), InputSpec(8, 8))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
@pytest.mark.parametrize("order", ["forward", "backward", "shuffled", "far"])
def test_a_file_opened_once_gives_the_frames_of_one_opened_for_each(kind: str, order: str) -> None:
    random = np.random.default_rng(1)
    base = random.integers(0, 256, (12, 12, 3)).astype(np.uint8)
    frames = []
    for number in range(24):  # Each differs in a part only, as in real animations.
        base[number % 12, : number // 2 + 1] = 9 * number
        frames.append(Image.fromarray(base))
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    data = file.getvalue()
    numbers = {
        "forward": list(range(24)),
        "backward": list(range(24))[::-1],
        "shuffled": random.permutation(24).tolist(),
        "far": [23, 0, 23, 5],
    }[order]
    for keeps_passed in (False, True):
        taker = FrameTaker(data, encode_picture, keeps_passed=keeps_passed)
        for number in numbers:
            assert taker.take(number) == take_frame(data, number, encode_picture)
    with pytest.raises(ImageError, match="there is no frame 24 in it"):
        taker.take(24)
    assert taker.take(3) == take_frame(data, 3, encode_picture)


def test_all_frames_of_a_file_open_it_once_for_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.new("RGB", (8, 8), (5 * grey, 0, 0)) for grey in range(40)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = find_images(tmp_path, frame="all")
    animations: list[int] = []
    opening = formats.open_picture

    def watched(data: bytes) -> Image.Image:
        image = opening(data)
        if image.format == "GIF":
            animations.append(1)
        return image

    monkeypatch.setattr("featx.images.animations.open_picture", watched)
    results = list(read_images(found.items, InputSpec(8, 8), workers=4))
    assert [result.item.key for result in results] == [f"a.gif#{n}" for n in range(40)]  # type: ignore[union-attr]
    assert len(animations) == 1
