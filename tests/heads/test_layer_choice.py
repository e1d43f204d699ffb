"""Of several layers and poolings the best is found, and all of them are told."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import HeadError, UnknownName
from featx.events import Listener
from featx.heads.layer_choice import list_features
from featx.heads.options import FeatureChoice, FeatureOptions
from featx.report.head_page import make_head_page
from featx.report.page.thumbnails import Thumbnails
from featx.store import open_store
from featx.store.choice import note_choice
from tests.store_samples import write_sample


class Notes(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of two classes, which the middle layer tells apart, and the maximum of a map."""
    random = np.random.default_rng(0)
    labels = ["cat", "dog"] * 30
    classes = np.arange(60) % 2
    shallow, middle, deep = random.normal(size=(3, 60, 4)).astype(np.float32)
    middle[:, 0] += 12 * classes
    maps = random.uniform(0, 0.1, size=(60, 2, 2, 3)).astype(np.float32)
    maps[:, 0, 0, 0] = classes  # The mean changes by less than the noise of all.
    maps[:, 1, 1, 0] -= classes
    path = tmp_path_factory.mktemp("layers") / "f.h5"
    layers = {"shallow": shallow, "block/middle": middle, "block/map": maps, "deep": deep}
    write_sample(path, layers, labels=labels)
    return path


def test_the_layer_that_tells_classes_apart_is_fitted(store: Path, tmp_path: Path) -> None:
    report = featx.fit_head(store, layer="all", kind="linear", output=tmp_path / "head")
    assert report.layer == report.layers[0].layer != "deep"
    assert {trial.layer for trial in report.layers} == {
        "shallow", "block/middle", "block/map", "deep",
    }  # fmt: skip
    losses = [trial.loss for trial in report.layers]
    assert losses == sorted(losses)
    assert report.accuracy == 1.0
    assert featx.load_head(tmp_path / "head").feature.name == report.layer
    chosen = featx.fit_head(store, layer=report.layer, kind="linear", output=tmp_path / "one")
    assert chosen.layers == ()
    assert chosen.settings == report.settings


def test_poolings_of_maps_are_compared_and_vectors_once(store: Path, tmp_path: Path) -> None:
    report = featx.fit_head(
        store, layer=["block/map", -1], pool=["avg", "max"], kind="linear", output=tmp_path / "head"
    )
    assert report.pool == "max"
    tried = sorted((trial.layer, trial.pool) for trial in report.layers)
    assert tried == [("block/map", "avg"), ("block/map", "max"), ("deep", "none")]
    first = report.layers[0]
    assert first.interval is not None
    assert first.accuracy is not None
    assert first.interval[0] < first.accuracy <= first.interval[1] + 1e-9
    assert report.to_dict()["layers"][0]["width"] == 3
    with Thumbnails() as thumbnails:
        page = make_head_page(report, thumbnails).html()
    assert '<tr class="chosen"><th scope="row"><bdi>block/map (max)</bdi>' in page


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (None, [None]),
        ("deep", ["deep"]),
        (-1, ["deep"]),
        ("block/*", ["block/middle", "block/map"]),
        ("deep, shallow", ["deep", "shallow"]),
        (["deep", "block/m?p", "deep"], ["deep", "block/map"]),
        ("all", ["shallow", "block/middle", "block/map", "deep"]),
    ],
)
def test_layers_are_named_as_people_do(
    store: Path, layer: str | list[str | int] | int | None, names: list[str | None]
) -> None:
    with open_store(store) as opened:
        found = list_features(opened, FeatureOptions(layer), Notes())
    assert found == [FeatureChoice(name, "avg") for name in names]


@pytest.mark.parametrize(
    ("layer", "pool", "said"),
    [
        ("deep", "gem,avg", ["'deep' is a vector: there is nothing to pool"]),
        ("deep,shallow", "avg,gem", ["pool= has no effect: no layer is stored as maps"]),
        ("all", "avg,gem", []),
        ("block/map", "avg,gem", []),
        ("deep", "avg", []),
    ],
)
def test_poolings_of_vectors_are_said_to_have_no_effect(
    store: Path, layer: str, pool: str, said: list[str]
) -> None:
    notes = Notes()
    with open_store(store) as opened:
        found = list_features(opened, FeatureOptions(layer, pool), notes)
        for feature in found:
            note_choice(opened, feature.layer, feature.pool, notes)  # As where rows are read.
    assert notes.texts == said


