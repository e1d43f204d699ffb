"""A store that somebody prepared shows no other file, and asks for no more memory than it has.

Every file here has a correct seal: whoever can prepare a file can seal it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from featx.errors import StoreDamaged, StoreError
from featx.store import open_store
from featx.store.opening import open_file
from featx.store.parts import parts_folder
from featx.store.rows import (
    Announced,
    PartReference,
    RowMap,
    StoreFacts,
)
from featx.store.seal import read_seal
from featx.store.verification import verify_store
from featx.store.writing import write_store
from tests.cli.program import Program
from tests.store_samples import (
    failure,
    make_copies,
    make_header,
    make_rows,
    seal_again,
    write_sample,
    write_view,
)

Prepare = Callable[[h5py.File], None]

SECRET = b"root:x:0:0:secret of the system\n" * 64
VALUES = np.arange(24, dtype=np.float32).reshape(6, 4)
COLUMNS = ["features/f000", "keys", "classes", "failures/reason", "labels", "copies/keys", "runs"]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A store with everything that a store can have."""
    path = tmp_path / "features.h5"
    write_sample(
        path,
        {"v": VALUES},
        labels=["day"] * 3 + ["night"] * 3,
        failures=[failure("broken.png")],
        copies=make_copies({"copy.png": "image_1.png"}, labels=["day"]),
    )
    return path


@pytest.fixture
def view(tmp_path: Path) -> Path:
    path = tmp_path / "view.h5"
    write_view(path, {"v": VALUES}, [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (1, 2)])
    return path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "secret"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    return path


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """End this process if a test hangs inside HDF5, where nothing else can."""
    if not hasattr(signal, "alarm"):
        yield
        return
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def featx(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)


def prepare(path: Path, change: Prepare) -> None:
    with h5py.File(path, "r+", locking=False) as file:
        change(file)
    seal_again(path)


def replace(file: h5py.File, name: str, make: Callable[..., h5py.Dataset]) -> None:
    """Put another dataset in the place of one, with its attributes; `make` is as create_dataset."""
    old = file[name]
    attributes, shape, dtype = dict(old.attrs), old.shape, old.dtype
    del file[name]
    make(name, shape, dtype).attrs.update(attributes)


def write_texts(file: h5py.File, name: str, texts: list[bytes]) -> None:
    """Replace a column of texts."""

    def make(name: str, shape: tuple[int, ...], _: np.dtype) -> h5py.Dataset:
        data = np.array(texts, h5py.string_dtype("utf-8", max(map(len, texts))))
        stored = {"chunks": shape, "compression": "gzip", "compression_opts": 1}
        return file.create_dataset(name, data=data, fletcher32=True, **stored)

    replace(file, name, make)


def store_externally(name: str, target: Path) -> Prepare:
    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            external = [(str(target), 0, h5py.h5f.UNLIMITED)]
            return file.create_dataset(name, shape, dtype, external=external)

        replace(file, name, make)

    return change


def link_externally(name: str, target: Path) -> Prepare:
    def change(file: h5py.File) -> None:
        with h5py.File(target.with_suffix(".h5"), "w") as other:
            file.copy(file[name], other, "x")
        del file[name]
        file[name] = h5py.ExternalLink(str(target.with_suffix(".h5")), "/x")

    return change


def link_softly(name: str, target: Path) -> Prepare:
    def change(file: h5py.File) -> None:
        file.move(name, "z")
        file[name] = h5py.SoftLink("/z")

    return change


def make_virtual(name: str, target: Path) -> Prepare:
    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(target), "x", shape, dtype)
            return file.create_virtual_dataset(name, layout)

        replace(file, name, make)

    return change


WAYS = {
    "external storage": (store_externally, "stored in another file"),
    "external link": (link_externally, "an external link"),
    "soft link": (link_softly, "a soft link"),
    "virtual dataset": (make_virtual, "a virtual dataset"),
}


def assert_refused(path: Path, message: str) -> None:
    """Through the library, for reading and for saving what can be saved."""
    for salvage in (False, True):
        with pytest.raises(StoreDamaged, match=message):
            open_file(path, salvage=salvage)
    with pytest.raises(StoreDamaged, match=message) as caught:
        open_store(path)
    assert str(path) in str(caught.value)
    assert "expected" in str(caught.value)
    with pytest.raises(StoreDamaged, match=message):
        verify_store(path)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("way", WAYS)
