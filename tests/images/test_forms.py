"""Images as people hold them: paths and pictures, data frames, labels, floats, keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image

import featx
from featx.errors import AllImagesFailed, ImageError, InvalidType, InvalidValue
from featx.images.decode import decode_image
from featx.images.sources import gather
from featx.input_spec import InputSpec
from featx.options import Selection
from featx.testing import write_images

LABELS = ["a", "b", "c", "a", "b", "c"]
SPLITS = ["train", "train", "train", "test", "test", "test"]
FIELDS = {"label": LABELS, "split": SPLITS, "age": [3, None, 5, 6, 7, 8], "name": list("uvwxyz")}

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    folder = write_images(6, tmp_path / "photos")
    return sorted(Path(folder).iterdir())


@pytest.fixture
def pixels(paths: list[Path]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in paths])


@pytest.fixture
def extract(toy: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Extract, and return what is stored."""

    def extract(images: Any, **options: Any) -> dict[str, Any]:
        options = {"model": toy, "layers": ["mean"], "overwrite": True} | options
        report = featx.extract(images, output=tmp_path / "f.h5", **options)
        assert report.failed == 0
        with featx.open_store(report.output) as store:
            return {
                "root": str(store.root),
                "keys": list(store.keys),
                "label": list(store.labels),
                "split": list(store.splits),
                "values": store.table("mean").values[:, 0],
                **{name: column.tolist() for name, column in store.columns.items()},
            }

    return extract


FORMS: dict[str, Callable[[list[Path]], Any]] = {
    "list": list,
    "tuple of texts": lambda paths: tuple(map(str, paths)),
    "set": set,
    "generator": lambda paths: (path for path in paths),
    "rglob": lambda paths: paths[0].parent.parent.rglob("*.png"),
    "array of texts": lambda paths: np.array(list(map(str, paths))),
    "array of objects": lambda paths: np.array(paths, object),
    "Series": lambda paths: pandas.Series(list(map(str, paths))),
    "Series of pandas' texts": lambda paths: pandas.Series(list(map(str, paths)), dtype="string"),
    "polars": lambda paths: polars.Series(list(map(str, paths))),
    "Arrow": lambda paths: pyarrow.chunked_array([list(map(str, paths))]),
}


@pytest.mark.parametrize("form", FORMS)
def test_paths_come_in_any_form(form: str, paths: list[Path]) -> None:
    found = gather(FORMS[form](paths))
    assert str(found.root) == str(paths[0].parent)
    assert [item.key for item in found.items] == [path.name for path in paths]
    if form not in ("set", "rglob"):  # With labels, the order counts.
        labelled = gather(FORMS[form](paths[::-1]), labels=LABELS)
        assert [item.label for item in labelled.items] == LABELS[::-1]
    ordered = gather(FORMS[form](paths), in_order=True)
    assert sorted(item.key for item in ordered.items) == list(map(str, paths))


FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": lambda columns: pandas.DataFrame(columns, index=list("qwerty")),
    "polars": lambda columns: polars.DataFrame(columns),
    "Arrow": lambda columns: pyarrow.table(columns),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_table_brings_paths_labels_splits_and_columns(
    frame: str, paths: list[Path], extract: Callable[..., dict[str, Any]], toy: str
) -> None:
    made = FRAMES[frame]({"Path": list(map(str, paths)), **FIELDS})
    stored = extract(made)
    assert stored["keys"] == [path.name for path in paths]
    assert (stored["label"], stored["split"]) == (LABELS, SPLITS)
    assert stored["name"] == FIELDS["name"]
    ages = [None if age != age else age for age in stored["age"]]
    assert ages == FIELDS["age"]
    of_test = gather(made, selection=Selection(split="test"))
    assert [item.label for item in of_test.items] == LABELS[3:]
    backwards = FRAMES[frame]({"Path": list(map(str, paths[::-1]))})
    values = featx.embed(backwards, model=toy, layer="mean")
    np.testing.assert_array_equal(values[::-1, 0], stored["values"])


