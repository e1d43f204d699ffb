"""The store's format as plain h5py sees it, round trips, damage, and moved stores."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from featx.errors import StoreDamaged, StoreError, StoreNotFound, UnknownName
from featx.images.sources import ImageFailure
from featx.store import FeatureStore, open_store
from featx.store.rows import Announced
from featx.store.writing import CHUNK_BYTES, write_store
from tests.store_samples import (
    chunk_offset,
    content_hash,
    flip,
    make_header,
    make_rows,
    seal_again,
    write_color,
    write_sample,
    write_view,
)

MAPS = np.arange(3 * 2 * 2 * 3, dtype=np.float32).reshape(3, 2, 2, 3)
VECTORS = np.arange(3 * 5, dtype=np.float32).reshape(3, 5) / 4
KEYS = ["day/2.png", "day/10.png", "Straße/猫 – é.jpg"]
FAILURE = ImageFailure("day/broken.png", "the file is empty (0 bytes)", 0, 17)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "features.h5"
    write_sample(
        path,
        {"block/map": MAPS, "vector": VECTORS},
        KEYS,
        labels=["day", None, "Straße"],
        failures=[FAILURE],
    )
    return path


def test_format_is_what_the_documentation_says(sample: Path) -> None:
    header = make_header({"block/map": (2, 2, 3), "vector": (5,)})
    with h5py.File(sample, "r") as file:
        assert set(file) == {
            "keys",
            "content_hash",
            "labels",
            "classes",
            "file_size",
            "file_mtime_ns",
            "missing",
            "features",
            "failures",
            "request",
            "runs",
        }
        assert file.userblock_size == 512
        assert file.attrs["format"].decode() == "featx-store"
        assert file.attrs["format_version"] == 2
        assert file.attrs["fingerprint"].decode() == header.fingerprint
        assert file.attrs["dtype"].decode() == "float32"
        assert json.loads(file.attrs["model"]) == header.model.to_dict()
        assert file.attrs["root"].decode() == "/photos"
        assert file.attrs["root_relative"].decode() == "photos"
        assert file.attrs["single_file_limit"] == 4_000_000_000
        assert file.attrs["next_part"] == 0
        assert len(file.attrs["contents"].decode()) == 64
        assert [json.loads(text) for text in file["request"]] == [{"model": "file:net.keras"}]
        assert [json.loads(text) for text in file["runs"]] == [
            {"started": "2026-01-31T09:30:00+00:00", "featx": "test", "computed": 0}
        ]

        # Of fixed length: HDF5 keeps longer and shorter text in a heap without checksums.
        longest = max(len(key.encode()) for key in KEYS)
        assert h5py.check_string_dtype(file["keys"].dtype) == ("utf-8", longest)
        assert file["keys"].asstr()[:].tolist() == KEYS
        assert file["classes"].asstr()[:].tolist() == ["Straße", "day"]
        assert file["labels"].dtype == np.int32
        assert file["labels"][:].tolist() == [1, -1, 0]
        assert file["content_hash"].dtype == np.uint8
        assert [row.tobytes() for row in file["content_hash"]] == [content_hash(k) for k in KEYS]
        assert file["file_size"].dtype == np.int64
        assert file["file_size"][:].tolist() == [100, 101, 102]
        assert file["file_mtime_ns"][:].tolist() == [10**18, 10**18 + 1, 10**18 + 2]
        assert file["missing"].dtype == np.bool_
        assert file["missing"][:].tolist() == [False, False, False]

        assert list(file["features"]) == ["f000", "f001"]
        for name, layer, values in [("f000", "block/map", MAPS), ("f001", "vector", VECTORS)]:
            dataset = file["features"][name]
            assert dataset.dtype == np.float32
            assert dataset.fletcher32
            assert dataset.chunks == (3, *values.shape[1:])
            assert dataset.attrs["name"].decode() == layer
            assert json.loads(dataset.attrs["spec"]) == {
                "name": layer,
                "kind": "layer",
                "pool": "none",
                "shape": list(values.shape[1:]),
            }
            np.testing.assert_array_equal(dataset[:], values)

        failures = file["failures"]
        assert failures["key"].asstr()[:].tolist() == ["day/broken.png"]
        assert failures["reason"].asstr()[:].tolist() == ["the file is empty (0 bytes)"]
        assert failures["size"][:].tolist() == [0]
        assert failures["mtime_ns"][:].tolist() == [17]


def test_chunks_hold_whole_rows_of_about_a_mebibyte(tmp_path: Path) -> None:
    shape = (64, 64, 8)  # 128 KiB
    write_sample(tmp_path / "maps.h5", {"map": np.zeros((20, *shape), np.float32)})
    large = (300_000,)  # More than a chunk's aim in one row.
    write_sample(tmp_path / "large.h5", {"row": np.zeros((2, *large), np.float32)})
    with h5py.File(tmp_path / "maps.h5") as maps, h5py.File(tmp_path / "large.h5") as rows:
        assert maps["features/f000"].chunks == (CHUNK_BYTES // (4 * 64 * 64 * 8), *shape)
        assert rows["features/f000"].chunks == (1, *large)


def test_thousands_of_classes_fit(tmp_path: Path) -> None:
    names = [f"class number {number} with a long name" for number in range(3000)]
    write_sample(tmp_path / "s.h5", {"v": np.zeros((3000, 1), np.float32)}, names, labels=names)
    with open_store(tmp_path / "s.h5") as store:
        assert store.classes == tuple(names)  # In natural order: 2 before 10.
        assert store.labels == tuple(names)


def test_reader_gives_back_every_column(sample: Path) -> None:
    with open_store(str(sample)) as store:
        assert len(store) == 3
        assert store.layers == ("block/map", "vector")
        assert store.keys == tuple(KEYS)
        assert store.labels == ("day", None, "Straße")
        assert store.failures == (FAILURE,)
        assert store.spec().name == "vector"
        assert store.spec("block/map").shape == (2, 2, 3)
        np.testing.assert_array_equal(store.features("vector")[[0, 2]], VECTORS[[0, 2]])
        np.testing.assert_array_equal(store.features("block/map")[1:2], MAPS[1:2])
        blocks = list(store.iter_features("vector", rows=2))
        assert [len(block) for block in blocks] == [2, 1]
        np.testing.assert_array_equal(np.concatenate(blocks), VECTORS)


def test_table_pools_maps_and_leaves_vectors(sample: Path) -> None:
    with open_store(sample) as store:
        average, largest = store.table("block/map"), store.table("block/map", pool="max")
        flat, vector = store.table("block/map", pool="flatten"), store.table(pool="max")
    np.testing.assert_allclose(average.values, MAPS.mean(axis=(1, 2)))
    np.testing.assert_array_equal(largest.values, MAPS.max(axis=(1, 2)))
    np.testing.assert_array_equal(flat.values, MAPS.reshape(3, 12))
    np.testing.assert_array_equal(vector.values, VECTORS)
    assert (average.spec.pool, average.spec.shape) == ("avg", (3,))
    assert (flat.spec.pool, flat.spec.shape) == ("flatten", (12,))
    assert (vector.spec.name, vector.spec.pool) == ("vector", "none")
    assert len({average.fingerprint, largest.fingerprint, flat.fingerprint}) == 3
    assert average.keys == tuple(KEYS)
    assert average.labels == ("day", None, "Straße")


def test_table_of_an_empty_store(tmp_path: Path) -> None:
    write_sample(tmp_path / "s.h5", {"map": np.zeros((0, 2, 2, 3), np.float32)})
    with open_store(tmp_path / "s.h5") as store:
        assert store.table("map").values.shape == (0, 3)
        assert store.keys == store.labels == ()


def test_layers_keys_and_paths_are_in_a_store(sample: Path) -> None:
    with open_store(sample) as store:
        names = [*store.layers, *store.keys, store.root.location(store.keys[0])]
        assert [name in store for name in names] == [True] * len(names)
        assert [name in store for name in ("no-such", 0, None)] == [False] * 3


def test_unknown_layer_names_the_layers(sample: Path) -> None:
    with open_store(sample) as store, pytest.raises(UnknownName, match="block/map or vector"):
        store.spec("vectr")


def test_contents_change_with_any_key_or_content_and_nothing_else(tmp_path: Path) -> None:
    def contents(
        keys: list[str], hashes: list[str], weights: str = "0", label: str | None = None
    ) -> str:
        path = tmp_path / "s.h5"
        values = {"v": np.zeros((1, 2), np.float32)}
        write_sample(path, values, keys, contents=hashes, weights=weights, labels=[label])
        with open_store(path) as store:
            return store.contents

    first = contents(["a"], ["1"])
    assert contents(["a"], ["1"], label="x") == first
    assert len({first, contents(["b"], ["1"]), contents(["a"], ["2"])}) == 3
    assert contents(["a"], ["1"], weights="1") != first


KEY = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30
)


@st.composite
def stored_features(draw: st.DrawFn) -> dict[str, np.ndarray]:
    count = draw(st.integers(0, 5))
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    finite = st.floats(
        allow_nan=False, allow_infinity=False, width=16 if dtype == np.float16 else 32
    )
    shapes = npst.array_shapes(min_dims=1, max_dims=3, max_side=3)
    names = draw(st.lists(KEY, min_size=1, max_size=3, unique=True))
    return {
        name: draw(npst.arrays(dtype, (count, *draw(shapes)), elements=finite)) for name in names
    }


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_round_trip_of_anything(data: st.DataObject) -> None:
    features = data.draw(stored_features())
    count = len(next(iter(features.values())))
    keys = data.draw(st.lists(KEY, min_size=count, max_size=count, unique=True))
    labels = data.draw(st.lists(st.none() | KEY, min_size=count, max_size=count))
    failures = [
        ImageFailure(key, reason, size, mtime)
        for key, reason, size, mtime in data.draw(
            st.lists(st.tuples(KEY, KEY, st.integers(-1, 2**62), st.integers(-1, 2**62)))
        )
    ]
    dtype = "float16" if next(iter(features.values())).dtype == np.float16 else "float32"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.h5"
        header = write_sample(path, features, keys, labels=labels, failures=failures, dtype=dtype)
        with open_store(path) as store:
            assert store.header == header
            assert store.keys == tuple(keys)
            assert store.labels == tuple(labels)
            assert store.failures == tuple(failures)
            assert [row.tobytes() for row in store.content_hash] == [
                content_hash(key) for key in keys
            ]
            assert store.layers == tuple(features)
            for name, values in features.items():
                stored = store.features(name)
                assert stored.dtype == values.dtype
                np.testing.assert_array_equal(stored[:], values)


def test_blocks_are_written_one_after_the_other(tmp_path: Path) -> None:
    header = make_header({"v": (2,)})
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    keys = [f"{number}.png" for number in range(5)]
    blocks = [make_rows({"v": values[a:b]}, keys[a:b]) for a, b in [(0, 2), (2, 3), (3, 5)]]
    path = tmp_path / "s.h5"
    write_store(path, header, iter(blocks), Announced(5, key_bytes=5))
    with open_store(path) as store:
        np.testing.assert_array_equal(store.features("v")[:], values)
        assert store.keys == tuple(keys)


def test_rows_that_part_from_their_keys_are_a_programming_error() -> None:
    with pytest.raises(AssertionError, match="parted"):
        make_rows({"v": np.zeros((2, 1)), "w": np.zeros((3, 1))})


def test_fewer_rows_than_announced_are_a_programming_error(tmp_path: Path) -> None:
    rows = make_rows({"v": np.zeros((2, 1), np.float32)})
    with pytest.raises(AssertionError, match="3 rows were announced, 2 came"):
        write_store(tmp_path / "s.h5", make_header({"v": (1,)}), [rows], Announced(3, key_bytes=20))


# Damage


def read_everything(path: Path) -> None:
    with open_store(path) as store:
        _ = (store.keys, store.labels, store.content_hash, store.file_size, store.file_mtime_ns)
        _ = (store.failures, store.root, store.contents, store.classes, store.missing)
        for layer in store.layers:
            for _ in store.iter_features(layer):
                pass


def test_missing_store() -> None:
    with pytest.raises(StoreNotFound, match="`featx.extract` makes one") as caught:
        open_store("no-such.h5")
    assert isinstance(caught.value, FileNotFoundError)


def test_unfinished_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "features.h5.parts").mkdir()
    with pytest.raises(StoreNotFound, match="There is no feature store"):
        open_store(tmp_path / "features.h5")
    (tmp_path / "features.h5.parts" / "part-000000.h5").touch()
    with pytest.raises(
        StoreNotFound, match=r"running or was interrupted.*the same command goes on"
    ):
        open_store(tmp_path / "features.h5")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(sample: Path, share: float) -> None:
    whole = sample.read_bytes()
    sample.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StoreDamaged, match=r"features\.h5"):
        read_everything(sample)


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a store")
    with pytest.raises(StoreDamaged, match="cannot be opened as an HDF5 file"):
        open_store(path)


def test_other_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["layer_weights"] = np.zeros(3)
    with pytest.raises(StoreDamaged, match="not a feature store"):
        open_store(tmp_path / "other.h5")


def test_sealed_hdf5_file_of_another_kind(sample: Path) -> None:
    edit(sample, set_attribute("format", "another"))
    with pytest.raises(StoreDamaged, match="not a feature store"):
        open_store(sample)


def test_store_of_version_1_is_to_be_extracted_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["format"] = "featx-store"
        file.attrs["format_version"] = 1
    with pytest.raises(StoreDamaged, match="earlier featx.*overwrite=True"):
        open_store(tmp_path / "old.h5")


def test_flipped_byte_in_features(sample: Path) -> None:
    flip(sample, chunk_offset(sample, "features/f001") + 3)
    with open_store(sample) as store:
        np.testing.assert_array_equal(store.features("block/map")[[0]], MAPS[:1])
        for read in (
            lambda: store.table("vector"),
            lambda: store.features("vector")[1],
            lambda: list(store.iter_features("vector")),
        ):
            with pytest.raises(
                StoreDamaged, match=r"features\.h5.*damaged.*'vector'.*featx.verify_store"
            ):
                read()


@pytest.mark.parametrize(
    "column", ["keys", "content_hash", "labels", "classes", "file_size", "file_mtime_ns"]
)
def test_flipped_byte_in_a_column(sample: Path, column: str) -> None:
    flip(sample, chunk_offset(sample, column))
    with open_store(sample) as store, pytest.raises(StoreDamaged, match="damaged"):
        getattr(store, column)


@pytest.mark.parametrize("column", ["key", "reason", "size", "mtime_ns"])
def test_flipped_byte_in_the_failure_ledger(sample: Path, column: str) -> None:
    flip(sample, chunk_offset(sample, f"failures/{column}"))
    with open_store(sample) as store, pytest.raises(StoreDamaged, match="damaged"):
        _ = store.failures


def test_another_key_of_the_same_length(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        file["keys"][0] = b"day/3.png"

    edit(sample, change)
    with open_store(sample) as store, pytest.raises(StoreDamaged, match="not those that were"):
        _ = store.keys


def test_label_without_a_class(sample: Path) -> None:
    def change(file: h5py.File) -> None:
        file["labels"][0] = 2

    edit(sample, change)
    with open_store(sample) as store, pytest.raises(StoreDamaged, match="no class"):
        _ = store.labels


def edit(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Change a store through HDF5, checksums and seal included."""
    with h5py.File(path, "r+") as file:
        change(file)
    seal_again(path)


