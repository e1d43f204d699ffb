"""`search`: from a picture to its likes, with indexes that are missing, old or foreign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx.testing.toy
from featx.errors import (
    AllImagesFailed,
    FingerprintMismatch,
    ImagesNotFound,
    IndexFileError,
    InvalidValue,
    ModelError,
    StoreDamaged,
    StoreNotFound,
    UnknownName,
)
from featx.events import Listener
from featx.extraction import extract
from featx.index.building import build_index
from featx.index.opening import open_index
from featx.index.searching import search
from featx.store import FeatureStore, open_store
from featx.testing import write_images
from tests.index_files import split_file, write_version2
from tests.store_samples import write_color, write_sample


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def store(toy: str, photos: Path, tmp_path: Path) -> Path:
    """Seven pictures of one colour, of different hues."""
    for number in range(7):
        write_color(photos / f"{number}.png", (20 + 30 * number, 200 - 30 * number, 50))
    extract(photos, model=toy, layers=["map", "mean"], output=tmp_path / "f.h5")
    return tmp_path / "f.h5"


def keys_of(report: featx.index.SearchReport) -> list[list[str]]:
    return [[match.key for match in result.matches] for result in report.results]


def test_every_picture_finds_itself_first_with_score_one(store: Path, photos: Path) -> None:
    report = search(photos, features=store, k=3)
    assert report.index_size == 7
    assert report.layer == "mean"
    assert len(report.results) == 7
    for number, result in enumerate(report.results):
        best = result.matches[0]
        assert result.query == best.path == str(photos / f"{number}.png")
        assert (best.rank, best.key) == (1, f"{number}.png")
        assert best.score == pytest.approx(1, abs=1e-6)
        assert best.score > result.matches[1].score
    assert keys_of(report)[3][0] == "3.png"
    assert set(keys_of(report)[3][1:]) == {"2.png", "4.png"}


def test_scores_by_hand(toy: str, photos: Path, tmp_path: Path) -> None:
    write_color(photos / "red.png", (100, 0, 0))
    write_color(photos / "yellow.png", (200, 200, 0))
    extract(photos, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    query = write_color(tmp_path / "q.png", (255, 0, 0))
    (result,) = search(query, features=tmp_path / "f.h5").results
    assert [(match.key, match.score) for match in result.matches] == [
        ("red.png", pytest.approx(1)),
        ("yellow.png", pytest.approx(0.5**0.5)),
    ]


def test_queries_of_another_size_and_mode(store: Path, photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    with Image.open(photos / "2.png") as image:
        image.resize((300, 20)).save(tmp_path / "wide.bmp")
        image.convert("RGBA").resize((3, 3)).save(tmp_path / "alpha.png")
    report = search([tmp_path / "wide.bmp", tmp_path / "alpha.png"], features=store, k=1)
    assert keys_of(report) == [["2.png"], ["2.png"]]
    assert [result.matches[0].score for result in report.results] == pytest.approx([1, 1])


def test_broken_query_is_a_failure_among_the_others(
    store: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "bad.png").write_bytes(b"")
    write_color(tmp_path / "q" / "good.png", (20, 200, 50))
    report = search(tmp_path / "q", features=store, k=1)
    assert keys_of(report) == [["0.png"]]
    assert [failure.key for failure in report.failures] == ["bad.png"]


def test_keys_as_queries_run_no_network(
    store: Path, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.setattr(featx.testing.toy, "load", None)
    report = search(keys=["0.png", "6.png"], features=store, k=2)
    assert [result.query for result in report.results] == ["0.png", "6.png"]
    assert keys_of(report) == [["1.png", "2.png"], ["5.png", "4.png"]]
    assert [match.rank for match in report.results[0].matches] == [1, 2]
    with pytest.raises(UnknownName):
        search(keys=["9.png"], features=store)


def test_k_larger_than_the_index_is_said(store: Path, photos: Path) -> None:
    notes = Notes()
    report = search(photos / "0.png", features=store, k=50, listener=notes)
    assert len(report.results[0].matches) == 7
    assert "the index holds 7 images: all of them are ranked" in notes.texts


def test_threshold(store: Path, photos: Path) -> None:
    (result,) = search(photos / "0.png", features=store, threshold=0.999).results
    assert [match.key for match in result.matches] == ["0.png"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, InvalidValue, "Nothing to search for"),
        ({"keys": ["0.png"], "k": 0}, InvalidValue, "'k' takes a whole number, at least 1"),
        ({"queries": "no.png"}, ImagesNotFound, "no.png"),
        ({"keys": ["0.png"], "features": "no.h5"}, StoreNotFound, "no.h5"),
        ({"keys": ["0.png"], "features": None, "index": "no.faiss"}, IndexFileError, "no.faiss"),
    ],
)
def test_wrong_arguments(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        search(**({"features": store} | arguments))


def test_defaults_are_features_and_its_index_in_the_current_folder(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.rename(tmp_path / "features.h5")
    monkeypatch.chdir(tmp_path)
    assert keys_of(search(keys=["0.png"], k=1)) == [["1.png"]]
    assert (tmp_path / "features.faiss").is_file()
    (tmp_path / "features.h5").unlink()  # The index alone is enough,
    assert keys_of(search("photos/0.png", k=1)) == [["0.png"]]
    (tmp_path / "features.faiss").unlink()
    with pytest.raises(StoreNotFound, match="features.h5"):
        search("photos/0.png")


def test_empty_store(toy: str, photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    with pytest.raises(AllImagesFailed):
        extract(photos, model=toy, output=tmp_path / "f.h5")
    with pytest.raises(IndexFileError, match="holds no features"):
        search(keys=["bad.png"], features=tmp_path / "f.h5")


# Indexes that are missing or old


def test_index_is_built_once_and_used_again(
    store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    search(photos / "0.png", features=store, listener=notes)
    assert sum("building the index" in text for text in notes.texts) == 1
    before = store.with_name("f.faiss").stat().st_mtime_ns
    notes = Notes()
    report = search(photos / "0.png", features=store, listener=notes)
    assert not any("building" in text for text in notes.texts)
    assert store.with_name("f.faiss").stat().st_mtime_ns == before
    assert report.results[0].matches[0].key == "0.png"


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("pool", ["avg", "max", "flatten"])
def test_stale_index_is_brought_up_to_date(
    toy: str, store: Path, photos: Path, explicit: bool, pool: Any
) -> None:
    build_index(store, layer="map", pool=pool)
    write_color(photos / "new.png", (0, 0, 255))
    extract(photos, model=toy, layers=["map", "mean"], output=store)
    notes = Notes()
    given = {"index": store.with_name("f.faiss")} if explicit else {"features": store}
    report = search(photos / "new.png", k=1, listener=notes, **given)
    assert (report.index_size, report.layer) == (8, "map")
    assert keys_of(report) == [["new.png"]]
    assert report.results[0].matches[0].score == pytest.approx(1)
    assert any("bringing" in text and "up to date" in text for text in notes.texts)
    feature = open_index(store.with_name("f.faiss")).description.feature
    assert (feature.name, feature.pool) == ("map", pool)


def test_an_index_is_brought_up_to_date_from_the_new_rows_alone(
    toy: str, store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(photos / "0.png", features=store, layer="map")
    write_color(photos / "new.png", (1, 2, 3))
    write_color(photos / "2.png", (99, 2, 3))
    (photos / "4.png").unlink()
    (photos / "5.png").rename(photos / "moved.png")
    extract(photos, model=toy, layers=["map", "mean"], output=store, prune=True)
    read: list[int] = []
    real = FeatureStore.vectors

    def vectors(self: FeatureStore, layer: str, pool: str, rows: np.ndarray) -> np.ndarray:
        read.extend(rows.tolist())
        return real(self, layer, pool, rows)

    monkeypatch.setattr(FeatureStore, "vectors", vectors)
    monkeypatch.setattr(FeatureStore, "iter_vectors", None)
    search(photos / "0.png", features=store, layer="map")
    monkeypatch.undo()
    with open_store(store) as opened:
        assert sorted(opened.keys[row] for row in read) == ["2.png", "new.png"]
    updated, description = split_file(store.with_suffix(".faiss"))
    build_index(store, layer="map")
    arrays, built = split_file(store.with_suffix(".faiss"))
    assert arrays == updated
    measured = {"seconds": 0, "sha256": ""}
    assert built | measured == description | measured


def test_changed_image_is_found_in_its_new_form(toy: str, store: Path, photos: Path) -> None:
    search(photos / "0.png", features=store)
    write_color(photos / "0.png", (0, 0, 255), mtime=99)
    extract(photos, model=toy, layers=["map", "mean"], output=store)
    (result,) = search(photos / "0.png", features=store, k=1).results
    assert (result.matches[0].key, result.matches[0].score) == ("0.png", pytest.approx(1))


def test_another_layer_gets_an_index_of_its_own(store: Path, photos: Path) -> None:
    assert search(photos / "0.png", features=store).layer == "mean"
    notes = Notes()
    report = search(photos / "0.png", features=store, layer="map", listener=notes)
    assert report.layer == "map"
    assert report.results[0].matches[0].key == "0.png"
    assert any("building the index" in text and "f.map.faiss" in text for text in notes.texts)
    assert search(photos / "0.png", features=store).layer == "mean", "the first one stays"
    notes = Notes()
    assert search(photos / "0.png", features=store, layer="map", listener=notes).layer == "map"
    assert not any("building" in text for text in notes.texts)


def test_another_layer_than_that_of_a_named_index_is_refused(store: Path, photos: Path) -> None:
    index = build_index(store)
    assert index.path is not None
    with pytest.raises(FingerprintMismatch, match="compares another layer") as caught:
        search(photos / "0.png", index=index.path, layer="map")
    assert caught.value.differences == (("layer", "map", "mean"),)


def test_a_missing_index_asks_for_its_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IndexFileError, match=r"There is no index 'none.faiss'.*features=") as seen:
        search(keys=["a.png"], index="none.faiss")
    assert "features.h5" not in str(seen.value)


def test_older_index_without_its_description_is_built_anew(store: Path, photos: Path) -> None:
    write_version2(store)
    store.with_name("f.faiss.json").unlink()
    assert keys_of(search(photos / "0.png", features=store, k=1)) == [["0.png"]]
    write_version2(store)
    store.with_name("f.faiss.json").unlink()
    with pytest.raises(IndexFileError, match="'f.faiss.json' is beside it"):
        search(photos / "0.png", index=store.with_name("f.faiss"))


def test_damaged_index_and_damaged_store(store: Path, photos: Path) -> None:
    search(photos / "0.png", features=store)
    path = store.with_name("f.faiss")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IndexFileError, match="Build the index again"):
        search(photos / "0.png", index=path)
    notes = Notes()  # One that the user did not name is made again.
    assert search(photos / "0.png", features=store, listener=notes).index_size == 7
    assert "is damaged" in notes.texts[0]
    assert "building the index" in notes.texts[1]
    store.write_bytes(b"damaged")
    with pytest.raises(StoreDamaged):
        search(photos / "0.png", features=store)


# Indexes that belong to another store


def foreign(store: Path, toy: str, photos: Path, **options: Any) -> Path:
    path = store.with_name("other.h5")
    extract(photos, output=path, **({"model": toy, "layers": ["map", "mean"]} | options))
    return path


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"model": "toy:colors,weights=2"}, {"weights_sha256"}),
        ({"preprocess": "tf"}, {"input.scaling"}),
        ({"layers": ["map"]}, {"layer"}),
    ],
)
def test_index_of_another_store_is_refused(
    toy: str, store: Path, photos: Path, options: dict[str, Any], fields: set[str]
) -> None:
    path = build_index(store).path
    other = foreign(store, toy, photos, **options)
    with pytest.raises(FingerprintMismatch, match="does not belong to") as caught:
        search(photos / "0.png", index=path, features=other)
    assert {name for name, _, _ in caught.value.differences} == fields | {"store"}
    assert all(name in str(caught.value) for name in fields)


def test_other_pooling_is_refused(toy: str, store: Path, photos: Path) -> None:
    index = build_index(store, layer="map", pool="max")
    other = foreign(store, toy, photos, layers=["map"], pool="avg")
    with pytest.raises(FingerprintMismatch, match="pool: expected max, received avg"):
        search(photos / "0.png", index=index.path, features=other)


def test_store_that_was_made_anew_in_another_way_gets_a_new_index(
    toy: str, store: Path, photos: Path
) -> None:
    search(photos / "0.png", features=store)
    extract(photos, model=toy, layers=["map"], preprocess="tf", output=store, overwrite=True)
    notes = Notes()
    report = search(photos / "0.png", features=store, k=1, listener=notes)
    assert any("no longer has 'mean'" in text for text in notes.texts)
    assert report.layer == "map"
    assert report.results[0].matches[0].score == pytest.approx(1)
    description = open_index(store.with_name("f.faiss")).description
    assert description.model.input.scaling == "tf"


def test_store_with_another_preprocessing_keeps_the_layer(
    toy: str, store: Path, photos: Path
) -> None:
    build_index(store, layer="map", pool="max")
    layers = ["map", "mean"]
    extract(photos, model=toy, layers=layers, preprocess="tf", output=store, overwrite=True)
    notes = Notes()
    report = search(photos / "0.png", features=store, k=1, listener=notes)
    assert any("made in another way since" in text for text in notes.texts)
    feature = open_index(store.with_name("f.faiss")).description.feature
    assert (report.layer, feature.pool) == ("map", "max")


def test_index_of_other_pictures_is_not_overwritten(toy: str, store: Path, tmp_path: Path) -> None:
    write_color(tmp_path / "others" / "a.png", (9, 9, 9))
    other = tmp_path / "other.h5"
    extract(tmp_path / "others", model=toy, layers=["map", "mean"], output=other)
    build_index(store)
    before = store.with_name("f.faiss").read_bytes()
    with pytest.raises(FingerprintMismatch, match="does not belong"):
        search(tmp_path / "others", features=other, index=store.with_name("f.faiss"))
    assert store.with_name("f.faiss").read_bytes() == before


def test_threshold_one_finds_the_picture_itself(store: Path, photos: Path) -> None:
    for number in range(5):
        report = search(photos / f"{number}.png", features=store, threshold=1)
        assert f"{number}.png" in keys_of(report)[0]
        assert all(match.score <= 1 for match in report.results[0].matches)


def test_model_that_changed_since_is_refused(
    store: Path, photos: Path, other_weights: None
) -> None:
    with pytest.raises(FingerprintMismatch, match="weights_sha256"):
        search(photos / "0.png", features=store)


def test_query_is_embedded_as_the_store_was(toy: str, tmp_path: Path) -> None:
    photos = write_images(12, tmp_path / "photos", classes=("dark", "light"))
    extract(
        photos,
        model=toy,
        layers=["map"],
        pool="max",
        preprocess="caffe",
        img_size=(4, 6),
        dtype="float16",
        output=tmp_path / "f.h5",
    )
    report = search(photos / "light", features=tmp_path / "f.h5", k=1)
    assert len(report.results) == 6
    for result in report.results:
        (best,) = result.matches
        assert (best.path, best.label) == (result.query, "light")
        assert best.score == pytest.approx(1, abs=1e-5)
    with open_store(tmp_path / "f.h5") as store:
        assert store.spec().pool == "max"


def test_index_of_a_store_without_its_model_still_answers_keys(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.eye(3, dtype=np.float32)})
    report = search(keys=["image_1.png"], features=tmp_path / "f.h5")
    assert [match.score for match in report.results[0].matches] == [0, 0]


def test_a_layer_that_is_gone_is_not_answered_by_another(
    toy: str, store: Path, photos: Path
) -> None:
    search(photos / "0.png", features=store)
    assert search(photos / "0.png", features=store, layer="map").layer == "map"
    extract(photos, model=toy, layers=["mean"], output=store, overwrite=True)
    with pytest.raises(UnknownName, match="'map'"):
        search(photos / "0.png", features=store, layer="map")
    assert search(photos / "0.png", features=store).layer == "mean"
    extract(photos, model=toy, layers=["map", "mean"], output=store, overwrite=True)
    assert search(photos / "0.png", features=store, layer="map").layer == "map"


def test_the_name_of_the_model_may_be_said_again(store: Path, photos: Path, toy: str) -> None:
    found = search(photos / "3.png", features=store, layer="mean", model=toy, k=1)
    assert keys_of(found) == [["3.png"]]
    with pytest.raises(ModelError, match=r"Received: 'builtin:mini'\. Leave the model out"):
        search(photos / "3.png", features=store, layer="mean", model="builtin:mini")
