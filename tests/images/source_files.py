"""The same pictures through every kind of source."""

from __future__ import annotations

import csv
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featx.testing.contracts.images import BuildSource, BuiltSource, SamplePicture


def write_files(folder: Path, pictures: Sequence[SamplePicture]) -> Path:
    for picture in pictures:
        path = folder / picture.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.data)
    return folder


def write_tar(path: Path, members: Mapping[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _members(pictures: Sequence[SamplePicture]) -> dict[str, bytes]:
    return {picture.name: picture.data for picture in pictures}


def _names(pictures: Sequence[SamplePicture]) -> list[str]:
    return [picture.name for picture in pictures]


def _fixed(keys: list[str], **arguments: Any) -> BuiltSource:
    return BuiltSource(lambda: arguments, keys)


def _folder(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    return _fixed(_names(pictures), images=write_files(folder / "photos", pictures))


def _paths(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    root = write_files(folder / "photos", pictures)
    return _fixed(_names(pictures), images=[root / "dog", root / "cat"])


def _glob(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    root = write_files(folder / "photos", pictures)
    return _fixed(_names(pictures), images=f"{root}/**/*.png")


def _list(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    root = write_files(folder / "photos", pictures)
    (root / "list.txt").write_text("\ufeff" + "\r\n\r\n".join(_names(pictures)), "utf-8")
    return _fixed(_names(pictures), image_list=root / "list.txt")


def _csv(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    root = folder / "photos"
    root.mkdir()
    keys = [f"{number}.png" for number in range(len(pictures))]
    with (root / "photos.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "label", "split"])
        for key, picture in zip(keys, pictures, strict=True):
            (root / key).write_bytes(picture.data)
            lines.writerow([key, picture.label, "train"])
    return _fixed(keys, images=root / "photos.csv")


def _parquet(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    import pyarrow
    import pyarrow.parquet

    built = _csv(folder, pictures)
    path = folder / "photos" / "photos.parquet"
    labels = [picture.label for picture in pictures]
    pyarrow.parquet.write_table(pyarrow.table({"file": built.keys, "class": labels}), path)
    return _fixed(built.keys, images=path)


def _tar(suffix: str, mode: str) -> Callable[[Path, Sequence[SamplePicture]], BuiltSource]:
    def build(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
        # A plain archive may have any order; a compressed one keeps its own.
        members = _members(pictures)
        if suffix == ".tar":
            members = dict(reversed(members.items()))
        path = write_tar(folder / f"photos{suffix}", members, mode)
        return _fixed(_names(pictures), images=path)

    return build


def _zip(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    path = write_zip(folder / "photos.zip", dict(reversed(_members(pictures).items())))
    return _fixed(_names(pictures), images=path)


def _zip_stored(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    path = write_zip(folder / "photos.zip", _members(pictures), zipfile.ZIP_STORED)
    return _fixed(_names(pictures), images=path)


def _shards(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    shards = folder / "shards"
    shards.mkdir()
    keys = []
    for shard in range(2):
        members = {}
        for number, picture in enumerate(pictures):
            if number // 4 == shard:
                stem = f"{number:06d}"
                members[f"{stem}.cls"] = picture.label.encode()
                members[f"{stem}.png"] = picture.data
                members[f"{stem}.json"] = b'{"label": "of the json"}'
                keys.append(f"{shard}.tar/{stem}.png")
        write_tar(shards / f"{shard}.tar", members)
    return BuiltSource(lambda: {"images": f"{shards}/*.tar"}, keys, num_readers=2)


def _npz(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    x, y = arrays_of(pictures)
    np.savez(folder / "photos.npz", x_test=x, y_test=y[:, np.newaxis])
    return _fixed([f"x_test/{n:05d}" for n in range(len(x))], images=folder / "photos.npz")


def _npz_compressed(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    x, y = arrays_of(pictures)
    np.savez_compressed(folder / "photos.npz", images=x, labels=y)
    return _fixed([f"images/{n:05d}" for n in range(len(x))], images=folder / "photos.npz")


def _npy(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    x, y = arrays_of(pictures)
    np.save(folder / "x.npy", x.transpose(0, 3, 1, 2))  # channels first
    np.save(folder / "y.npy", y)
    return _fixed([f"{n:05d}" for n in range(len(x))], images=folder / "x.npy")


def _remote(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    import fsspec

    root = f"{folder}/photos"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)
    for picture in pictures:
        filesystem.pipe_file(f"{root}/{picture.name}", picture.data)
    return _fixed(_names(pictures), images=f"memory:/{root}")


def _array(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    x, y = arrays_of(pictures)
    return _fixed([f"{n:05d}" for n in range(len(x))], images=x, labels=y)


def _dataset(batch: int | None) -> Callable[[Path, Sequence[SamplePicture]], BuiltSource]:
    def build(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
        x, y = arrays_of(pictures)
        return BuiltSource(
            lambda: {"images": FakeDataset(x, y, batch)}, [f"{n:05d}" for n in range(len(x))]
        )

    return build


def _iterator(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    def arguments() -> dict[str, Any]:
        return {"images": ((p.name, p.data, p.label) for p in pictures)}

    return BuiltSource(arguments, _names(pictures))


def arrays_of(pictures: Sequence[SamplePicture]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([p.pixels for p in pictures]), np.array([p.label for p in pictures])


class FakeDataset:
    """As much of a `tf.data.Dataset` as featx looks at; the real one has a test of its own."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch: int | None) -> None:
        self._x, self._y, self._batch = x, y, batch

    def as_numpy_iterator(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        y = self._y.astype(bytes).astype(object)
        if self._batch is None:
            yield from zip(self._x, y, strict=True)
            return
        for start in range(0, len(self._x), self._batch):
            end = start + self._batch
            yield self._x[start:end], y[start:end]


FILES: dict[str, BuildSource] = {
    "folder": _folder,
    "paths": _paths,
    "glob": _glob,
    "image list": _list,
    "csv": _csv,
    "parquet": _parquet,
    "tar": _tar(".tar", "w"),
    "tar.gz": _tar(".tar.gz", "w:gz"),
    "tar.bz2": _tar(".tbz2", "w:bz2"),
    "tar.xz": _tar(".tar.xz", "w:xz"),
    "zip": _zip,
    "zip, stored": _zip_stored,
    "webdataset": _shards,
    "url": _remote,
    "iterator": _iterator,
}
"""Sources whose pictures are files, which may be damaged one by one."""

PIXELS: dict[str, BuildSource] = {
    "npz": _npz,
    "npz, compressed": _npz_compressed,
    "npy": _npy,
    "array": _array,
    "dataset": _dataset(None),
    "dataset in batches": _dataset(3),
}

SOURCES = FILES | PIXELS
IN_PYTHON = {"iterator", "array", "dataset", "dataset in batches"}
