"""From a store to a head's folder, and from there to predictions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import featx.testing.toy
from featx.errors import (
    AllImagesFailed,
    DimensionMismatch,
    FingerprintMismatch,
    HeadError,
    ImagesNotFound,
    InvalidType,
    InvalidValue,
    NotInstalled,
    StoreNotFound,
    UnknownName,
)
from featx.events import Listener
from featx.extraction import extract
from featx.files import hash_file
from featx.heads.fitting import fit_head
from featx.heads.head import Head, load_head
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.prediction import predict
from featx.sealed_json import seal
from featx.specs import FeatureSpec
from featx.store import open_store
from featx.testing import write_images
from tests.store_samples import make_model, write_color, write_sample


def class_values(targets: list[int], width: int = 4) -> np.ndarray:
    """Vectors whose first values tell their class."""
    random = np.random.default_rng(len(targets))
    values = random.normal(scale=0.1, size=(len(targets), width))
    values[:, 0] += targets
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images of the classes 2 and 10, and 3 without a label; two layers."""
    path = tmp_path_factory.mktemp("written") / "f.h5"
    labels = ["2", "10"] * 15
    values = class_values([int(label == "10") for label in labels])
    unlabelled = np.zeros((3, 4), np.float32)
    write_sample(
        path,
        {
            "map": np.zeros((33, 2, 2, 3), np.float32),
            "vector": np.concatenate([values, unlabelled]),
        },
        labels=[*labels, None, None, None],
    )
    return path


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    """A copy of `written`."""
    return Path(shutil.copy(written, tmp_path / "f.h5"))


@pytest.fixture(scope="module")
def fitted(written: Path) -> Path:
    """The folder of a head that was fitted on `written`."""
    fit_head(written, output=written.with_name("head"))
    return written.with_name("head")


@pytest.fixture
def head_folder(fitted: Path, tmp_path: Path) -> Path:
    """A copy of `fitted`, which may be damaged."""
    return shutil.copytree(fitted, tmp_path / "head")


def test_head_of_class_folders(store: Path, tmp_path: Path) -> None:
    report = fit_head(store, output=tmp_path / "head")
    assert (report.layer, report.pool, report.width) == ("vector", "none", 4)
    assert report.classes == ("2", "10")
    assert (report.num_train, report.num_unlabelled, report.refitted) == (24, 3, True)
    assert report.evaluation is not None
    assert report.evaluation.num_examples == 6
    assert report.evaluation.accuracy == 1.0
    assert [entry.support for entry in report.evaluation.classes] == [3, 3]
    head = load_head(tmp_path / "head")
    with open_store(store) as opened:
        table = opened.table("vector")
    assert head.fingerprint == table.fingerprint
    probabilities = head.predict_proba(table.values[:30])
    assert [head.classes[best] for best in probabilities.argmax(axis=1)] == ["2", "10"] * 15


def test_saved_head_is_fitted_on_all_rows(store: Path, tmp_path: Path) -> None:
    report = fit_head(store, kind="linear", output=tmp_path / "head")
    with open_store(store) as opened:
        values = opened.table("vector").values[:30]
    examples = Examples(values, np.arange(30) % 2, 2, np.arange(30))
    expected = HEADS["linear"].fit(examples, report.settings, FitJob())
    for name, array in load_head(tmp_path / "head").weights.items():
        np.testing.assert_array_equal(array, expected[name])


def weights_file(folder: Path) -> Path:
    (path,) = folder.glob("weights-*.npz")
    return path


def test_other_files_in_the_folder_are_left_alone(store: Path, tmp_path: Path) -> None:
    fit_head(store, output=tmp_path / "head")
    (tmp_path / "head" / "notes.txt").write_text("mine")
    fit_head(store, layer="map", output=tmp_path / "head")
    assert (tmp_path / "head" / "notes.txt").read_text() == "mine"
    assert load_head(tmp_path / "head").feature.name == "map"
    assert len(list((tmp_path / "head").iterdir())) == 3


