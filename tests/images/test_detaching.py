"""Images that are sent to other machines: they can be read there, and bring nothing of others."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featx.images.sources import gather
from featx.images.sources.detaching import detach
from featx.images.sources.pixels import ArrayReader
from featx.options import Selection
from featx.testing import write_images


def make_tar(folder: Path, mode: Any, name: str) -> Path:
    with tarfile.open(folder / name, mode) as archive:
        for path in sorted((folder / "photos").iterdir()):
            archive.add(path, path.name)
    return folder / name


def make_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in sorted((folder / "photos").iterdir()):
            archive.write(path, path.name)
    return folder / "a.zip"


def make_arrays(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), np.uint8)
    np.savez(folder / "a.npz", images=pixels)
    return folder / "a.npz"


def make_frames(folder: Path) -> Path:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in range(9)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    return folder / "a.gif"


def make_table(folder: Path) -> Path:
    paths = [str(path) for path in sorted((folder / "photos").iterdir())]
    pd.DataFrame({"path": paths, "age": range(len(paths))}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "photos",
        lambda folder: make_tar(folder, "w", "a.tar"),
        lambda folder: make_tar(folder, "w:gz", "a.tar.gz"),
        make_zip,
        make_arrays,
        make_frames,
        make_table,
    ],
    ids=["folder", "tar", "tar.gz", "zip", "arrays", "frames", "table"],
)
def test_images_are_read_elsewhere(make: Any, tmp_path: Path) -> None:
    write_images(200, tmp_path / "photos")
    items = gather(str(make(tmp_path)), selection=Selection(frame="all")).items
    some = items[3:6]
    sent = pickle.dumps(detach(some))
    received = pickle.loads(sent)
    assert [item.key for item in received] == [item.key for item in some]
    assert [item.read_bytes() for item in received] == [item.read_bytes() for item in some]
    for one, other in zip(received, some, strict=True):
        assert (one.row and one.row.values()) == (other.row and other.row.values())
    assert len(sent) < 3_000, "what belongs to others went along"


def test_a_reader_of_many_images_is_divided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    real = ArrayReader.of_keys

    def count(self: ArrayReader, keys: Any) -> Any:
        calls.append(keys)
        return real(self, keys)

    monkeypatch.setattr(ArrayReader, "of_keys", count)
    detach(gather(np.zeros((30, 2, 2, 3), np.uint8)).items)
    assert [len(keys) for keys in calls] == [30]


def test_pictures_at_urls_are_read_elsewhere(tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    write_images(60, tmp_path)
    for path in tmp_path.iterdir():
        files.pipe(f"/bucket/{path.name}", path.read_bytes())
    items = gather("memory://bucket").items
    sent = pickle.dumps(detach(items[3:6]))
    assert [one.read_bytes() for one in pickle.loads(sent)] == [
        one.read_bytes() for one in items[3:6]
    ]
    assert len(sent) < 3_000
    files.rm("/bucket", recursive=True)