def test_data_elsewhere_are_refused(sample: Path, secret: Path, way: str, name: str) -> None:
    make, message = WAYS[way]
    prepare(sample, make(name, secret))
    assert_refused(sample, message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_link_to_a_pipe_does_not_hang(sample: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def change(file: h5py.File) -> None:
        file["parts"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/x")

    prepare(sample, change)
    assert_refused(sample, "an external link")


@pytest.mark.parametrize("group", ["features", "failures", "copies"])
@pytest.mark.parametrize("way", ["external link", "soft link"])
def test_groups_elsewhere_are_refused(sample: Path, secret: Path, way: str, group: str) -> None:
    make, message = WAYS[way]
    prepare(sample, make(group, secret))
    assert_refused(sample, message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("make", [store_externally, make_virtual])
def test_data_in_a_pipe_do_not_hang(sample: Path, tmp_path: Path, make: Callable) -> None:
    os.mkfifo(tmp_path / "pipe")
    prepare(sample, make("features/f000", tmp_path / "pipe"))
    assert_refused(sample, "is refused")


def test_a_view_refers_to_its_parts_only(view: Path, secret: Path) -> None:
    prepare(view, make_virtual("features/f000", secret))
    assert_refused(view, "a view of '.*secret'")


def test_a_virtual_dataset_of_any_size_is_refused(view: Path) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            layout = h5py.VirtualLayout(shape, dtype, maxshape=(None, *shape[1:]))
            part = f"{view.name}.parts/part-000000.h5"
            source = h5py.VirtualSource(part, name, shape, dtype, maxshape=(None, *shape[1:]))
            layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
            return file.create_virtual_dataset(name, layout)

        replace(file, "features/f000", make)

    prepare(view, change)
    assert_refused(view, "a virtual dataset of any size")


@pytest.mark.parametrize(
    "part",
    [
        "../view.h5.parts/part-000000.h5",
        "/etc/x.parts/part-000000.h5",
        "view.h5.parts/../../x.h5",
        "part-000000.h5",
        "view.h5.parts/notes.h5",
        "",
    ],
)
def test_parts_elsewhere_are_refused(tmp_path: Path, view: Path, part: str) -> None:
    path = tmp_path / "prepared.h5"
    rows = RowMap(
        (PartReference(part, "0" * 64, 6),), np.zeros(6, np.int32), np.arange(6, dtype=np.int64)
    )
    header = make_header({"v": (4,)})
    announced = Announced(num_rows=6, key_bytes=20)
    write_store(path, header, [make_rows({"v": VALUES})], announced, StoreFacts(row_map=rows))
    assert_refused(path, "files in the parts folder of the store")


@pytest.mark.parametrize(("name", "number"), [("row_part", 2), ("row_part", -1), ("row_index", 3)])
def test_a_row_that_no_part_has(view: Path, name: str, number: int) -> None:
    def change(file: h5py.File) -> None:
        file[name][0] = number

    prepare(view, change)
    with open_store(view) as store, pytest.raises(StoreDamaged, match="has no part|fewer rows"):
        _ = store.features("v")[:]


def record_seal(view: Path, part: Path) -> None:
    """Let a view take a part for the one that it was made with."""
    seal = read_seal(part)
    assert seal is not None

    def change(file: h5py.File) -> None:
        file["parts/sha256"][0] = seal.sha256.encode()

    prepare(view, change)


def test_a_part_that_is_a_view_is_refused(view: Path, secret: Path) -> None:
    part = parts_folder(view) / "part-000000.h5"
    other = view.with_name("other.h5")
    write_view(other, {"v": VALUES[:3]}, [(0, 0), (0, 1), (0, 2)])
    other.replace(part)
    record_seal(view, part)
    with open_store(view) as store, pytest.raises(StoreDamaged, match="it is a view"):
        _ = store.features("v")[:]


def test_a_prepared_part_is_refused(view: Path, secret: Path) -> None:
    part = parts_folder(view) / "part-000000.h5"
    prepare(part, store_externally("features/f000", secret))
    record_seal(view, part)
    with open_store(view) as store, pytest.raises(StoreDamaged, match="stored in another file"):
        _ = store.features("v")[:]
    report = verify_store(view)
    assert not report.is_intact
    assert "stored in another file" in report.damages[0].problem


def claim(name: str, *shape: int, **options: object) -> Prepare:
    """Claim rows of which nothing, or only the first, is stored."""

    def change(file: h5py.File) -> None:
        def make(name: str, _: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            made = file.create_dataset(
                name, shape, dtype, chunks=(1, *shape[1:]), **{"fletcher32": True, **options}
            )
            if shape[0] < 10**6:  # HDF5 would write an index of all chunks.
                made[0] = np.zeros(shape[1:], dtype)
            return made

        replace(file, name, make)

    return change


@pytest.mark.parametrize(
    "name", ["features/f000", "keys", "classes", "failures/reason", "content_hash", "missing"]
)
@pytest.mark.parametrize("rows", [10**10, 5000])
def test_claims_of_more_than_is_stored_are_refused(sample: Path, name: str, rows: int) -> None:
    with h5py.File(sample) as file:
        shape, is_text = file[name].shape[1:], file[name].dtype.kind == "S"
    options = {"compression": "gzip", "compression_opts": 1} if is_text else {}
    prepare(sample, claim(name, rows, *shape, **options))
    began = time.monotonic()
    assert_refused(sample, f"of shape \\({rows}")
    assert time.monotonic() - began < 20


def test_every_column_may_not_claim_the_same(sample: Path) -> None:
    """Where all of them agree on a number of rows, the comparison of their lengths says nothing."""

    def change(file: h5py.File) -> None:
        for name in ("content_hash", "labels", "file_size", "file_mtime_ns", "missing", "keys"):
            shape, is_text = file[name].shape[1:], file[name].dtype.kind == "S"
            options = {"compression": "gzip", "compression_opts": 1} if is_text else {}
            claim(name, 10**10, *shape, **options)(file)
        claim("features/f000", 10**10, 4)(file)

    prepare(sample, change)
    assert_refused(sample, "of shape")


def test_text_that_unpacks_without_end_is_refused(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, _: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            options = {"compression": "gzip", "fletcher32": True}
            return file.create_dataset(name, data=np.full(2**22, b"", "S1"), **options)

        replace(file, "classes", make)

    prepare(sample, change)
    assert_refused(sample, "what a file of")


def test_text_that_would_be_unpacked_again_for_each_piece_is_refused(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, _: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            options = {"chunks": (8192,), "compression": "gzip", "fletcher32": True}
            return file.create_dataset(name, data=np.full(8192, b"", "S1"), **options)

        replace(file, "classes", make)

    prepare(sample, change)
    assert_refused(sample, "at most 4,096 rows in a chunk")


def write_classes(data: np.ndarray) -> Prepare:
    def change(file: h5py.File) -> None:
        def make(name: str, *_: object) -> h5py.Dataset:
            stored = {"chunks": data.shape, "compression": "gzip", "compression_opts": 9}
            return file.create_dataset(name, data=data, fletcher32=True, **stored)

        replace(file, "classes", make)

    return change


def test_texts_far_longer_than_their_file_are_refused_while_they_are_read(sample: Path) -> None:
    texts = [b"%d" % number + b"a" * 20_000 for number in range(1000)]  # 20 MB, of 30 kB.
    prepare(sample, write_classes(np.array(texts)))
    with open_store(sample) as store, pytest.raises(StoreDamaged, match="200 times as long as"):
        _ = store.labels


def test_one_text_that_unpacks_to_all_of_the_memory_is_refused(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, *_: object) -> h5py.Dataset:
            stored = {"chunks": (3000,), "compression": "gzip", "fletcher32": True}
            return file.create_dataset(name, (3000,), "S100000", **stored)

        replace(file, "classes", make)
        file["more"] = np.zeros(400_000, np.uint8)  # A file that could hold so much text.

    prepare(sample, change)
    assert_refused(sample, "at most 268,435,456 bytes in a chunk")


def test_equal_texts_may_be_many(sample: Path) -> None:
    """As the reasons of failures are, and the names of files in one folder nearly so."""
    prepare(sample, write_classes(np.full(4000, b"a" * 5000)))
    with open_store(sample) as store:
        assert store.labels[0] == "a" * 5000
        assert store.classes[0] is store.classes[-1]


TEXT = h5py.string_dtype()
REFERENCE = h5py.ref_dtype


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("keys", TEXT, "variable length"),
        ("classes", TEXT, "variable length"),
        ("failures/reason", TEXT, "variable length"),
        ("features/f000", h5py.vlen_dtype(np.float32), "a type that no store has"),
        ("labels", REFERENCE, "a type that no store has"),
        ("labels", h5py.regionref_dtype, "a type that no store has"),
        ("labels", np.dtype([("a", "i4"), ("b", "i4")]), "a type that no store has"),
        ("labels", "float32", "a type that no store has"),
        ("labels", "int64", "of type int64"),
        ("features/f000", "float64", "of type float64"),
        ("features/f000", "int32", "a type that no store has"),
        ("keys", "uint8", "a type that no store has"),
    ],
)
def test_other_types_are_refused(sample: Path, name: str, dtype: object, message: str) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], _: np.dtype) -> h5py.Dataset:
            return file.create_dataset(name, shape, dtype, chunks=shape)

        replace(file, name, make)

    prepare(sample, change)
    assert_refused(sample, message)


@pytest.mark.parametrize(
    "value", ["text", [1, 2], h5py.Reference(), 1.5, np.zeros(3, "S4")], ids=type
)
@pytest.mark.parametrize("owner", ["/", "features", "features/f000"])
def test_other_attributes_are_refused(sample: Path, owner: str, value: object) -> None:
    def change(file: h5py.File) -> None:
        is_reference = isinstance(value, h5py.Reference)
        file[owner].attrs["x"] = file["keys"].ref if is_reference else value

    prepare(sample, change)
    assert_refused(sample, "attribute b?'x'")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("next_part", np.array(b"\xff")),
        ("next_part", np.uint64(2**64 - 1)),
        ("single_file_limit", -1),
        ("single_file_limit", np.array(b"9")),
        ("contents", 7),
        ("root", 7),
    ],
)
def test_attributes_of_other_types_and_ranges_are_refused(
    sample: Path, name: str, value: object
) -> None:
    prepare(sample, lambda file: file.attrs.__setitem__(name, value))
    with pytest.raises(StoreDamaged, match=name):
        open_store(sample)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"seconds": "long"}, "'seconds' of a run is 'long'"),
        ({"seconds": True}, "'seconds' of a run is True"),
        ({"computed": None}, "'computed' of a run is None"),
        ({"computed": 10**400}, "'computed' of a run is out of range"),
        ({"precision": {"a": 1}}, "'precision' of a run"),
        ({"lowest_cosine": {"mean": "high"}, "compared_images": 3}, "'lowest_cosine' of a run"),
        ({"lowest_cosine": {"mean": 0.9}}, "without 'compared_images'"),
        ({"speed_ratio": 0, "engine": "openvino"}, "'speed_ratio' of a run is 0"),
        ({"decoding": {}}, "'lowest_cosine' of a run is None"),
        ({"decoding": {"lowest_cosine": {}, "images": 3}}, "names no layer"),
        ({"quantization": {"network": 1}}, "'network' of a run is 1"),
        ({"quantization": {"median_cosine": {"mean": 0.9}}}, "'calibrated' of a run is None"),
        ({"quantization": {"same_nearest": [1]}}, "'same_nearest' of a run"),
        ({"quantization": {"accuracy": {"mean": [0.9]}}}, "'accuracy' of a run"),
        ({"quantization": {"accuracy": {"mean": [0.9, "1"]}}}, "'accuracy' of a run is '1'"),
        ({"decoders": ["pillow"]}, "'decoders' of a run"),
        ({"shifted": [1]}, "'shifted' of a run is 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_records_of_runs_are_checked_when_a_store_is_opened(
    sample: Path, entries: dict[str, object], message: str
) -> None:
    def change(file: h5py.File) -> None:
        run = json.loads(file["runs"][0]) | entries
        write_texts(file, "runs", [json.dumps(run).encode()])

    prepare(sample, change)
    with pytest.raises(StoreDamaged, match=message):
        open_store(sample)


