"""URLs, on fsspec's filesystem in memory."""

from __future__ import annotations

import contextlib
import http.server
import io
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas
import pytest

import featx
from featx.errors import ImageError, ImagesNotFound, InvalidValue
from featx.extraction import extract
from featx.images.roots import public_url
from featx.images.sources import find_images, gather
from featx.images.sources.columns import value_at
from featx.images.sources.detaching import detach
from featx.images.sources.located_files import locate_file
from featx.images.sources.locations import LocationReader
from featx.images.sources.remote import common_root, version_stamp
from featx.testing import write_images
from featx.testing.contracts.images import make_pictures
from tests.images.source_files import write_tar, write_zip

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


SHARD = {"cat/1.png": PNG, "cat/1.cls": b"tabby", "dog/2.png": PNG, "notes.txt": b"no picture"}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_an_archive_at_a_url_is_as_on_the_disk(memory: Any, tmp_path: Path, name: str) -> None:
    if name.endswith(".zip"):
        local = write_zip(tmp_path / name, SHARD)
    else:
        local = write_tar(tmp_path / name, SHARD, "w:gz" if name.endswith(".gz") else "w")
    memory.pipe_file(f"/shards/{name}", local.read_bytes())
    url = f"memory://shards/{name}"
    expected, found = find_images(local), find_images(url)
    assert str(found.root) == url
    assert [(i.key, i.label, i.size) for i in found.items] == [
        (i.key, i.label, i.size) for i in expected.items
    ]
    assert all(item.mtime_ns > 0 for item in found.items)
    detached = pickle.loads(pickle.dumps(detach(found.items)))
    assert [item.read_bytes() for item in detached] == [PNG, PNG]
    reader = LocationReader(allow_download=True)
    assert reader.read(found.items[1].location) == PNG
    with pytest.raises(FileNotFoundError):
        reader.read(f"{url}/cat/none.png")