def test_a_table_may_hold_pictures(
    pixels: np.ndarray, extract: Callable[..., dict[str, Any]]
) -> None:
    labels = [1.0, float("nan"), 3.0, 1.0, 2.0, 3.0]  # As pandas reads whole numbers with gaps.
    table = {"image": list(pixels), "label": labels, "n": range(6), "split": SPLITS}
    stored = extract(pandas.DataFrame(table))
    assert (stored["label"], stored["n"]) == (["1", None, "3", "1", "2", "3"], list(range(6)))
    assert stored["split"] == SPLITS
    assert (stored["root"], stored["keys"][0]) == ("python:", "00000")


def test_rows_without_a_path_and_labels_beside_a_table(paths: list[Path]) -> None:
    gaps = pandas.DataFrame({"path": [None, *map(str, paths[1:])], "age": range(6)})
    found = gather(gaps, labels=LABELS[1:])
    assert [item.label for item in found.items] == LABELS[1:]
    assert found.items[0].row is not None
    assert found.items[0].row.values() == {"age": 1}
    with pytest.raises(InvalidValue, match="given twice"):
        gather(pandas.DataFrame({"path": ["a.jpg"], "label": ["x"]}), labels=["y"])
    with pytest.raises(InvalidValue, match=r"has a column path, .* Received: x\."):
        gather(pandas.DataFrame({"x": [1]}))
    with pytest.raises(InvalidValue, match=r"Call \.collect\(\) first"):
        gather(polars.LazyFrame({"path": ["a.jpg"]}))
    assert found.notes == ("rows of the table without a path are left out: 1",)
    missing = [None, float("nan"), pandas.NA, " ", *map(str, paths)]
    for column in (missing, pandas.Series(missing, dtype=object), iter(missing)):
        found = gather(column, labels=[*"vwxy", *LABELS])
        assert [item.label for item in found.items] == LABELS
        assert found.notes == ("rows of the list without a path are left out: 4",)
    listed = gather(["", *map(str, paths)])
    assert (len(listed.items), listed.notes) == (
        len(paths),
        ("rows of the list without a path are left out: 1",),
    )


@dataclass
class Read:
    """Images as they are gathered: keys, labels, and the bytes of each picture."""

    keys: list[str]
    labels: list[str | None]
    pictures: list[np.ndarray]


def read(images: Any, **options: Any) -> Read:
    found = gather(images, **options)
    items = list(found.items if found.stream is None else found.stream)
    return Read(
        [item.key for item in items],
        [item.label for item in items],
        [decode_image(item.read_bytes(), InputSpec(16, 16)) for item in items],
    )


def test_pictures_come_in_any_form_and_with_labels(
    pixels: np.ndarray, paths: list[Path], extract: Callable[..., dict[str, Any]]
) -> None:
    expected = read(paths).pictures
    pictures = [Image.fromarray(picture) for picture in pixels]
    ragged = np.empty(6, object)
    ragged[:] = [*pixels]
    for form in (list(pixels), pictures, iter(pictures), ragged, tuple(pixels), pixels):
        got = read(form, labels=LABELS)
        np.testing.assert_array_equal(got.pictures, expected)
        assert (got.labels, got.keys[5]) == (LABELS, "00005")
    stored = extract(iter(pictures), labels=LABELS)
    assert (stored["label"], stored["keys"][5]) == (LABELS, "00005")
    pairs = {path.name: path for path in paths}
    assert read(pairs, labels=np.arange(6)).labels == list("012345")
    for short in (pixels, list(pixels), pairs):
        with pytest.raises(InvalidValue, match=r"shape \(6,\). Received: shape \(2,\)"):
            read(short, labels=["a", "b"])
    with pytest.raises(InvalidValue, match="7 labels for 6 pictures"):
        extract(iter(pictures), labels=[*LABELS, "d"])
    with pytest.raises(InvalidValue, match="given twice"):
        read([("k", pixels[0], "a")], labels=["b"])