def test_what_is_not_there_is_said_before_anything_is_fitted(store: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"layer": "deep,blok"}, "blok"),
        ({"layer": "x*"}, r"x\*.*It has shallow"),
        ({"pool": "avg,median"}, "median"),
        ({"pool": "none"}, "none"),
    ):
        with pytest.raises((UnknownName, featx.errors.InvalidValue), match=message):
            featx.fit_head(store, output=tmp_path / "head", **options)
    assert not (tmp_path / "head").exists()


def test_held_out_rows_do_not_choose(store: Path, tmp_path: Path) -> None:
    """With these rows' labels wrong, the same layer is chosen: they took no part."""
    report = featx.fit_head(store, layer="all", kind="linear", output=tmp_path / "head")
    assert report.held_out is not None
    wrong = dict(zip(report.held_out.keys, report.held_out.targets, strict=True))
    with open_store(store) as opened:
        keys, labels = opened.keys, opened.labels
    lines = ["path,label,split"]
    for key, label in zip(keys, labels, strict=True):
        name = "cat" if wrong.get(key) else "dog"
        side = "test" if key in wrong else "train"
        lines.append(f"{key},{name if key in wrong else label},{side}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    again = featx.fit_head(
        store, layer="all", kind="linear", labels=tmp_path / "labels.csv", output=tmp_path / "other"
    )
    assert again.accuracy == 0.0
    assert [(t.layer, t.loss) for t in again.layers] == [(t.layer, t.loss) for t in report.layers]


def test_a_layer_with_nan_in_held_out_rows_is_not_chosen(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, 4)).astype(np.float32)
    good = noise + np.float32(12) * (np.arange(60) % 2).astype(np.float32)[:, np.newaxis]
    labels = ["cat", "dog"] * 30
    write_sample(tmp_path / "f.h5", {"good": good, "noise": noise}, labels=labels)
    options = {"layer": "good,noise", "kind": "linear"}
    report = featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", **options)
    assert report.layer == "good"
    assert report.held_out is not None
    with open_store(tmp_path / "f.h5") as opened:
        good[opened.keys.index(report.held_out.keys[0])] = np.nan
    write_sample(tmp_path / "g.h5", {"good": good, "noise": noise}, labels=labels)
    report = featx.fit_head(tmp_path / "g.h5", output=tmp_path / "other", **options)
    assert report.layer == "noise"
    assert [trial.layer for trial in report.layers] == ["noise"]


def test_one_layer_at_a_time_is_in_memory(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels, classes = ["cat", "dog"] * 30, np.arange(60, dtype=np.float32) % 2
    wide = random.normal(size=(60, 20_000)).astype(np.float32)
    narrow = random.normal(size=(60, 4)).astype(np.float32) + 12 * classes[:, np.newaxis]
    write_sample(tmp_path / "f.h5", {"narrow": narrow, "wide": wide}, labels=labels)
    held: list[int] = []

    class Memory(Listener):
        def trying(self, what: str) -> None:
            held.append(tracemalloc.get_traced_memory()[0])

        def note(self, text: str) -> None:
            self.trying(text)

    options = {"layer": "all", "kind": "ridge", "listener": Memory()}
    featx.fit_head(tmp_path / "f.h5", layer="narrow", kind="ridge", output=tmp_path / "warm")
    tracemalloc.start()
    try:
        report = featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", **options)
    finally:
        tracemalloc.stop()
    assert report.layer == "narrow"
    assert max(held) < wide.nbytes


def test_that_all_images_chose_the_layer_is_said(store: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    for options, is_said in (({"cv": 2}, True), ({}, False)):
        notes.clear()
        featx.fit_head(
            store,
            layer="block/middle,deep",
            kind="linear",
            output=tmp_path / "head",
            listener=Notes(),
            **options,
        )
        assert any("all images chose the layer" in note for note in notes) == is_said


def test_too_few_images_are_said(tmp_path: Path) -> None:
    write_sample(
        tmp_path / "f.h5",
        {name: np.eye(2, 3, dtype=np.float32) for name in ("a", "b")},
        labels=["cat", "dog"],
    )
    with pytest.raises(HeadError, match="too few images"):
        featx.fit_head(tmp_path / "f.h5", layer="all", kind="linear", output=tmp_path / "head")


def test_what_is_empty_between_commas_names_nothing(store: Path) -> None:
    with open_store(store) as opened:
        wanted = FeatureOptions(layer="deep, ,", pool=",avg")
        assert list_features(opened, wanted, Listener()) == [FeatureChoice("deep", "avg")]
        with pytest.raises(UnknownName, match="','"):
            list_features(opened, FeatureOptions(layer=","), Listener())
