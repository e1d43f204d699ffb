"""Features as arrays and data frames: compared with h5py, pandas' own merge, and the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import featx
from featx.errors import ImageError, InvalidType, InvalidValue, LibraryMissing, UnknownName
from featx.images.decode import decode_image
from featx.store.frames import Feature, to_arrow
from featx.testing import toy_model, write_images

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

AGES = [3, None, 5, 6, 7, 8, 9]
TABLE = {
    "label": ["a", "b", None, "a", "b", "a", "b"],
    "split": ["train"] * 5 + ["test"] * 2,
    "age": AGES,
    "wild": [True, None, False, True, True, False, True],
    "name": ["n0", "n1", "n2", None, "n4", "n5", "n6"],
    "weight": [0.5, None, 1.5, 2.5, 3.5, 4.5, 5.5],
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(7, tmp_path_factory.mktemp("world") / "photos", size=(20, 30))


@pytest.fixture(scope="module", params=[None, 0], ids=["file", "view"])
def path(request: pytest.FixtureRequest, photos: Path) -> Path:
    """A store of vectors and maps, with columns of every kind."""
    output = photos.parent / f"{request.param}.h5"
    paths = [str(path) for path in sorted(photos.iterdir())]
    featx.extract(
        polars.DataFrame({"path": paths, **TABLE}),
        model=toy_model(), layers=["map", "mean"], pool="none", output=output,
        single_file_limit=request.param,
    )  # fmt: skip
    return output


@pytest.fixture
def store(path: Path) -> Iterator[featx.FeatureStore]:
    with featx.open_store(path) as opened:
        yield opened


def test_a_layer_is_an_array_on_the_disk(store: featx.FeatureStore, path: Path) -> None:
    with h5py.File(path, locking=False) as file:
        expected = {d.attrs["name"].decode(): d[:] for d in file["features"].values()}
    for name in ("map", "mean"):
        layer, whole = store[name], expected[name]
        assert (layer.shape, layer.dtype, len(layer)) == (whole.shape, whole.dtype, 7)
        assert (layer.ndim, layer.size) == (whole.ndim, whole.size)
        np.testing.assert_array_equal(np.asarray(layer), whole)
        assert np.asarray(layer, np.float64).dtype == np.float64
        mask = np.array([True, False, True, False, False, True, False])
        some: list[Any] = [3, -1, np.int64(2), slice(1, 5, 2), slice(None, None, -1), [4, 1, 1]]
        some += [np.array([6, 0]), mask, mask.tolist(), (slice(2), 0), ..., (..., 0)]
        for index in some:
            np.testing.assert_array_equal(layer[index], whole[index])
        np.testing.assert_array_equal(layer["image_2.png"], whole[2])
        names = ["image_5.png", "image_0.png"]
        for keys in (names, tuple(names[:1]), np.array(names), pandas.Series(names)):
            rows = [5, 0][: len(keys)]
            np.testing.assert_array_equal(layer[list(keys)], whole[rows])
        np.testing.assert_array_equal(layer[names, 0], whole[[5, 0], 0])
        np.testing.assert_array_equal(layer[store.keys[2:5]], whole[2:5])
        with pytest.raises(IndexError):
            layer[7]
    assert "mean" in store
    assert "image_0.png" in store
    assert all(other not in store for other in ("image_00.png", "meen", 3))
    for missing in ("image_00.png", ["image_0.png", "image_00.png"]):
        with pytest.raises(UnknownName, match="named 'image_00.png'. Did you mean image_0.png"):
            store["mean"][missing]
    with pytest.raises(InvalidType, match=r"store\['mean'\]\[0\]. Received: 3"):
        store[3]  # type: ignore[index]
    with pytest.raises(UnknownName, match="Did you mean mean"):
        store["meen"]
    with pytest.raises(TypeError, match="not iterable"):
        list(store)  # type: ignore[call-overload]


def test_keys_may_be_paths(
    store: featx.FeatureStore, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    keys = ["image_3.png", photos / "image_1.png", "photos/image_2.png"]
    assert store.rows(keys).tolist() == [3, 1, 2]
    assert store.rows(photos / "image_4.png") == 4


def test_batches_are_tables_in_order(store: featx.FeatureStore) -> None:
    whole = store.table("mean")
    batches = list(store.batches("mean", batch_size=3))
    assert [len(batch.keys) for batch in batches] == [3, 3, 1]
    assert tuple(key for batch in batches for key in batch.keys) == whole.keys
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches]), whole.values)
    assert batches[2].labels == ("b",)
    with pytest.raises(InvalidValue, match="batch_size"):
        next(store.batches(batch_size=0))
    assert next(store.batches("map")).values.shape == (7, store.to_numpy("map").shape[1])


def test_numpy_has_the_rows_that_are_asked_for(store: featx.FeatureStore) -> None:
    np.testing.assert_array_equal(store.to_numpy("mean"), store.table("mean").values)
    chosen = store.to_numpy("mean", keys=["image_6.png", "image_1.png"])
    np.testing.assert_array_equal(chosen, store["mean"][[6, 1]])
    assert store.to_numpy("map", pool="none").ndim == 4
    for pool in (None, "mean", "max"):
        expected = store.to_numpy("map", pool={None: "none", "mean": "avg"}.get(pool, "max"))
        np.testing.assert_array_equal(store.to_numpy("map", pool=pool), expected)
    with pytest.raises(UnknownName, match="pooling named 'maxx'"):
        store.to_numpy("map", pool="maxx")
    for number in (3, [3]):
        with pytest.raises(InvalidType, match=r"A key is a text, .* Received: 3\."):
            store.rows(number)  # type: ignore[arg-type]
    for frame in (store.to_numpy("mean", keys="image_1.png"), store.to_arrow(keys="image_1.png")):
        assert len(frame) == 1


def test_pandas_has_a_row_for_each_key(store: featx.FeatureStore) -> None:
    frame = store.to_pandas("mean")
    assert list(frame.columns) == [*TABLE, "mean_0", "mean_1", "mean_2"]
    assert (frame.index.name, list(frame.index)) == ("key", list(store.keys))
    np.testing.assert_array_equal(frame[["mean_0", "mean_1", "mean_2"]], store["mean"][:])
    types = {name: str(frame[name].dtype) for name in ("age", "wild", "weight", "mean_0")}
    assert types == {"age": "Int64", "wild": "boolean", "weight": "float64", "mean_0": "float32"}
    for name, values in TABLE.items():
        got = [None if pandas.isna(value) else value for value in frame[name]]
        assert got == values
    few = store.to_pandas("mean", keys=["image_4.png"], features=False)
    assert (few.shape, few.loc["image_4.png", "name"]) == ((1, len(TABLE)), "n4")


def test_arrow_and_polars_have_lists(store: featx.FeatureStore) -> None:
    table = store.to_arrow("mean")
    assert table.column_names == ["key", *TABLE, "mean"]
    assert {name: table[name].to_pylist() for name in TABLE} == TABLE
    np.testing.assert_array_equal(table["mean"].to_pylist(), store["mean"][:])
    frame = polars.from_arrow(store.to_arrow("mean", keys=["image_2.png"]))
    assert frame["key"].to_list() == ["image_2.png"]
    np.testing.assert_array_equal(frame["mean"].to_numpy(), store["mean"][[2]])


def test_frames_are_joined_by_key_or_path(store: featx.FeatureStore, photos: Path) -> None:
    given = pandas.DataFrame(
        {
            "file": [str(photos / "image_5.png"), "nowhere.png", "image_0.png", "image_5.png"],
            "note": list("wxyz"),
            "name": ["mine"] * 4,
        },
        index=[9, 8, 7, 6],
    )
    joined = store.join(given, layer="mean")
    known = given.assign(key=["image_5.png", "nowhere.png", "image_0.png", "image_5.png"])
    stored = store.to_pandas("mean").drop(columns="name")
    merged = known.merge(stored, how="left", left_on="key", right_index=True)
    for name, values in merged.drop(columns="key").items():
        assert joined[name].isna().tolist() == values.isna().tolist()
        assert joined[name].dropna().tolist() == values.dropna().tolist()
    assert joined.index.tolist() == given.index.tolist()
    by_index = store.join(given.set_index("file"), layer="mean")
    np.testing.assert_array_equal(by_index["mean_1"], joined["mean_1"])

    frame = polars.DataFrame(given)
    result = store.join(frame, "file", "mean")
    assert result.columns == ["file", "note", "name", "label", "split", "age", "wild", "weight",
                              "mean"]  # fmt: skip
    assert result["age"].to_list() == [8, None, 3, 8]
    assert result["mean"][1] is None
    np.testing.assert_array_equal(result["mean"][3].to_numpy(), store["mean"][5])
    assert store.join(frame.to_arrow(), layer="mean").column_names == result.columns
    with pytest.raises(InvalidValue, match="no column 'path'. It has file, note and name"):
        store.join(frame, "path")
    with pytest.raises(InvalidValue, match="None of the 1 rows names an image.*'x.png'"):
        store.join(pandas.DataFrame({"path": ["x.png"]}))
    with pytest.raises(InvalidValue, match="Received: list"):
        store.join(["image_0.png"])


def test_tables_may_have_no_rows(store: featx.FeatureStore) -> None:
    columns = list(store.to_pandas("mean").columns)
    empty = store.to_pandas("mean", keys=[])
    assert (len(empty), list(empty.columns)) == (0, columns)
    assert store.to_arrow("mean", keys=[]).schema.names == ["key", *TABLE, "mean"]
    joined = store.join(pandas.DataFrame({"path": []}), layer="mean")
    assert (len(joined), list(joined.columns)) == (0, ["path", *columns])


def test_a_layer_may_be_called_as_a_column(store: featx.FeatureStore) -> None:
    feature = Feature("key", 1, lambda rows: np.zeros((len(rows), 1), np.float32))
    table = to_arrow(store, None, feature)
    assert table.column_names == ["key", *TABLE, "key_"]
    assert table["key"].to_pylist() == list(store.keys)


def test_pictures_are_decoded_again(store: featx.FeatureStore, photos: Path) -> None:
    keys = ["image_3.png", "image_1.png"]
    for key, picture in zip(keys, store.images(keys), strict=True):
        with Image.open(photos / key) as image:
            assert (picture.size, picture.mode) == (image.size, "RGB")
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(image.convert("RGB")))
    (prepared,) = store.images("image_3.png", prepared=True)
    data = (photos / "image_3.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(prepared), decode_image(data, store.model.input))


def test_pictures_that_are_not_the_same_any_more_are_refused(tmp_path: Path, toy: str) -> None:
    photos = write_images(3, tmp_path / "photos")
    picture = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by a quarter.
    picture.save(photos / "turned.png", exif=exif)
    featx.extract(photos, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    (photos / "image_0.png").write_bytes((photos / "image_1.png").read_bytes())
    (photos / "image_2.png").unlink()
    with featx.open_store(tmp_path / "f.h5") as store:
        (turned,) = store.images(["turned.png"])
        np.testing.assert_array_equal(np.asarray(turned), np.rot90(np.asarray(picture), -1))
        with pytest.raises(ImageError, match="'image_0.png' cannot be read: it has changed"):
            store.images("image_0.png")
        with pytest.raises(ImageError, match="'image_2.png' cannot be read: there is no such"):
            store.images("image_2.png")
    featx.extract({"a": picture}, model=toy, layers=["mean"], output=tmp_path / "m.h5")
    with (
        featx.open_store(tmp_path / "m.h5") as store,
        pytest.raises(ImageError, match="'a' cannot be read: it was passed in Python"),
    ):
        store.images("a")


def test_a_library_that_is_missing_is_named(
    store: featx.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, *rest: Any) -> Any:
        if name.split(".")[0] in ("pandas", "pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    import importlib

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(LibraryMissing, match=r"^to_pandas\(\) needs pandas: pip install pandas$"):
        store.to_pandas()
    with pytest.raises(ImportError, match=r"^to_arrow\(\) needs pyarrow: pip install pyarrow$"):
        store.to_arrow()