def set_attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.attrs[name] = np.bytes_(value) if isinstance(value, str) else value

    return change


def shorten(name: str, *shape: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        dtype, attributes = file[name].dtype, dict(file[name].attrs)
        del file[name]
        data = np.zeros(shape, dtype)
        file.create_dataset(name, data=data, chunks=shape, fletcher32=True)
        file[name].attrs.update(attributes)

    return change


def delete(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_attribute("format_version", 3), "version 3; this featx reads version 2. Update"),
        (set_attribute("format_version", 1), "version 1; this featx reads version 2. Extract"),
        (set_attribute("fingerprint", "0" * 64), "fingerprint does not belong"),
        (set_attribute("model", "{}"), "damaged"),
        (set_attribute("model", "no JSON"), "damaged"),
        (set_attribute("dtype", "float16"), "fingerprint does not belong"),
        (shorten("features/f001", 2, 5), "3 keys, but {'vector': 2} rows"),
        (shorten("features/f000", 4, 2, 2, 3), "3 keys, but {'block/map': 4} rows"),
        (shorten("features/f001", 3, 4), "damaged"),
        (shorten("labels", 2), "3 keys, but {'labels': 2} rows"),
        (shorten("content_hash", 5, 16), "3 keys, but {'content_hash': 5} rows"),
        (shorten("missing", 2), "3 keys, but {'missing': 2} rows"),
        (delete("keys"), "damaged"),
        (delete("missing"), "damaged"),
        (delete("request"), "damaged"),
        (delete("runs"), "damaged"),
        (delete("labels"), "damaged"),
        (delete("classes"), "damaged"),
        (delete("failures"), "damaged"),
        (delete("features"), "damaged"),
        (delete("features/f000"), "damaged"),
    ],
)
def test_parts_that_contradict_each_other(
    sample: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    edit(sample, change)
    with pytest.raises(StoreDamaged) as caught:
        open_store(sample).close()
    assert message in str(caught.value)


def test_damaged_store_is_closed_again(sample: Path) -> None:
    edit(sample, set_attribute("format_version", 3))
    with pytest.raises(StoreDamaged):
        open_store(sample)
    edit(sample, set_attribute("format_version", 2))  # Would fail if a reader had it open.
    read_everything(sample)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        "features/f000 features/f001 keys content_hash labels classes file_size runs".split()
    ),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 255),
)
def test_any_flipped_byte_of_the_data_is_noticed(name: str, position: float, mask: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.h5"
        write_sample(path, {"map": MAPS, "vector": VECTORS}, KEYS, labels=["a", "b", None])
        read_everything(path)
        with h5py.File(path) as file:
            size = file[name].id.get_chunk_info(0).size
        flip(path, chunk_offset(path, name) + int(position * size), mask)
        with pytest.raises(StoreDamaged):
            read_everything(path)


def test_store_that_plain_h5py_has_open_is_not_called_damaged(tmp_path: Path) -> None:
    write_sample(tmp_path / "s.h5", {"v": VECTORS})
    with (
        h5py.File(tmp_path / "s.h5", "r", locking=True),
        pytest.raises(StoreError, match="locking=False") as caught,
    ):
        open_store(tmp_path / "s.h5")
    assert not isinstance(caught.value, StoreDamaged)


# Moving


def make_moved(folder: Path) -> FeatureStore:
    write_color(folder / "photos" / "a.png", (1, 2, 3))
    values = {"v": np.zeros((1, 2), np.float32)}
    write_sample(folder / "s.h5", values, ["a.png"], root=folder / "photos")
    return open_store(folder / "s.h5")


def test_root_is_found_after_moving_store_and_images(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with make_moved(tmp_path / "old") as store:
        assert store.root.path == tmp_path / "old" / "photos"
    shutil.move(tmp_path / "old", tmp_path / "new")
    with open_store(tmp_path / "new" / "s.h5") as store:
        assert store.root.path == tmp_path / "new" / "photos"


def test_root_is_absolute_after_moving_the_store_alone(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    make_moved(tmp_path / "old").close()
    shutil.move(tmp_path / "old" / "s.h5", tmp_path / "s.h5")
    with open_store(tmp_path / "s.h5") as store:
        assert store.root.path == tmp_path / "old" / "photos"
    (tmp_path / "photos").mkdir()  # Another folder of the same name, without the images.
    with open_store(tmp_path / "s.h5") as store:
        assert store.root.path == tmp_path / "old" / "photos"


@pytest.mark.parametrize("kind", ["file", "view"])
def test_open_store_does_not_depend_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "file":
        write_sample(tmp_path / "s.h5", {"v": VECTORS})
    else:
        write_view(tmp_path / "s.h5", {"v": VECTORS}, [(0, 0), (0, 1), (1, 0)])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_store("s.h5") as store:
        store.close()  # As `load_columns` and long jobs do; it is opened again.
        monkeypatch.chdir(tmp_path / "elsewhere")
        np.testing.assert_array_equal(store.features("v")[:], VECTORS)