def test_head_folder_round_trip_and_json(store: Path, tmp_path: Path) -> None:
    report = fit_head(
        store, layer="map", pool="max", kind="linear", output=tmp_path / "new" / "head"
    )
    folder = tmp_path / "new" / "head"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["head.json", weights_file(folder).name]
    data = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    assert data["format"] == "featx-head"
    assert data["classes"] == ["2", "10"]
    assert data["feature"] == {"name": "map", "kind": "layer", "pool": "max", "shape": [3]}
    assert data["report"]["num_train"] == report.num_train
    head = load_head(folder)
    assert data["fingerprint"] == head.fingerprint
    assert (head.kind, head.model, head.report) == ("linear", make_model(), data["report"])
    head.save(tmp_path / "copy")
    copy = load_head(tmp_path / "copy")
    assert (copy.classes, copy.feature, copy.model) == (head.classes, head.feature, head.model)
    for name, array in head.weights.items():
        np.testing.assert_array_equal(array, copy.weights[name])
    assert list((tmp_path / "new").iterdir()) == [folder]  # Nothing temporary stays.


def test_given_split_is_kept_unseen(store: Path, tmp_path: Path) -> None:
    lines = [f"image_{n}.png,{'ab'[n % 2]},{'train' if n < 20 else 'test'}" for n in range(30)]
    csv = tmp_path / "labels.csv"
    csv.write_text("path,label,split\n" + "\n".join(lines))
    report = fit_head(store, labels=csv, output=tmp_path / "head")
    assert (report.num_train, report.num_unlabelled, report.refitted) == (20, 3, False)
    assert report.evaluation is not None
    assert report.evaluation.num_examples == 10
    assert report.classes == ("a", "b")
    with open_store(store) as opened:
        values = opened.table("vector").values
    mean = load_head(tmp_path / "head").weights["mean"]
    np.testing.assert_allclose(mean, values[:20].mean(axis=0), rtol=1e-6)


def test_nothing_held_out(store: Path, tmp_path: Path) -> None:
    report = fit_head(store, test_size=0, output=tmp_path / "head")
    assert report.evaluation is None
    assert (report.num_train, report.refitted) == (30, False)


def test_a_split_without_a_part_to_measure_on_is_said(store: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    csv = tmp_path / "labels.csv"
    lines = [f"image_{n}.png,{'ab'[n % 2]},train" for n in range(30)]
    csv.write_text("path,label,split\n" + "\n".join(lines))
    report = fit_head(store, labels=csv, kind="ridge", output=tmp_path / "h", listener=Notes())
    assert report.evaluation is None
    assert any("the given split has none to measure on" in note for note in notes)


def test_identical_files_are_held_out_together(tmp_path: Path) -> None:
    contents = [f"content {number // 2}" for number in range(40)]  # Each picture twice.
    labels = ["a", "a", "b", "b"] * 10
    values = class_values([int(label == "b") for label in labels])
    write_sample(tmp_path / "f.h5", {"v": values}, labels=labels, contents=contents)
    report = fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    assert report.evaluation is not None
    assert [entry.support for entry in report.evaluation.classes] == [4, 4]


def test_one_class_only(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.zeros((3, 2), np.float32)}, labels=["cat"] * 3)
    with pytest.raises(HeadError, match=r"at least two classes. Received: 1 \(cat\) for 3 images"):
        fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_no_labels(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.zeros((3, 2), np.float32)})
    with pytest.raises(HeadError, match=r"Received: 0 \(no labels\).*labels='FILE.csv'"):
        fit_head(tmp_path / "f.h5", output=tmp_path / "head")