def test_one_picture_is_one_image(pixels: np.ndarray, paths: list[Path], toy: str) -> None:
    expected = read(paths).pictures[2]
    data = paths[2].read_bytes()
    for picture in (pixels[2], Image.open(paths[2]), data, bytearray(data), paths[2]):
        np.testing.assert_array_equal(read(picture).pictures, [expected])
    assert featx.embed(pixels[2], model=toy, layer="mean").shape == (1, 3)
    assert len(read(pixels[2][..., 0]).keys) == 1
    assert len(read((pixels[0], pixels[1])).keys) == 2


def test_floats_are_taken_where_it_is_said_what_they_mean(pixels: np.ndarray, toy: str) -> None:
    expected = read(pixels).pictures
    unit = (pixels / 255).astype(np.float32)
    for form in (unit, list(unit), iter(unit.astype(np.float16))):
        np.testing.assert_array_equal(read(form, scale="unit").pictures, expected)
    np.testing.assert_array_equal(read(pixels + 0.25, scale="byte").pictures, expected)
    np.testing.assert_array_equal(
        featx.embed(unit, model=toy, layer="mean", scale="unit"),
        featx.embed(pixels, model=toy, layer="mean"),
    )
    with pytest.raises(InvalidValue, match=r"What do these floats mean\? Say scale='unit'"):
        read(unit)
    with pytest.raises(ImageError, match=r"Say scale='unit'"):
        read(list(unit))
    with pytest.raises(InvalidValue, match=r"from 0 to 1\. Received: -0\.5 to"):
        read(unit - 0.5, scale="unit")
    with pytest.raises(featx.FeatxError, match="Choose unit or byte"):
        featx.embed(unit, model=toy, scale="percent")  # type: ignore[arg-type]


def test_absolute_paths_may_be_keys(
    pixels: np.ndarray, paths: list[Path], extract: Callable[..., dict[str, Any]]
) -> None:
    names = [str(path) for path in paths]
    assert extract(dict(zip(names, paths, strict=True)))["keys"] == names
    assert read(list(zip(names, pixels, strict=True))).keys == names
    windows = r"C:\photos\1.jpg"
    assert read({windows: pixels[0]}).keys == [windows]
    with pytest.raises(ImageError, match="leads out"):
        read({"/photos/../1.jpg": pixels[0]})


def test_what_is_mixed_is_refused(pixels: np.ndarray, paths: list[Path]) -> None:
    with pytest.raises(InvalidValue, match="a path first, and ndarray at position 1"):
        gather([paths[0], pixels[0]])
    with pytest.raises(InvalidValue, match="Received: PosixPath"):
        list(gather([pixels[0], paths[0]]).stream or ())
    with pytest.raises(InvalidValue, match="choose among files"):
        gather(pixels, selection=Selection(split="test"))


def test_a_row_without_an_image_is_refused_where_rows_count(paths: list[Path], toy: str) -> None:
    extractor = featx.Extractor(toy, "mean")
    filling = featx.Extractor(toy, "mean", on_error="nan")
    with_paths = [str(paths[0]), None, str(paths[1])]
    with_pictures = [np.zeros((8, 8, 3), np.uint8), pandas.NA, np.zeros((8, 8, 3), np.uint8)]
    gaps = pandas.DataFrame({"path": with_paths})
    for form in (with_paths, gaps, gaps["path"].astype("string"), polars.DataFrame(gaps)):
        with pytest.raises(ImageError, match="'position 1' cannot be used: there is no path"):
            extractor(form)
        assert np.isnan(filling(form)[:, 0]).tolist() == [False, True, False]
    for pictures in (with_pictures, pandas.DataFrame({"image": with_pictures})):
        with pytest.raises(ImageError, match="'00001' cannot be used: there is no path"):
            extractor(pictures)
        assert np.isnan(filling(pictures)[:, 0]).tolist() == [False, True, False]
    assert np.isnan(filling([None, float("nan")])).all()
    np.testing.assert_array_equal(extractor(gaps.dropna()), filling(with_paths)[[0, 2]])


def test_a_missing_picture_under_a_key_is_a_failed_image(
    paths: list[Path], tmp_path: Path, toy: str
) -> None:
    images = {"a": paths[0], "b": None, "c": paths[1]}
    report = featx.extract(images, toy, layer="mean", output=tmp_path / "f.h5")
    assert report.done == 2
    assert [(one.key, one.reason) for one in report.failures] == [
        ("b", "there is no path or picture")
    ]


