"""URLs, on fsspec's filesystem in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import featx
from featx.errors import ImagesNotFound, InvalidValue
from featx.extraction import extract
from featx.images.sources import find_images, gather
from featx.images.sources.locations import LocationReader
from featx.images.sources.remote import common_root, public_url, version_stamp
from featx.testing import write_images
from featx.testing.contracts.images import make_pictures

PNG = make_pictures()[0].data


@pytest.fixture
def memory() -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    for name in ("cat/1.png", "cat/.hidden.png", "dog/2.png", "notes.txt", "dog/deep/3.png"):
        filesystem.pipe_file(f"/photos/{name}", PNG)
    yield filesystem
    filesystem.store.clear()


def test_a_folder_is_listed_and_its_keys_are_below_it(memory: Any) -> None:
    found = find_images("memory://photos")
    assert [(item.key, item.label) for item in found.items] == [
        ("cat/1.png", "cat"),
        ("dog/2.png", "dog"),
        ("dog/deep/3.png", "dog"),
    ]
    assert str(found.root) == "memory://photos"
    item = found.items[1]
    assert (item.location, item.size) == ("memory://photos/dog/2.png", len(PNG))
    assert item.mtime_ns > 0
    reader = LocationReader(allow_download=True)
    assert reader.read(item.location) == item.read_bytes() == PNG


@pytest.mark.parametrize(
    ("urls", "root", "keys"),
    [
        (["memory://photos/cat/1.png"], "memory://photos/cat", ["1.png"]),
        (
            ["memory://photos/cat", "memory://photos/dog/2.png"],
            "memory://photos",
            ["cat/1.png", "dog/2.png"],
        ),
        (["memory://photos/*/*.png"], "memory://photos", ["cat/1.png", "dog/2.png"]),
        (["memory://photos/dog/"], "memory://photos/dog", ["2.png", "deep/3.png"]),
    ],
)
def test_roots_are_as_on_a_disk(memory: Any, urls: list[str], root: str, keys: list[str]) -> None:
    found = find_images(urls)
    assert (str(found.root), [item.key for item in found.items]) == (root, keys)
    assert [item.read_bytes() for item in found.items] == [PNG] * len(keys)


def test_what_cannot_be_reached_is_said(memory: Any) -> None:
    with pytest.raises(ImagesNotFound, match=r"'memory://nowhere/a.png' cannot be listed"):
        find_images("memory://nowhere/a.png")
    with pytest.raises(InvalidValue, match="cannot be opened: Protocol not known: nope"):
        find_images("nope://a")
    with pytest.raises(InvalidValue, match="Local images and URLs go into separate stores"):
        find_images(["memory://photos", "."])
    with pytest.raises(InvalidValue, match="URLs of different servers"):
        find_images(["s3://a/x.jpg", "https://b/y.jpg"])


def test_a_missing_package_is_named() -> None:
    pytest.importorskip("fsspec")
    try:
        import s3fs  # noqa: F401
    except ImportError:
        with pytest.raises(InvalidValue, match=r"pip install 'fsspec\[s3\]'"):
            find_images("s3://bucket/a.jpg")


def test_an_archive_at_a_url_is_refused_with_what_to_do(memory: Any) -> None:
    memory.pipe_file("/photos.tar", b"x")
    with pytest.raises(InvalidValue, match="Download it first"):
        find_images("memory://photos.tar")


def test_secrets_are_not_recorded() -> None:
    url = "https://user:secret@host/a/b.jpg?X-Amz-Signature=123"
    assert public_url(url) == "https://host/a/b.jpg"
    assert common_root([url]) == "https://host/a"


def test_stamps_are_times_or_versions() -> None:
    assert version_stamp({"mtime": 1.5}) == 1_500_000_000
    assert version_stamp({"LastModified": "2024-01-01T00:00:00+00:00"}) == 1704067200_000000000
    assert version_stamp({"ETag": "a"}) != version_stamp({"ETag": "b"})
    assert version_stamp({}) == -1


def test_a_picture_that_fails_to_come_is_a_failure_and_is_tried_again(
    memory: Any, tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    cat_file = type(memory).cat_file

    def refuse(self: Any, path: str, **options: Any) -> bytes:
        if path.endswith("2.png"):
            raise RuntimeError("403 from https://user:secret@host")
        return bytes(cat_file(self, path, **options))

    monkeypatch.setattr(type(memory), "cat_file", refuse)
    report = featx.extract("memory://photos", **arguments)
    assert (report.rows, report.failed) == (2, 1)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.failures[0].reason == "403 from https://host"
    monkeypatch.undo()
    report = featx.extract("memory://photos", **arguments)
    assert (report.rows, report.failed, report.skipped) == (3, 0, 2)


def test_a_store_of_another_url_or_folder_is_refused(memory: Any, tmp_path: Path, toy: str) -> None:
    from featx.testing import write_images

    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    featx.extract("memory://photos", **arguments)
    for other in ("memory://photos/cat", write_images(2, tmp_path / "local")):
        with pytest.raises(featx.FeatxError, match="holds the images of another folder"):
            featx.extract(other, **arguments)
    report = featx.search("memory://photos/dog/2.png", features=tmp_path / "f.h5", k=1)
    assert report.results[0].query == "memory://photos/dog/2.png"
    assert report.results[0].matches[0].path.startswith("memory://photos/")
    assert len(gather("memory://photos").items) == 3


@pytest.fixture
def bucket(photos: Path) -> str:
    """Four pictures at a URL."""
    system = fsspec.filesystem("memory")
    for path in write_images(4, photos).iterdir():
        system.pipe(f"/bucket/{path.name}", path.read_bytes())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def test_what_a_url_did_not_name_is_not_gone(bucket: str, toy: str, tmp_path: Path) -> None:
    store = tmp_path / "f.h5"
    extract(bucket, model=toy, layers=["mean"], output=store)
    for part in (f"{bucket}/image_1*.png", f"{bucket}/image_2.png"):
        report = extract(part, model=toy, layers=["mean"], output=store, prune=True)
        assert (report.rows, report.removed, report.missing) == (4, 0, 0)
