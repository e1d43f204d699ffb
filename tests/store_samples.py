"""Small stores and pictures with known content, for the tests of stores, heads and indexes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from featx.extraction import ExtractReport
from featx.files import HASH_BYTES
from featx.images.roots import Root
from featx.images.sources import ImageFailure
from featx.input_spec import InputSpec
from featx.specs import FeatureSpec, ModelSpec, StorageType
from featx.store import FeatureStore, open_store
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, parts_folder
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import (
    DEFAULT_SINGLE_FILE_LIMIT,
    Announced,
    PartReference,
    RowMap,
    Rows,
    StoreFacts,
    StoreHeader,
    longest_key,
)
from featx.store.seal import compute_seal, read_seal
from featx.store.writing import write_store

Color = tuple[int, int, int]


def make_model(weights: str = "0" * 64) -> ModelSpec:
    return ModelSpec(
        source="file",
        name="net.keras",
        arguments=(),
        location="/models/net.keras",
        weights_sha256=weights,
        input=InputSpec(8, 8, scaling="unit"),
    )


def make_header(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    dtype: StorageType = "float32",
    pool: str = "none",
    weights: str = "0" * 64,
    root: Path = Path("/photos"),
    root_relative: str = "photos",
    single_file_limit: int = DEFAULT_SINGLE_FILE_LIMIT,
) -> StoreHeader:
    return StoreHeader(
        model=make_model(weights),
        features=tuple(FeatureSpec(name, "layer", pool, shape) for name, shape in shapes.items()),
        dtype=dtype,
        root=Root.parse(root),
        root_relative=root_relative,
        request={"model": "file:net.keras"},
        runs=({"started": "2026-01-31T09:30:00+00:00", "featx": "test", "computed": 0},),
        single_file_limit=single_file_limit,
    )


def content_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=HASH_BYTES).digest()


def make_rows(
    features: Mapping[str, np.ndarray],
    keys: Sequence[str] = (),
    *,
    labels: Sequence[str | None] | None = None,
    contents: Sequence[str] | None = None,
) -> Rows:
    """Rows whose content hashes are those of their keys, unless `contents` says otherwise."""
    count = len(next(iter(features.values())))
    keys = list(keys) or [f"image_{number}.png" for number in range(count)]
    hashes = b"".join(content_hash(text) for text in (contents or keys))
    return Rows(
        keys=keys,
        content_hash=np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
        labels=list(labels) if labels is not None else [None] * count,
        file_size=np.arange(100, 100 + count, dtype=np.int64),
        file_mtime_ns=np.arange(10**18, 10**18 + count, dtype=np.int64),
        features=features,
    )


def write_sample(
    path: Path,
    features: Mapping[str, np.ndarray],
    keys: Sequence[str] = (),
    *,
    labels: Sequence[str | None] | None = None,
    contents: Sequence[str] | None = None,
    failures: Sequence[ImageFailure] = (),
    copies: Rows | None = None,
    **header: Any,
) -> StoreHeader:
    """Write a store of one block; the shapes are those of the arrays."""
    made = make_header({name: values.shape[1:] for name, values in features.items()}, **header)
    rows = make_rows(features, keys, labels=labels, contents=contents)
    write_store(
        path,
        made,
        [rows],
        Announced(
            num_rows=len(rows.keys),
            key_bytes=longest_key([*rows.keys, *(copies.keys if copies is not None else ())]),
            classes={
                label
                for some in (rows, copies)
                for label in (some.labels if some is not None else ())
                if label is not None
            },
        ),
        StoreFacts(failures=failures, copies=copies),
    )
    return made


def make_copies(owners: Mapping[str, str], *, labels: Sequence[str | None] | None = None) -> Rows:
    """Rows without features: key → the content that they share with a row that has them."""
    rows = make_rows({"v": np.zeros((len(owners), 1))}, list(owners), labels=labels)
    hashes = b"".join(content_hash(text) for text in owners.values())
    return Rows(
        keys=rows.keys,
        content_hash=np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
        labels=rows.labels,
        file_size=rows.file_size,
        file_mtime_ns=rows.file_mtime_ns,
    )


VECTOR_HEADER = make_header({"v": (2,)})
"""8 bytes a row."""


def rows_of(*keys: str, value: float = 0.0, label: str | None = None) -> Rows:
    """Rows of the layer ``v``, all with one value; their content is "key value"."""
    values = np.full((len(keys), 2), value, np.float32)
    contents = [f"{key} {value:g}" for key in keys]
    return make_rows({"v": values}, keys, labels=[label] * len(keys), contents=contents)


def failure(key: str, reason: str = "broken") -> ImageFailure:
    return ImageFailure(key, reason, 5, 7)


def keys_of(paths: Iterable[Path]) -> list[tuple[str, ...]]:
    """The keys of each store."""
    keys = []
    for path in paths:
        with open_store(path) as store:
            keys.append(store.keys)
    return keys


def values_of(store: FeatureStore) -> dict[str, float]:
    """Key → first value of the layer ``v``, in the order of the store."""
    return dict(zip(store.keys, store.features("v")[:, 0].tolist(), strict=True))


class Sources:
    """Open stores, oldest first, written from rows, copies and failures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores: list[FeatureStore] = []

    def add(
        self,
        *keys: str,
        value: float = 0.0,
        label: str | None = None,
        failures: Sequence[ImageFailure] = (),
        copies: Rows | None = None,
    ) -> None:
        path = self.folder / f"source-{len(self.stores)}.h5"
        made = rows_of(*keys, value=value, label=label)
        write_sample(
            path,
            made.features,
            made.keys,
            labels=made.labels,
            contents=[f"{key} {value:g}" for key in keys],
            failures=failures,
            copies=copies,
        )
        self.stores.append(open_store(path))

    def assemble(self, **options: Any) -> FeatureStore:
        """Make ``all.h5`` of them and open it; `options` are those of `plan_rows`."""
        path = self.folder / "all.h5"
        plan = plan_rows(self.stores, **options)
        assemble_store(path, PlannedRows(self.stores, plan, VECTOR_HEADER), next_part=0)
        for store in self.stores:
            store.close()
        opened = open_store(path)
        assert len(opened) == len(plan)
        return opened