def test_labels_may_be_generated_and_have_an_order(pixels: np.ndarray) -> None:
    named = dict(enumerate(LABELS))
    for labels in (iter(LABELS), map(str, LABELS), named.values()):
        assert read(pixels, labels=labels).labels == LABELS
    assert read((one for one in pixels), labels=iter(LABELS)).labels == LABELS
    for wrong in (set(LABELS), named, "label"):
        with pytest.raises(InvalidType, match="in their order. Received: (set|dict|str)"):
            gather(pixels, labels=wrong)


def test_pairs_of_image_and_label_are_told_from_key_and_image(
    pixels: np.ndarray, paths: list[Path]
) -> None:
    for pair in ((pixels[0], "a"), (str(paths[0]), "a"), (str(paths[0]), 3)):
        with pytest.raises(InvalidValue, match=r"Of pairs \(image, label\)") as caught:
            read([pair])
        assert len(str(caught.value)) < 400
    assert read([(str(paths[0]), paths[1])]).keys == [str(paths[0])]


def test_images_that_all_fail_are_an_error_in_every_call(tmp_path: Path, toy: str) -> None:
    write_images(6, tmp_path / "photos")
    store = tmp_path / "f.h5"
    labels = ["cat", "dog"] * 3
    paths = sorted((tmp_path / "photos").iterdir())
    featx.extract(paths, labels=labels, model=toy, layers=["mean"], output=store)
    head = featx.fit_head(store, output=tmp_path / "head")
    assert head.classes == ("cat", "dog")
    gone = [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    broken = {"x": b"no picture", "y": b"neither"}
    calls: list[Callable[[], Any]] = [
        lambda: featx.extract(broken, model=toy, output=tmp_path / "x.h5"),
        lambda: featx.extract(gone, labels=[1, 2], model=toy, output=tmp_path / "x.h5"),
        lambda: featx.extract([np.zeros((4, 4, 3))] * 2, model=toy, output=tmp_path / "y.h5"),
        lambda: featx.predict(broken, head=tmp_path / "head"),
        lambda: featx.search(broken, features=store),
    ]
    for call in calls:
        with pytest.raises(AllImagesFailed, match="2 images failed. The first one: ") as raised:
            call()
        assert len(raised.value.report.failures) == 2
    with pytest.raises(ImageError, match=r"1\.png' cannot be used: No such file.* \(2 images"):
        featx.embed(gone, model=toy)


def test_every_call_takes_the_same_images(tmp_path: Path, toy: str) -> None:
    write_images(6, tmp_path / "photos")
    store = tmp_path / "f.h5"
    paths = sorted((tmp_path / "photos").iterdir())
    frame = pandas.DataFrame({"path": paths, "label": ["cat", "dog"] * 3})
    featx.extract(frame, model=toy, layers=["mean"], output=store)
    featx.fit_head(store, output=tmp_path / "head")
    unit = [np.asarray(Image.open(path)) / 255 for path in paths]

    def generate() -> Iterator[Path]:
        yield from paths

    forms: list[tuple[Any, dict[str, Any]]] = [
        (frame, {}), (generate(), {}), (set(paths), {}), (unit, {"scale": "unit"}),
        (pandas.Series(paths), {}), (Image.open(paths[0]), {}),
    ]  # fmt: skip
    for form, options in forms:
        count = 1 if isinstance(form, Image.Image) else 6
        if not isinstance(form, Iterator):
            assert len(featx.embed(form, model=toy, **options)) == count
            found = featx.search(form, features=store, k=1, **options)
            assert len(found.results) == count
        predicted = featx.predict(form, head=tmp_path / "head", **options)
        assert len(predicted.predictions) == count


def test_libraries_of_data_frames_are_not_imported() -> None:
    code = (
        "import sys, featx, numpy; from featx.images.sources import gather;"
        "gather([numpy.zeros((4, 4), numpy.uint8)]); gather(numpy.zeros((1, 4, 4), numpy.uint8));"
        "print({'pandas', 'polars', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
