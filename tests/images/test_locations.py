"""Images by location: read, certainly absent, or present but unreadable."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from featx.errors import ImageError
from featx.images.roots import MEMORY, Root
from featx.images.sources.locations import LocationReader
from featx.testing.contracts.images import encode_png, make_pictures
from tests.images.source_files import write_tar, write_zip

PICTURES = make_pictures(3)
PNG = PICTURES[0].data


def reason_of(location: Path | str) -> str:
    with pytest.raises((OSError, ImageError)) as caught:
        LocationReader().read(location)
    assert not isinstance(caught.value, FileNotFoundError)
    return str(caught.value)


def assert_absent(location: Path | str) -> None:
    with pytest.raises(FileNotFoundError):
        LocationReader().read(location)


def test_what_is_not_there_is_absent(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"1.png": PNG})
    empty = write_zip(tmp_path / "empty.zip", {"note.txt": b"x"})
    folder = tmp_path / "1.png"
    folder.mkdir()
    for path in ("2.png", "sub/2.png", "a.tar/2.png", "a.tar/1.png/2.png", "empty.zip/1.png"):
        assert_absent(tmp_path / path)
    assert_absent(folder)
    assert LocationReader().read(archive / "1.png") == PNG
    assert empty.is_file()


def test_a_member_that_is_refused_is_not_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", PNG)
        archive.writestr("2.png", PNG, zipfile.ZIP_LZMA)
        archive.writestr("3.gif", PNG, zipfile.ZIP_LZMA)
    assert LocationReader().read(path / "1.png") == PNG
    wanted = "packed with method 14: only stored, deflate and bzip2 are read"
    assert reason_of(path / "2.png") == reason_of(path / "3.gif#1") == wanted
    assert_absent(path / "4.png")


def test_in_an_archive_that_cannot_be_read_nobody_knows_what_is_absent(tmp_path: Path) -> None:
    zstd = tmp_path / "a.tar.zst"
    zstd.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    assert "zstd" in reason_of(zstd / "1.png")
    cut = write_tar(tmp_path / "b.tar", {"1.png": PNG, "2.png": bytes(4000)})
    cut.write_bytes(cut.read_bytes()[:2500])
    assert LocationReader().read(cut / "1.png") == PNG
    assert "the archive is damaged" in reason_of(cut / "2.png")
    (tmp_path / "c.npz").write_bytes(b"PK\3\4")
    assert "cannot be read" in reason_of(tmp_path / "c.npz" / "x" / "0")


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_looked_at_is_not_absent(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir(mode=0o000)
    assert "denied" in reason_of(tmp_path / "sub" / "1.png")


def test_links_pipes_and_damaged_animations_are_not_absent(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("nowhere")
    assert reason_of(tmp_path / "link.png") == "a link to something that is not there"
    os.mkfifo(tmp_path / "pipe.png")
    assert reason_of(tmp_path / "pipe.png") == "not a regular file"
    frames = [Image.new("L", (4, 4), grey) for grey in (0, 255)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "a.gif").write_bytes(file.getvalue())
    assert LocationReader().read(tmp_path / "a.gif#1")
    assert_absent(tmp_path / "a.gif#2")
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    assert "damaged" in reason_of(tmp_path / "a.gif#1")
    (tmp_path / "a.gif").write_bytes(encode_png(PICTURES[0].pixels))  # Of one frame now.
    assert_absent(tmp_path / "a.gif#1")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("../secret.png", "leads out of its folder"),
        ("a/../../secret.png", "leads out of its folder"),
        ("a.zip/../secret.png", "leads out of its folder"),
        ("/secret.png", "is absolute"),
        ("1\0.png", "a zero byte"),
        ("1\ud800.png", "no file can have"),
    ],
)
def test_a_key_that_a_file_names_stays_below_its_root(
    tmp_path: Path, key: str, reason: str
) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    root = tmp_path / "photos"
    (root / "a").mkdir(parents=True)
    (root / "a" / "..1.png").write_bytes(PNG)
    reader = LocationReader(allow_download=True)
    assert reader.read_key(Root.parse(root), "a/..1.png") == PNG
    key = f"{tmp_path}{key}" if key.startswith("/") else key
    for place in (Root.parse(root), Root.parse("http://127.0.0.1:9/photos")):
        with pytest.raises(ImageError, match=reason):
            reader.read_key(place, key)


def test_a_picture_passed_in_python_is_not_looked_for_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1.png").write_bytes(PNG)
    with pytest.raises(OSError, match="passed in Python"):
        LocationReader().read_key(MEMORY, "1.png")


def test_a_path_that_no_file_can_have_is_a_failure_of_its_image(tmp_path: Path) -> None:
    assert reason_of(f"{tmp_path}/1\0.png") == "its path holds a zero byte"