def test_features_are_of_the_type_that_a_store_says(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], _: np.dtype) -> h5py.Dataset:
            data = np.zeros(shape, np.float16)
            return file.create_dataset(name, data=data, chunks=shape, fletcher32=True)

        replace(file, "features/f000", make)

    prepare(sample, change)
    with pytest.raises(StoreDamaged, match="says that features are float32, but they are float16"):
        open_store(sample)


def test_numbers_in_the_other_order_of_bytes_are_read(sample: Path) -> None:
    """As a machine writes them whose bytes are in that order."""

    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], _: np.dtype) -> h5py.Dataset:
            return file.create_dataset(
                name, data=VALUES.astype(">f4"), chunks=shape, fletcher32=True
            )

        replace(file, "features/f000", make)

    prepare(sample, change)
    with open_store(sample) as store:
        np.testing.assert_array_equal(store.features("v")[:], VALUES)


def test_a_named_type_is_refused(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        file["type"] = np.dtype("int32")

        def make(name: str, shape: tuple[int, ...], _: np.dtype) -> h5py.Dataset:
            return file.create_dataset(name, shape, file["type"], chunks=shape, fletcher32=True)

        replace(file, "labels", make)
        del file["type"]

    prepare(sample, change)
    assert_refused(sample, "a type that no store has")


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzf"},
        {"compression": "gzip"},
        {"shuffle": True},
        {},
        {"maxshape": (None, 4), "fletcher32": True},
        {"chunks": (2, 2), "fletcher32": True},
    ],
    ids=str,
)
def test_other_filters_and_layouts_are_refused(sample: Path, options: dict[str, object]) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            return file.create_dataset(name, data=np.zeros(shape, dtype), **options)

        replace(file, "features/f000", make)

    prepare(sample, change)
    assert_refused(sample, "expected")