def write_view(
    path: Path, features: Mapping[str, np.ndarray], positions: Sequence[tuple[int, int]]
) -> StoreHeader:
    """Write a view of part files, each with the rows that `positions`, (part, row), give it."""
    header = make_header({name: values.shape[1:] for name, values in features.items()})
    keys = [f"image_{number}.png" for number in range(len(positions))]
    references = []
    for part in range(max((part for part, _ in positions), default=-1) + 1):
        inside = sorted((row, number) for number, (of, row) in enumerate(positions) if of == part)
        numbers = [number for _, number in inside]
        writer = PartWriter(parts_folder(path), header, max_bytes=1, first_number=part)
        chosen = {name: values[numbers] for name, values in features.items()}
        writer.add(make_rows(chosen, [keys[number] for number in numbers]))
        file = parts_folder(path) / f"part-{part:06d}.h5"
        seal = read_seal(file)
        assert seal is not None
        references.append(PartReference(f"{path.name}.parts/{file.name}", seal.sha256, len(inside)))
    rows = make_rows(features, keys)
    write_store(
        path,
        header,
        [rows],
        Announced(num_rows=len(positions), key_bytes=longest_key(keys)),
        StoreFacts(
            row_map=RowMap(
                tuple(references),
                np.array([part for part, _ in positions], np.int32),
                np.array([row for _, row in positions], np.int64),
            ),
            next_part=len(references),
        ),
    )
    return header


def flip(path: Path, offset: int, mask: int = 0xFF) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def chunk_offset(path: Path, dataset: str) -> int:
    """Where the first chunk of a dataset is in the file."""
    with h5py.File(path) as file:
        return int(file[dataset].id.get_chunk_info(0).byte_offset)


def seal_again(path: Path) -> None:
    """Seal a file that was changed on purpose, so that only the change can be noticed."""
    seal = read_seal(path)
    assert seal is not None
    with path.open("r+b") as file:
        made = compute_seal(file, seal.kind).to_bytes()
        file.seek(0)
        file.write(made)


def make_parts_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a part of every batch, as if a row were 64 MiB."""
    defaults = PartWriter.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "max_bytes", 1)


def write_color(path: Path, color: Color, *, mtime: int | None = None) -> Path:
    """Write a picture of one colour; `mtime` in seconds since the epoch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path, "PNG")
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def write_numbered(folder: Path, count: int, first: int = 0) -> dict[str, Color]:
    """Write pictures 0.png, 1.png, ... of different colours; return key → colour."""
    colors: dict[str, Color] = {}
    for number in range(first, first + count):
        colors[f"{number}.png"] = (10 * number % 256, 255 - number, number)
        write_color(folder / f"{number}.png", colors[f"{number}.png"], mtime=1000 + number)
    return colors


def mean_of(color: Color) -> list[float]:
    """What the toy's layer ``mean`` gives for a picture of one colour."""
    return (np.array(color, np.float32) / np.float32(255)).tolist()


def means(path: Path) -> dict[str, list[float]]:
    """Key → row of the layer ``mean``, in the order of the store."""
    with open_store(path) as store:
        return dict(zip(store.keys, store.features("mean")[:].tolist(), strict=True))


def list_files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder below a folder: path → inode, size, modification time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        found[path.relative_to(folder).as_posix()] = (
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )
    return found


def counts(report: ExtractReport) -> dict[str, int]:
    """The counts of a report that are not zero."""
    names = ("rows", "done", "skipped", "reused", "renamed", "removed", "missing", "failed")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def all_rows(path: Path) -> list[tuple[Any, ...]]:
    """Everything that a store holds of its rows, in order: two stores are equal if these are."""
    with open_store(path) as store:
        layers = [store.features(layer)[:] for layer in store.layers]
        columns = [store.keys, store.labels, store.file_size, store.file_mtime_ns]
        rows = [
            (
                *(column[row] for column in columns),
                store.content_hash[row].tobytes(),
                *(values[row].tobytes() for values in layers),
            )
            for row in range(len(store))
        ]
        return [*rows, ("failures", *sorted(store.failures, key=lambda f: f.key))]