def test_class_of_one_image_is_trained_on(tmp_path: Path) -> None:
    labels = ["a"] * 5 + ["b"]
    values = class_values([0] * 5 + [3])
    write_sample(tmp_path / "f.h5", {"v": values}, labels=labels)
    report = fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    assert report.num_train == 5
    assert report.settings["folds"] == 0
    assert report.evaluation is not None
    assert [entry.support for entry in report.evaluation.classes] == [1, 0]
    head = load_head(tmp_path / "head")
    assert head.predict_proba(values).argmax(axis=1).tolist() == [0] * 5 + [1]


def test_class_absent_from_the_training_split(store: Path, tmp_path: Path) -> None:
    csv = tmp_path / "labels.csv"
    rows = ["image_0.png,a,train", "image_1.png,b,train", "image_2.png,c,test"]
    csv.write_text("path,label,split\n" + "\n".join(rows))
    with pytest.raises(HeadError, match="The training split has no image of: c"):
        fit_head(store, labels=csv, output=tmp_path / "head")


def test_classes_that_look_like_splits_are_pointed_out(tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    labels = ["train", "test"] * 5
    write_sample(tmp_path / "f.h5", {"v": class_values([0, 1] * 5)}, labels=labels)
    fit_head(tmp_path / "f.h5", output=tmp_path / "head", listener=Notes())
    assert any("if these are splits" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "vectr"}, UnknownName, "vector"),
        ({"kind": "forest"}, UnknownName, "linear"),
        ({"pool": "median"}, UnknownName, "pooling"),
        ({"test_size": 1.0}, InvalidValue, r"\[0, 1\)"),
        ({"test_size": -0.1}, InvalidValue, r"\[0, 1\)"),
    ],
)
def test_wrong_arguments(
    store: Path,
    tmp_path: Path,
    options: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        fit_head(store, output=tmp_path / "head", **options)  # type: ignore[arg-type]


def test_missing_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        fit_head(tmp_path / "no.h5", output=tmp_path / "head")


# The head's folder


def test_folder_that_is_not_a_head_is_left_alone(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_color(folder / "a.png", (1, 1, 1))
    with pytest.raises(HeadError, match="exists and is not a head; it is left alone"):
        fit_head(store, output=folder)
    assert [path.name for path in folder.iterdir()] == ["a.png"]
    with pytest.raises(HeadError, match="is not a head"):
        fit_head(store, output=folder / "a.png")


def test_empty_folder_is_used_and_a_head_replaced(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "head"
    folder.mkdir()
    fit_head(store, output=folder)
    assert load_head(folder).feature.name == "vector"
    (folder / "notes.txt").write_text("mine")
    fit_head(store, layer="map", output=folder)
    assert load_head(folder).feature.name == "map"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "head"]


def truncate(folder: Path) -> None:
    path = weights_file(folder)
    path.write_bytes(path.read_bytes()[:-200])


def flip(folder: Path) -> None:
    path = weights_file(folder)
    data = bytearray(path.read_bytes())
    data[data.index(b"NUMPY") + 128 + 3] ^= 0xFF
    path.write_bytes(data)


def edit(*, sealed: bool = True, **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = json.loads((folder / "head.json").read_text(encoding="utf-8")) | changes
        data = seal(data) if sealed else data
        (folder / "head.json").write_text(json.dumps(data), encoding="utf-8")

    return change


def replace_weights(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Change the weights, and the checksums with them."""

    def replace(folder: Path) -> None:
        path = weights_file(folder)
        change(path)
        edit(weights_sha256=hash_file(path))(folder)

    return replace


def compress(path: Path) -> None:
    with np.load(path) as arrays:
        contents = dict(arrays)
    np.savez_compressed(path, **contents)


def claim_shape(path: Path) -> None:
    """Let one array claim 4 TB; its header keeps its length."""
    data = path.read_bytes()
    changed = data.replace(b"'shape': (4,), }            ", b"'shape': (1000000000000,), }")
    assert changed != data
    path.write_bytes(changed)


def pickle(path: Path) -> None:
    with np.load(path) as arrays:
        contents = dict(arrays)
    np.savez(path, **(contents | {"mean": np.array([{}])}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "damaged"),
        (flip, "damaged"),
        (lambda folder: (weights_file(folder)).unlink(), "damaged"),
        (lambda folder: (folder / "head.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "head.json").write_text("[]"), "damaged"),
        (lambda folder: (folder / "head.json").unlink(), "is not a head"),
        (edit(format="other"), "does not describe a featx head"),
        (edit(format_version=3), "version 3; this featx reads versions 1 and 2. Update"),
        (edit(format_version=2), "damaged"),
        (edit(fingerprint="0"), "parts disagree"),
        (edit(classes=["a", "b", "c"]), "parts disagree"),
        (edit(model={}), "damaged"),
        (edit(classes=["2", "1O"], sealed=False), "not what was written"),
        (edit(location="elsewhere", sealed=False), "not what was written"),
        (edit(sha256=None, sealed=False), "not what was written"),
        (edit(classes=["2", 10]), "damaged"),
        (edit(classes="ab"), "damaged"),
        (edit(report=[1]), "damaged"),
        (edit(report={"evaluation": {"accuracy": "1", "num_examples": 9}}), "damaged"),
        (edit(report={"evaluation": {"accuracy": 1.0}}), "damaged"),
        (edit(report={"evaluation": {"interval": 3}}), "damaged"),
        (edit(weights="/dev/zero"), "not the name of a file in this folder"),
        (lambda folder: (folder / "head.json").write_text("[" * 100_000), "damaged"),
        (replace_weights(compress), "is compressed"),
        (replace_weights(claim_shape), "damaged"),
        (replace_weights(pickle), "damaged"),
    ],
)
def test_damaged_head(head_folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(head_folder)
    with pytest.raises(HeadError, match=message):
        load_head(head_folder)


def change_weights(name: str, value: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path) as arrays:
            contents = dict(arrays)
        contents[name].flat[0] = value
        np.savez(path, **contents)

    return replace_weights(change)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["mean", "scale", "coefficients", "intercepts"])
def test_a_head_that_holds_no_numbers_is_refused(
    head_folder: Path, name: str, value: float
) -> None:
    change_weights(name, value)(head_folder)
    with pytest.raises(HeadError, match=f"damaged \\('{name}' holds NaN or infinity"):
        load_head(head_folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fitted_on", np.array(1.0)),
        ("fitted_on", np.zeros(3)),
        ("fitted_on", np.zeros((3, 8), np.uint8)),
        ("mean", np.zeros(4, np.complex64)),
        ("scale", np.zeros(4, "datetime64[s]")),
        ("coefficients", np.zeros((2, 2) + (1,) * 18)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape[:2]}",
)
def test_arrays_of_other_types_and_shapes_are_refused(
    head_folder: Path, name: str, values: np.ndarray
) -> None:
    def change(path: Path) -> None:
        with np.load(path) as arrays:
            np.savez(path, **(dict(arrays) | {name: values}))

    replace_weights(change)(head_folder)
    with pytest.raises(HeadError, match="damaged"):
        load_head(head_folder)


def test_a_head_that_computes_no_numbers_is_refused(head_folder: Path) -> None:
    for name in ("coefficients", "mean"):
        change_weights(name, 3e38)(head_folder)
    with pytest.raises(HeadError, match="no probability"):
        load_head(head_folder).predict_proba(np.full((2, 4), -3e38, np.float32))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_description_with_no_numbers_is_refused(head_folder: Path, number: str) -> None:
    path = head_folder / "head.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"accuracy": ', f'"accuracy": {number}, "x": ', 1), "utf-8")
    with pytest.raises(HeadError, match=f"the number {number}"):
        load_head(head_folder)


@pytest.mark.parametrize("field", ["source", "name", "location", "weights_sha256"])
def test_fields_of_another_type_are_refused(head_folder: Path, field: str) -> None:
    path = head_folder / "head.json"
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    for value in ([], {}, 3, True):
        edit(model=model | {field: value})(head_folder)
        with pytest.raises(HeadError, match=f"{field!r} is"):
            load_head(head_folder)


def test_a_store_of_another_type_is_refused(head_folder: Path) -> None:
    edit(store={"path": 1.5, "relative": "", "contents": ""})(head_folder)
    with pytest.raises(HeadError, match="a list of texts is not one"):
        load_head(head_folder)


@pytest.mark.parametrize(
    ("package", "remedy"),
    [("featx-forest", "pip install featx-forest"), (None, "It comes from a newer featx")],
)
def test_a_kind_of_head_that_is_not_installed_is_named(
    head_folder: Path, package: str | None, remedy: str
) -> None:
    edit(kind="forest", package=package)(head_folder)
    with pytest.raises(NotInstalled, match=f"needs the kind of head 'forest'.*{remedy}"):
        load_head(head_folder)


def test_a_pooling_that_is_not_installed_is_named(toy: str, photos: Path, tmp_path: Path) -> None:
    for number in range(4):
        write_color(photos / "ab"[number % 2] / f"{number}.png", (200 * (number % 2), 0, number))
    featx.extract(photos, model=toy, layers=["map"], pool="max", output=tmp_path / "p.h5")
    fit_head(tmp_path / "p.h5", output=tmp_path / "head")
    head = load_head(tmp_path / "head")
    replace(head, feature=replace(head.feature, pool="median")).save(tmp_path / "head")
    with pytest.raises(NotInstalled, match=r"'.*head' needs the pooling 'median'"):
        predict(photos, head=tmp_path / "head")


def test_head_refuses_vectors_of_another_width(store: Path, tmp_path: Path) -> None:
    fit_head(store, output=tmp_path / "head")
    head = load_head(tmp_path / "head")
    for shape in [(1, 3), (4,), (1, 4, 1)]:
        with pytest.raises(DimensionMismatch, match=r"\(N, 4\)"):
            head.predict_proba(np.zeros(shape, np.float32))
    assert head.predict_proba(np.zeros((0, 4), np.float32)).shape == (0, 2)


# Prediction


@pytest.fixture
def head(toy: str, tmp_path: Path) -> Path:
    """A head that tells dark from light pictures by the toy's mean colour."""
    images = write_images(12, tmp_path / "photos", classes=("dark", "light"))
    extract(images, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    return tmp_path / "head"


def test_heads_take_lists_and_are_equal_to_themselves(head: Path) -> None:
    first, second = load_head(head), load_head(head)
    assert first == first
    assert first != second
    assert len({first, first, second}) == 2
    values = np.full((2, 3), 0.5, np.float32)
    np.testing.assert_array_equal(
        first.predict_proba(values.tolist()), first.predict_proba(values), strict=True
    )
    with pytest.raises(DimensionMismatch, match=r"Received: shape=\(3,\)"):
        first.predict_proba([0.1, 0.2, 0.3])
    for wrong in ([[0.1], [0.2, 0.3]], [["a", "b", "c"]], None):
        with pytest.raises(InvalidType, match="'values' takes an array of numbers, or lists"):
            first.predict_proba(wrong)  # type: ignore[arg-type]
    with pytest.raises(ImagesNotFound, match="no file or folder 'vector'"):
        first.predict_proba("vector")  # Text is the path of an image.


def test_predictions(head: Path, tmp_path: Path) -> None:
    images = tmp_path / "new"
    write_color(images / "dark" / "10.png", (15, 0, 0))
    write_color(images / "dark" / "9.png", (15, 5, 5))
    write_color(images / "light" / "a.png", (15, 190, 190))
    write_color(images / "light" / "wrong.png", (15, 10, 10))
    write_color(images / "other" / "b.png", (15, 200, 200))
    (images / "dark" / "broken.png").write_bytes(b"")
    report = predict(images, head=head, batch_size=2)
    assert [(Path(p.path).name, p.label, p.classes[0]) for p in report.predictions] == [
        ("9.png", "dark", "dark"),
        ("10.png", "dark", "dark"),
        ("a.png", "light", "light"),
        ("wrong.png", "light", "dark"),
        ("b.png", "other", "light"),
    ]
    assert (report.num_labelled, report.accuracy) == (4, 0.75)
    assert [(f.key, f.reason) for f in report.failures] == [
        ("dark/broken.png", "the file is empty (0 bytes)")
    ]
    loaded = load_head(head)
    for prediction in report.predictions:
        assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-6)
        assert prediction.probabilities[0] >= prediction.probabilities[1]
    expected = loaded.predict_proba(np.array([[15, 190, 190]], np.float32) / 255)[0]
    assert report.predictions[2].probabilities == pytest.approx(expected[[1, 0]].tolist())


def test_a_head_says_that_its_store_has_changed(head: Path, toy: str, tmp_path: Path) -> None:
    texts: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            texts.append(text)

    image = write_color(tmp_path / "query.png", (15, 190, 190))
    predict(image, head=head, listener=Notes())
    assert texts == []
    write_color(tmp_path / "photos" / "dark" / "more.png", (1, 1, 1))
    extract(tmp_path / "photos", model=toy, layers=["mean"], output=tmp_path / "f.h5")
    predict(image, head=head, listener=Notes())
    assert texts == [
        "the store '../f.h5' has changed since this head was fitted: `featx.fit_head` fits it again"
    ]


def test_top_and_single_files(head: Path, tmp_path: Path) -> None:
    image = write_color(tmp_path / "query.png", (15, 190, 190))
    report = predict(image, head=load_head(head), top=1)
    (prediction,) = report.predictions
    assert (prediction.path, prediction.label) == (str(image), None)
    assert prediction.classes == ("light",)
    assert len(prediction.probabilities) == 1
    assert (report.num_labelled, report.accuracy) == (0, None)
    with pytest.raises(InvalidValue, match="Received: 0"):
        predict(image, head=head, top=0)
    with pytest.raises(ImagesNotFound):
        predict(tmp_path / "no.png", head=head)


def test_no_image_can_be_used(head: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(AllImagesFailed, match="bad.png") as caught:
        predict(tmp_path / "bad.png", head=head)
    report = caught.value.report
    assert report.predictions == ()
    assert len(report.failures) == 1


def test_changed_weights_are_refused(head: Path, tmp_path: Path, other_weights: None) -> None:
    with pytest.raises(FingerprintMismatch, match="not the one that made") as caught:
        predict(tmp_path / "photos", head=head)
    assert [name for name, _, _ in caught.value.differences] == ["weights_sha256"]


def test_preprocessing_of_the_store_is_repeated(toy: str, tmp_path: Path) -> None:
    images = write_images(12, tmp_path / "photos", classes=("dark", "light"))
    extract(
        images,
        model=toy,
        layers=["map"],
        preprocess="caffe",
        img_size=(4, 6),
        output=tmp_path / "f.h5",
    )
    fit_head(tmp_path / "f.h5", pool="max", output=tmp_path / "head")
    with open_store(tmp_path / "f.h5") as store:
        table = store.table("map", pool="max")
    head = load_head(tmp_path / "head")
    assert head.feature == FeatureSpec("map", "layer", "max", (3,))
    expected = dict(zip(table.keys, head.predict_proba(table.values).max(axis=1), strict=True))
    for prediction in predict(images, head=head).predictions:
        key = Path(prediction.path).relative_to(images).as_posix()
        assert prediction.probabilities[0] == pytest.approx(expected[key], abs=1e-6)


def test_heads_never_import_tensorflow(store: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        import numpy as np
        import featx
        report = featx.fit_head(sys.argv[1], output=sys.argv[2])
        head = featx.load_head(sys.argv[2])
        assert head.predict_proba(np.zeros((2, 4), np.float32)).shape == (2, 2)
        print(sorted({"tensorflow", "keras", "faiss"} & set(sys.modules)))
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(store), str(tmp_path / "head")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"


def test_head_is_plain_data() -> None:
    head = Head(
        kind="linear",
        classes=("a", "b"),
        feature=FeatureSpec("v", "layer", "none", (1,)),
        model=make_model(),
        weights={
            "mean": np.array([1.0]),
            "scale": np.array([2.0]),
            "coefficients": np.array([[0.0], [np.log(3.0)]]),
            "intercepts": np.zeros(2),
        },
        fitted_on=np.zeros((0, 16), np.uint8),
    )
    assert head.predict_proba(np.array([[3.0]]))[0] == pytest.approx([0.25, 0.75])


def test_images_that_it_was_fitted_on_do_not_count_for_accuracy(
    toy: str, photos: Path, tmp_path: Path
) -> None:
    for label, color in (("cat", (10, 0, 0)), ("dog", (0, 200, 0))):
        for number in range(10):
            write_color(photos / label / f"{number}.png", (color[0] + number, color[1], number))
    featx.extract(photos, model=toy, layers=["mean"], output=tmp_path / "p.h5")
    fit_head(tmp_path / "p.h5", output=tmp_path / "head")
    write_color(photos / "cat" / "new.png", (33, 1, 1))
    report = featx.predict(photos, head=tmp_path / "head")
    assert (report.num_fitted_on, report.num_labelled, report.accuracy) == (20, 1, 1.0)
    (photos / "cat" / "new.png").unlink()
    assert featx.predict(photos, head=tmp_path / "head").accuracy is None


def test_images_with_broken_features_are_left_out(tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    values = class_values([0, 1] * 10)
    values[3, 1], values[8, 0] = np.nan, np.inf
    values[9, :2] = 1e19, -1e19  # Whose squares float32 cannot hold.
    write_sample(tmp_path / "f.h5", {"v": values}, labels=["a", "b"] * 10)
    report = fit_head(tmp_path / "f.h5", test_size=0, output=tmp_path / "head", listener=Notes())
    assert (report.num_train, report.num_unlabelled, report.num_not_finite) == (17, 0, 3)
    left_out = "3 images with features that are NaN, infinite or above 1e15 left out"
    assert f"{left_out}, the first 'image_3.png'" in notes


def test_auto_is_reported_with_its_figures(store: Path, tmp_path: Path) -> None:
    report = fit_head(store, output=tmp_path / "head")
    assert report.kind == load_head(tmp_path / "head").kind == report.tried[0].kind
    tried = json.loads(json.dumps(report.to_dict()))["tried"]
    assert {trial["kind"] for trial in tried} == {"linear", "ridge", "lda", "knn", "centroid"}
    assert all(set(trial) == {"kind", "loss", "accuracy", "seconds"} for trial in tried)
    assert report.seconds > 0


@pytest.mark.slow
def test_a_large_store_is_put_in_order_and_its_rows_keep_their_labels(tmp_path: Path) -> None:
    # 80 MB, above which rows change places; a quarter of them has no label.
    random = np.random.default_rng(0)
    targets = np.arange(4_000) % 4
    values = random.normal(size=(4_000, 5_000)).astype(np.float32)
    values[:, 0] += 40 * targets
    labels = [None if target == 3 else f"class {target}" for target in targets.tolist()]
    write_sample(tmp_path / "f.h5", {"v": values}, labels=labels)
    report = fit_head(tmp_path / "f.h5", kind="centroid", output=tmp_path / "head")
    assert (report.num_train, report.num_unlabelled) == (2_400, 1_000)
    assert report.held_out is not None
    for key, target in zip(report.held_out.keys, report.held_out.targets, strict=True):
        number = int(key.removeprefix("image_").removesuffix(".png"))
        assert labels[number] == report.held_out.classes[target]
    assert report.accuracy is not None
    assert report.accuracy > 0.5
