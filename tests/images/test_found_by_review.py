"""What readers of the code of sources have found; each in the least that shows it."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from featx.extraction import extract
from featx.store import open_store
from featx.testing import write_images


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


def test_other_shards_of_an_archive_are_not_gone(photos: Path, toy: str, tmp_path: Path) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "p"), "tar", write_images(8, photos))
    store = tmp_path / "f.h5"
    extract(archive, model=toy, layers=["mean"], output=store)
    report = extract(archive, model=toy, layers=["mean"], output=store, shard=(1, 2), prune=True)
    assert (report.rows, report.removed) == (8, 0)


def test_an_object_that_is_no_picture_any_more_loses_its_row(
    photos: Path, toy: str, tmp_path: Path
) -> None:
    write_images(2, photos)
    pictures = [(path.name, path.read_bytes()) for path in sorted(photos.iterdir())]
    store = tmp_path / "f.h5"
    extract(iter(pictures), model=toy, layers=["mean"], output=store)
    broken = [(pictures[0][0], b"garbage"), pictures[1]]
    assert extract(iter(broken), model=toy, layers=["mean"], output=store).rows == 1
    with open_store(store) as opened:
        assert opened.keys == ("image_1.png",)


def test_a_compressed_archive_with_a_wrong_checksum_is_a_failure(
    photos: Path, toy: str, tmp_path: Path
) -> None:
    import shutil

    archive = Path(shutil.make_archive(str(tmp_path / "p"), "gztar", write_images(8, photos)))
    data = bytearray(archive.read_bytes())
    data[-6] ^= 0xFF  # The checksum stands at the end.
    archive.write_bytes(data)
    report = extract(archive, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    assert (report.rows, report.failed) == (8, 1)
    with open_store(tmp_path / "f.h5") as opened:
        assert "any of them may be damaged (CRC check failed" in opened.failures[0].reason