def test_a_filter_of_a_plug_in_is_refused(sample: Path) -> None:
    """HDF5 loads a library for it when the data are read."""

    def change(file: h5py.File) -> None:
        del file["labels"]
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((6,))
        created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
        space, kind = h5py.h5s.create_simple((6,)), h5py.h5t.NATIVE_INT32
        h5py.h5d.create(file.id, b"labels", kind, space, created)

    prepare(sample, change)
    assert_refused(sample, "filters")


def test_a_group_in_the_place_of_data_is_refused(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["labels"]
        file.create_group("labels")

    prepare(sample, change)
    assert_refused(sample, "a group or a type")


def test_what_has_another_name_is_not_read(sample: Path, secret: Path) -> None:
    def change(file: h5py.File) -> None:
        file["more"] = h5py.ExternalLink(str(secret), "/")

    prepare(sample, change)
    with open_store(sample) as store:
        assert len(store) > 0


def test_columns_of_different_lengths_are_refused(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        def make(name: str, _: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
            return file.create_dataset(name, data=np.zeros(3, dtype), chunks=(3,), fletcher32=True)

        replace(file, "failures/size", make)

    prepare(sample, change)
    assert_refused(sample, "as many in each")


COMMANDS = {
    "info": ["info"],
    "verify": ["verify"],
    "export": ["export", "-o", "out.csv"],
    "search": ["search", "--key", "image_1.png", "--features"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", [*WAYS, "claim"])
def test_commands_refuse_prepared_stores(
    sample: Path,
    secret: Path,
    way: str,
    command: str,
    featx: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = (
        WAYS[way][0]("features/f000", secret) if way in WAYS else claim("content_hash", 10**10, 16)
    )
    prepare(sample, make)
    monkeypatch.chdir(sample.parent)
    assert_one_error(featx, command, sample, "is refused")


def assert_one_error(featx: Program, command: str, path: Path, message: str) -> None:
    result = featx(*COMMANDS[command], path.name)
    printed = result.out + result.err
    assert result.status != 0
    assert "Traceback" not in printed
    assert message in " ".join(printed.split())
    assert "root:x" not in printed
    assert not path.with_name("out.csv").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_as_a_store_does_not_hang(
    tmp_path: Path, command: str, featx: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "features.h5")
    path = tmp_path / "features.h5"
    assert_one_error(featx, command, path, "a pipe, a socket or a device")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("command", ["verify", "export", "search"])
def test_a_pipe_as_a_part_does_not_hang(
    view: Path, command: str, featx: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(view.parent)
    part = parts_folder(view) / "part-000000.h5"
    part.unlink()
    os.mkfifo(part)
    assert_one_error(featx, command, view, "part-000000.h5")
    if command == "verify":  # Where the view is broken, it looks for what its parts are.
        view.write_bytes(view.read_bytes()[:-1] + b"\1")
        assert_one_error(featx, command, view, "part-000000.h5")


@pytest.mark.skipif(os.name == "nt", reason="needs devices and sockets in the file system")
def test_devices_and_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # The path of a socket may not be long.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in (Path("socket"), Path("/dev/zero")):
            for read in (open_store, verify_store, read_seal):
                with pytest.raises(StoreError, match="a device|not a regular file"):
                    read(path)


def test_stores_as_featx_writes_them_are_read(sample: Path, view: Path) -> None:
    for path in (sample, view):
        with open_store(path) as store:
            np.testing.assert_array_equal(store.features("v")[:], VALUES)
        assert verify_store(path).is_intact
