"""`Extractor` and `embed`: the numbers that a store would hold, without a store."""

from __future__ import annotations

import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import featx
from featx.errors import ImageError, ImagesNotFound, InvalidValue, RepeatedOption, UnknownOption
from featx.images.sources.pixels import encode_pixels
from featx.testing import toy_model, write_images
from tests.doc_pages import read_page


@pytest.fixture
def model() -> str:
    return toy_model()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(5, tmp_path / "photos")


def paths_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_rows_are_those_of_a_store(model: str, folder: Path, tmp_path: Path) -> None:
    featx.extract(folder, model=model, layers=["map", "mean"], output=tmp_path / "f.h5")
    embedded = featx.embed(folder, model=model, layer=["map", "mean"], pool="none")
    with featx.open_store(tmp_path / "f.h5") as store:
        assert isinstance(embedded, dict)
        np.testing.assert_array_equal(embedded["mean"], store.table("mean").values)
        np.testing.assert_array_equal(embedded["map"], store.table("map", pool="none").values)


def test_a_list_of_paths_keeps_its_order(model: str, folder: Path) -> None:
    whole = featx.embed(folder, model=model, layer="mean")
    paths = paths_of(folder)
    backwards = featx.embed(paths[::-1], model=model, layer="mean")
    np.testing.assert_array_equal(backwards, np.asarray(whole)[::-1])
    twice = featx.embed([str(paths[0])] * 2, model=model, layer="mean")
    np.testing.assert_array_equal(twice, np.asarray(whole)[[0, 0]])


def test_pictures_in_memory_need_no_keys(model: str, folder: Path) -> None:
    opened = [Image.open(path).convert("RGB") for path in paths_of(folder)]
    arrays = [np.asarray(image) for image in opened]
    expected = featx.embed(folder, model=model, layer="mean")
    for images in (opened, arrays, (image for image in opened), map(encode_pixels, arrays)):
        np.testing.assert_array_equal(featx.embed(images, model=model, layer="mean"), expected)


def test_one_picture_is_one_row(model: str, folder: Path) -> None:
    assert np.shape(featx.embed(paths_of(folder)[0], model=model, layer="mean")) == (1, 3)
    assert np.shape(featx.embed([np.zeros((8, 8, 3), np.uint8)], model=model)) == (1, 3)


def test_pixels_of_different_sizes_are_prepared_one_by_one(model: str) -> None:
    images = [np.full((size, 9, 3), 51, np.uint8) for size in (7, 12, 30)]
    np.testing.assert_allclose(featx.embed(images, model=model, layer="mean"), 0.2, atol=1e-6)


def test_what_cannot_be_read_is_an_error_that_names_it(model: str, folder: Path) -> None:
    broken, missing = folder / "broken.jpg", folder / "missing.jpg"
    broken.write_bytes(b"no picture")
    paths = [*paths_of(folder), missing]
    with pytest.raises(ImageError, match=r"broken\.jpg' cannot be used: .*\(2 images failed\)"):
        featx.embed(paths, model=model)
    with pytest.raises(ImagesNotFound):
        featx.embed(folder / "nowhere", model=model)


def test_rows_of_nan_keep_the_others_in_place(model: str, folder: Path) -> None:
    whole = np.asarray(featx.embed(folder, model=model, layer="mean"))
    first, *others = paths_of(folder)
    paths = [folder / "missing.jpg", first, folder / "too.jpg", *others, folder / "last.jpg"]
    rows = np.asarray(featx.embed(paths, model=model, layer="mean", on_error="nan"))
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [1, 0, 1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(rows[[1, 3, 4, 5, 6]], whole)


def test_images_that_are_not_even_listed_get_their_row_of_nan(model: str, folder: Path) -> None:
    whole = np.asarray(featx.embed(folder, model=model, layer="mean"))
    first, second, *others = (path.relative_to(folder).as_posix() for path in paths_of(folder))
    missing = f"{second}0"  # Between the second and the third, in that order.
    lines = "\n".join(["path", first, second, "zz/missing.jpg", missing, *others])
    (folder / "photos.csv").write_text(lines + "\n")
    rows = featx.embed(folder / "photos.csv", model=model, layer="mean", on_error="nan")
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(np.asarray(rows)[[0, 1, 3, 4, 5]], whole)


def test_urls_in_a_list_are_images(model: str, folder: Path) -> None:
    paths = paths_of(folder)
    given = [f"file://{paths[1]}", paths[0].as_posix(), f"file://{folder}/missing.jpg"]
    rows = np.asarray(featx.embed(given, model=model, layer="mean", on_error="nan"))
    whole = np.asarray(featx.embed(paths[:2], model=model, layer="mean"))
    np.testing.assert_array_equal(rows[:2], whole[::-1])
    assert np.isnan(rows[2]).all()
    named = featx.embed({"a": given[0]}, model=model, layer="mean")
    np.testing.assert_array_equal(named, whole[[1]])
    with pytest.raises(ImageError, match=r"missing.jpg' cannot be used"):
        featx.embed(given, model=model, layer="mean")


def test_the_model_is_loaded_once_whatever_the_number_of_threads(
    model: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load_model = featx.load_model

    def load(model: str, **options: Any) -> featx.Backbone:
        loads.append(model)
        return load_model(model, **options)

    monkeypatch.setattr("featx.features.extractor.load_model", load)
    extractor = featx.Extractor(model, "mean")
    paths = paths_of(folder)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda path: extractor([path]), paths * 8))
    np.testing.assert_array_equal(np.concatenate(rows[:5]), extractor(paths))
    assert loads == [model]
    extractor.set_params(layer="map")
    assert np.shape(extractor(paths)) == (5, 3)
    assert loads == [model, model]


