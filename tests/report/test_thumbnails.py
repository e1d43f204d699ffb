"""Thumbnails: made once, of the right picture, upright, and never too many."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from featx.errors import ImageError
from featx.files import hash_content
from featx.images.roots import Root
from featx.report.page import thumbnails as module
from featx.report.page.thumbnails import SIDE, Thumbnails
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE, user_cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return user_cache_folder() / module.FOLDER


def _open(address: str) -> Image.Image:
    header, _, data = address.partition(",")
    assert header == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_thumbnail_is_made_once_and_outlives_its_picture(cache: Path, tmp_path: Path) -> None:
    path = write_images(1, tmp_path / "photos", size=(640, 320)) / "image_0.png"
    content_hash = hash_content(path.read_bytes())
    with Thumbnails() as thumbnails:
        first = thumbnails.get(str(path))
    assert _open(first).size == (SIDE, SIDE // 2)
    assert [file.stat().st_size < 2000 for file in cache.iterdir()] == [True]
    path.unlink()
    with Thumbnails() as thumbnails:
        assert thumbnails.get(str(path), content_hash) == first
        with pytest.raises(ImageError, match="not there any more"):
            thumbnails.get(str(path))


def test_the_picture_is_upright(cache: Path, tmp_path: Path) -> None:
    picture = Image.new("RGB", (300, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    with Thumbnails() as thumbnails:
        width, height = _open(thumbnails.get(str(tmp_path / "a.jpg"))).size
    assert (width, height) == (53, SIDE)


def test_another_picture_under_the_same_name_is_not_shown(cache: Path, tmp_path: Path) -> None:
    path = write_images(1, tmp_path / "photos") / "image_0.png"
    with Thumbnails() as thumbnails, pytest.raises(ImageError, match="changed since"):
        thumbnails.get(str(path), bytes(16))
    assert not cache.exists()


def test_what_cannot_be_shown_says_why(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with Thumbnails() as thumbnails:
        for location, reason in (
            (str(tmp_path / "a.jpg"), "not an image"),
            ("https://example.org/a.jpg", "not fetched"),
            (str(tmp_path), "not there"),
        ):
            with pytest.raises(ImageError, match=reason):
                thumbnails.get(location)


@pytest.mark.parametrize("key", ["../secret.png", "/etc/secret.png", "a/../../secret.png"])
def test_a_key_that_leads_out_of_its_root_is_refused(cache: Path, tmp_path: Path, key: str) -> None:
    picture = write_images(1, tmp_path) / "image_0.png"
    picture.rename(tmp_path / "secret.png")
    (tmp_path / "photos" / "a").mkdir(parents=True)
    with Thumbnails() as thumbnails, pytest.raises(ImageError, match="its path"):
        thumbnails.get(key, root=Root.parse(str(tmp_path / "photos")))


def test_a_damaged_file_in_the_cache_is_made_anew(cache: Path, tmp_path: Path) -> None:
    path = write_images(1, tmp_path / "photos") / "image_0.png"
    with Thumbnails() as thumbnails:
        first = thumbnails.get(str(path))
        (file,) = cache.iterdir()
        for content in (b"<svg onload=alert(1)>", b"\xff\xd8\xff" + bytes(1 << 20)):
            file.write_bytes(content)
            assert thumbnails.get(str(path)) == first


def test_the_cache_keeps_what_was_used_last(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    photos = write_images(5, tmp_path / "photos")
    paths = sorted(photos.iterdir())
    hashes = [hash_content(path.read_bytes()) for path in paths]
    with Thumbnails() as thumbnails:
        for number, path in enumerate(paths[:4]):
            thumbnails.get(str(path))
            os.utime(cache / f"{hashes[number].hex()}-{SIDE}.jpg", (number, number))
        thumbnails.get(str(paths[0]), hashes[0])
        thumbnails.get(str(paths[4]))
    kept = {file.name.partition("-")[0] for file in cache.iterdir()}
    assert kept == {hashes[number].hex() for number in (0, 3, 4)}


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    path = write_images(1, tmp_path / "photos") / "image_0.png"
    with Thumbnails() as thumbnails:
        assert thumbnails.get(str(path))