def test_shards_at_urls_are_read_by_ranges(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        members = {f"{number}.png": PNG, "large.bin": bytes(1 << 20)}
        data = write_tar(tmp_path / "a.tar", members).read_bytes()
        memory.pipe_file(f"/shards/{number}.tar", data)
    found = find_images("memory://shards/*.tar")
    assert [item.key for item in found.items] == ["0.tar/0.png", "1.tar/1.png", "2.tar/2.png"]
    sent: list[int] = []
    cat_file = type(memory).cat_file

    def count(self: Any, *args: Any, **options: Any) -> bytes:
        sent.append(len(data := bytes(cat_file(self, *args, **options))))
        return data

    monkeypatch.setattr(type(memory), "cat_file", count)
    assert found.items[2].read_bytes() == PNG
    assert sent == [len(PNG)]


def test_a_server_that_sends_whole_files_is_named(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/a.tar", write_tar(tmp_path / "a.tar", SHARD).read_bytes())
    item = find_images("memory://a.tar").items[0]
    cat_file = type(memory).cat_file
    monkeypatch.setattr(
        type(memory), "cat_file", lambda self, path, **options: cat_file(self, path)
    )
    with pytest.raises(OSError, match="sends only whole files: download it first"):
        item.read_bytes()


def test_what_is_no_archive_at_a_url_is_said(memory: Any) -> None:
    memory.pipe_file("/damaged.tar", b"no archive" * 100)
    failures = find_images("memory://damaged.tar").failures
    assert "is damaged" in failures[0].reason
    with pytest.raises(ImagesNotFound, match=r"'memory://none.zip' cannot be read: .*Check the ad"):
        find_images("memory://none.zip")
    with pytest.raises(ImagesNotFound, match=r"Nothing matches 'memory://none/\*.zip'"):
        find_images("memory://none/*.zip")
    memory.pipe_file("/photos.npz", b"x")
    with pytest.raises(InvalidValue, match="Download it first"):
        find_images("memory://photos.npz")


MANIFEST = "path,label,age\ncat/1.png,tabby,3\ndog/none.png,poodle,4\ndog/2.png,,5\n../x.png,,\n"


@pytest.mark.parametrize("name", ["m.csv", "m.parquet", "m.jsonl"])
def test_a_manifest_at_a_url_names_images_beside_it(memory: Any, tmp_path: Path, name: str) -> None:
    table = pandas.read_csv(io.StringIO(MANIFEST))
    {
        "m.csv": lambda file: table.to_csv(file, index=False),
        "m.parquet": table.to_parquet,
        "m.jsonl": lambda file: table.to_json(file, orient="records", lines=True),
    }[name](tmp_path / name)
    memory.pipe_file(f"/photos/{name}", (tmp_path / name).read_bytes())
    found = find_images(f"memory://photos/{name}")
    assert str(found.root) == "memory://photos"
    assert [(i.key, i.label, i.size) for i in found.items] == [
        ("cat/1.png", "tabby", len(PNG)),
        ("dog/2.png", None, len(PNG)),
    ]
    assert [value_at(i.row.columns["age"], i.row.number) for i in found.items if i.row] == [3, 5]
    assert all(item.mtime_ns > 0 for item in found.items)
    assert [item.read_bytes() for item in detach(found.items)] == [PNG, PNG]
    assert {failure.key: failure.reason for failure in found.failures} == {
        "dog/none.png": "there is no such file",
        "../x.png": "its path leads out of its folder: '..' is refused",
    }


def test_a_manifest_that_is_not_there_is_said_once(memory: Any) -> None:
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(ImagesNotFound, match=f"^'memory://photos/{name}' cannot be read: .*"):
            find_images(f"memory://photos/{name}")


def test_a_table_of_urls_may_be_anywhere(memory: Any, tmp_path: Path) -> None:
    """On the disk, or at a URL; keys are relative to the folder that they share."""
    rows = "path\nmemory://photos/dog/deep/3.png\nmemory://photos/dog/2.png\n"
    local = tmp_path / "m.csv"
    local.write_text(rows)
    memory.pipe_file("/tables/m.csv", rows.encode())
    for place in (str(local), "memory://tables/m.csv"):
        found = find_images(place, allow_download=True)
        assert str(found.root) == "memory://photos/dog"
        assert [item.key for item in found.items] == ["2.png", "deep/3.png"]
        assert [item.label for item in found.items] == [None, "deep"]
    local.write_text(rows + "here.png\n")
    reasons = {failure.reason for failure in find_images(local).failures}
    assert "a URL in a table of paths is not read: put URLs in a table of their own" in reasons
    memory.pipe_file("/photos/m.csv", (rows + "cat/1.png\n").encode())
    assert [item.key for item in find_images("memory://photos/m.csv").items] == [
        "cat/1.png",
        "dog/2.png",
        "dog/deep/3.png",
    ]


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


def test_a_table_at_a_url_has_a_largest_size(
    memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("featx.images.sources.table_files.MAX_MEMBER_BYTES", 100)
    table = pandas.DataFrame({"path": [f"{number}.png" for number in range(100)]})
    table.to_csv(tmp_path / "m.csv", index=False)
    table.to_parquet(tmp_path / "m.parquet")
    for name in ("m.csv", "m.parquet"):
        memory.pipe_file(f"/photos/{name}", (tmp_path / name).read_bytes())
        with pytest.raises(ImagesNotFound, match=r"it has [0-9,]+ bytes: at most .*Download it"):
            find_images(f"memory://photos/{name}")


def test_a_row_of_a_table_may_be_too_large(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("/photos/m.csv", b"path\ncat/1.png\ndog/2.png\n")
    memory.pipe_file("/photos/dog/2.png", PNG + bytes(100))
    monkeypatch.setattr("featx.images.sources.remote_rows.MAX_MEMBER_BYTES", len(PNG))
    found = find_images("memory://photos/m.csv")
    assert [item.key for item in found.items] == ["cat/1.png"]
    (failure,) = found.failures
    assert f"it has {len(PNG) + 100:,} bytes: at most" in failure.reason


class Endless(http.server.BaseHTTPRequestHandler):
    """Says that a picture has ten bytes, and sends more than was asked for, from the beginning."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10" if self.path.endswith(".png") else "100000")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(206 if self.path == "/shifted.bin" else 200)
        self.send_header("Content-Range", "bytes 0-6/100000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"path\n" * 10_000)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_sends_without_end_is_not_listened_to(
    endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.images.sources.remote.MAX_MEMBER_BYTES", 10_000)
    (item,) = find_images(f"{endless}/a.png").items
    with pytest.raises(ImageError, match="at most 10,000 bytes are read from a URL"):
        item.read_bytes()
    file = locate_file(f"{endless}/shard.bin")
    assert file.read(0, 7) == b"path\npa"
    with pytest.raises(OSError, match="sends only whole files") as error:
        file.read(10, 7)
    assert error.value.strerror == "the server sends only whole files: download it first"
    shifted = locate_file(f"{endless}/shifted.bin")
    assert shifted.read(0, 7) == b"path\npa"
    with pytest.raises(OSError, match="sends another range than it was asked for"):
        shifted.read(10, 7)