def test_options_are_those_of_extract(model: str) -> None:
    small = featx.Extractor(model, "mean", img_size=(16, 8), workers=1)
    assert small.input == featx.InputOptions(img_size=(16, 8))
    assert small.run == featx.RunOptions(workers=1)
    with pytest.raises(UnknownOption, match="Did you mean img_size"):
        featx.Extractor(model, img_siz=96)  # type: ignore[call-arg]
    with pytest.raises(UnknownOption, match=r"featx\.embed\(\) named 'layerr'. Did you mean layer"):
        featx.embed("photos", model, layerr="mean")  # type: ignore[call-arg]
    with pytest.raises(RepeatedOption):
        featx.Extractor(model, run=featx.RunOptions(workers=2), workers=1)
    with pytest.raises(featx.errors.UnknownName, match="way to treat errors"):
        featx.embed([np.zeros((8, 8, 3), np.uint8)], model=model, on_error="skip")  # type: ignore[arg-type]
    with pytest.raises(featx.errors.UnknownName, match=r"pooling named 'averge'. Did you mean avg"):
        featx.embed([np.zeros((8, 8, 3), np.uint8)], pool="averge")


def test_several_layers_stand_side_by_side_in_a_table(model: str, folder: Path) -> None:
    extractor = featx.Extractor(model, ["mean", "map"], pool="none")
    by_layer = extractor(folder)
    assert isinstance(by_layer, dict)
    table = extractor.transform(folder)
    assert table.shape == (5, 15)
    names = list(extractor.get_feature_names_out())
    assert names[:2] == ["map_0", "map_1"]
    assert names[-1] == "mean_2"
    np.testing.assert_array_equal(table[:, -3:], by_layer["mean"])


def test_a_pipeline_of_scikit_learn_fits_on_pictures(model: str) -> None:
    shades = [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 10, 20, 230, 240, 250)]
    pipeline = make_pipeline(featx.Extractor(model, "mean"), LogisticRegression(C=100.0))
    targets = [0, 0, 0, 1, 1, 1]
    assert pipeline.fit(shades, targets).score(shades, targets) == 1.0
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(shades), pipeline.predict_proba(shades))
    grid = GridSearchCV(pipeline, {"extractor__layer": ["mean", "head/double"]}, cv=2)
    assert grid.fit(shades, targets).best_score_ == 1.0


def test_a_clone_and_a_pickle_have_the_parameters_and_no_model(model: str) -> None:
    extractor = featx.Extractor(model, "mean", pool="max", img_size=(16, 16)).fit()
    for other in (clone(extractor), pickle.loads(pickle.dumps(extractor))):
        assert other.get_params() == extractor.get_params()
        assert "_loaded" not in vars(other)
    assert "img_size=(16, 16)" in repr(extractor)


CHECKS = re.findall(
    "`(check_.+?)`",
    read_page("how-to/arrays.md").split("<!-- checks that pass -->")[1].split("<!-- end")[0],
)


@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_scikit_learn_pass_that_need_no_table_of_numbers(name: str, model: str) -> None:
    # All of them at once, `check_estimator`, skips what takes no such tables.
    getattr(estimator_checks, name)("Extractor", featx.Extractor(model, "mean"))


def test_the_checks_of_scikit_learn_that_pass_are_listed() -> None:
    assert {"check_estimator_cloneable", "check_set_params", "check_mixin_order"} <= set(CHECKS)
    assert len(CHECKS) >= 12


def test_a_table_of_numbers_is_no_image(model: str) -> None:
    with pytest.raises(InvalidValue, match="array"):
        featx.embed(np.zeros((4, 3)), model=model)
