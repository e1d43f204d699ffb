"""`predict` with the classifier that a model brings, and the names of its classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.errors import AmbiguousName, ImagesNotFound, InvalidValue, ModelError
from featx.events import Listener
from featx.heads.class_names import ClassNames, read_names
from featx.heads.fitting import fit_head
from featx.heads.head import Head, load_head
from featx.heads.model_classifier import (
    are_probabilities,
    find_classes,
    list_classifiers,
    softmax,
)
from featx.heads.prediction import predict
from featx.images.decode import decode_image
from featx.input_spec import InputSpec
from featx.models import load_classifier, load_model, restore_model
from featx.models.backbone import Layer
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.options import InputOptions
from featx.specs import FeatureSpec, ModelSpec
from tests.models.small_application import replace_mobilenet
from tests.real_data import REAL_DATA, needs_real_data
from tests.store_samples import make_model, write_color, write_sample

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SHARPNESS = 5.0
"""The small classifiers give 5 for the colour of the picture, and 0 for the two others."""

SURE = float(np.exp(SHARPNESS) / (np.exp(SHARPNESS) + 2))
SIZE = 8


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, color in COLORS.items():
        write_color(tmp_path / "pictures" / name / "1.png", color)
    return tmp_path / "pictures"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("Red\ngreen\nblue\n")
    return path


# Models of every source, each with the same classifier: the mean colour, times 5


def tensors(images: Any) -> Any:
    tf = import_tensorflow()
    mean = tf.reduce_mean(images, [1, 2], name="mean")
    return tf.linalg.matmul(mean, tf.constant(SHARPNESS * np.eye(3, dtype=np.float32)))


def write_keras(path: Path, activation: str | None = "softmax") -> Path:
    import_tensorflow()
    import keras

    dense = keras.layers.Dense(3, activation=activation, name="classes")
    pool = keras.layers.GlobalAveragePooling2D(name="average")
    scale = keras.layers.Rescaling(1 / 255, name="scale")
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), scale, pool, dense])
    dense.set_weights([SHARPNESS * np.eye(3), np.zeros(3)])
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


def write_hub_module(path: Path) -> Path:
    tf = import_tensorflow()

    class Module(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])])
        def __call__(self, images: Any) -> Any:
            return tensors(images)

    tf.saved_model.save(Module(), str(path))
    return path


def write_nested(path: Path) -> Path:
    """A classifier inside of a model, behind which comes only a change of shape."""
    inner = write_keras(path.with_name("inner.keras"), "sigmoid")
    import keras

    images = keras.Input((SIZE, SIZE, 3))
    outputs = keras.models.load_model(inner)(keras.layers.Rescaling(1.0)(images))
    keras.Model(images, keras.layers.Reshape((1, 1, 3))(outputs)).save(path)
    return path


def write_graph(path: Path, activation: str = "softmax") -> Path:
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="input")
        logits = tf.identity(tensors(images), "logits")
        function = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}[activation]
        tf.reshape(function(logits, name="Activation"), [-1, 1, 1, 3], name="Predictions")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("source", "write", "options", "is_logits"),
    [
        ("file:", lambda folder: write_keras(folder / "net.keras"), {}, False),
        ("file:", lambda folder: write_keras(folder / "net.keras", None), {}, True),
        ("savedmodel:", lambda folder: write_keras(folder / "net"), {"preprocess": "raw"}, False),
        ("hub:", lambda folder: write_hub_module(folder / "module"), {}, True),
        (
            "graphdef:",
            lambda folder: write_graph(folder / "graph.pb"),
            {"preprocess": "unit"},
            False,
        ),
        (
            "graphdef:",
            lambda folder: write_graph(folder / "graph.pb"),
            {"preprocess": "unit", "layer": "MatMul"},
            True,
        ),
    ],
)
def test_every_source_gives_the_same_classes(
    pictures: Path,
    names: Path,
    tmp_path: Path,
    source: str,
    write: Callable[[Path], Path],
    options: dict[str, Any],
    is_logits: bool,
) -> None:
    notes = Notes()
    (pictures / "red" / "broken.png").write_bytes(b"")
    write_color(pictures / "other" / "2.png", COLORS["blue"])
    report = predict(
        pictures,
        model=f"{source}{write(tmp_path)}",
        labels=names,
        top=2,
        batch_size=2,
        listener=notes,
        **options,
    )
    found = {Path(p.path).parent.name: p for p in report.predictions}
    assert {folder: p.classes[0] for folder, p in found.items()} == {
        "red": "Red",
        "green": "green",
        "blue": "blue",
        "other": "blue",
    }
    for prediction in report.predictions:
        assert prediction.probabilities[0] == pytest.approx(SURE, rel=1e-5)
        assert len(prediction.classes) == len(prediction.probabilities) == 2
    assert [failure.key for failure in report.failures] == ["red/broken.png"]
    assert (report.num_labelled, report.accuracy, report.num_fitted_on) == (3, 1.0, 0)
    assert any("softmax" in text for text in notes.texts) == is_logits
    assert "3 classes" in notes.texts[0]
    assert not any("by their number" in text for text in notes.texts)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("write", "options"),
    [
        (lambda folder: write_keras(folder / "net.keras", "sigmoid"), {}),
        (lambda folder: write_keras(folder / "net.h5", "sigmoid"), {}),
        (lambda folder: write_nested(folder / "nested.keras"), {}),
        (lambda folder: write_keras(folder / "net", "sigmoid"), {"preprocess": "raw"}),
        (lambda folder: write_graph(folder / "g.pb", "sigmoid"), {"preprocess": "unit"}),
    ],
)
def test_sigmoids_are_independent_probabilities(
    pictures: Path, tmp_path: Path, write: Callable[[Path], Path], options: dict[str, Any]
) -> None:
    notes = Notes()
    write_color(pictures / "red" / "2.png", (255, 255, 0))
    report = predict(pictures, model=str(write(tmp_path)), top=3, listener=notes, **options)
    found = {Path(p.path).parent.name + Path(p.path).stem: p for p in report.predictions}
    sure = 1 / (1 + np.exp(-SHARPNESS))
    assert found["red1"].probabilities == pytest.approx((sure, 0.5, 0.5), rel=1e-5)
    assert found["red2"].classes == ("0", "1", "2")
    assert found["red2"].probabilities == pytest.approx((sure, sure, 0.5), rel=1e-5)
    (note,) = [text for text in notes.texts if "sigmoid" in text]
    assert "independent probabilities" in note
    assert not any("softmax" in text for text in notes.texts)


def write_two_classes(path: Path) -> Path:
    """Ends in one sigmoid: how much redder a picture is than green."""
    import_tensorflow()
    import keras

    images = keras.Input((SIZE, SIZE, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    dense = keras.layers.Dense(1, activation="sigmoid", name="is_red")
    model = keras.Model(images, dense(mean))
    dense.set_weights([np.array([[SHARPNESS], [-SHARPNESS], [0]]), np.zeros(1)])
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


@pytest.mark.tensorflow
@pytest.mark.parametrize("file", ["net.keras", "folder"])
def test_one_sigmoid_is_the_probability_of_one_class_of_two(
    pictures: Path, tmp_path: Path, file: str
) -> None:
    notes = Notes()
    (tmp_path / "names.txt").write_text("green\nred\n")
    model = str(write_two_classes(tmp_path / file))
    report = predict(pictures, model=model, labels=tmp_path / "names.txt", listener=notes)
    found = {Path(p.path).parent.name: p for p in report.predictions}
    sure = 1 / (1 + np.exp(-SHARPNESS))
    assert found["red"].classes == ("red", "green")
    assert found["red"].probabilities == pytest.approx((sure, 1 - sure), abs=1e-6)
    assert found["green"].classes == ("green", "red")
    assert found["blue"].probabilities == pytest.approx((0.5, 0.5))
    assert (report.num_labelled, report.accuracy) == (2, 1.0)
    assert any("one sigmoid: the probability of 'red'; 'green'" in text for text in notes.texts)
    numbers = predict(pictures / "red", model=model)
    assert numbers.predictions[0].classes == ("1", "0")
    (tmp_path / "names.txt").write_text("red\n")
    with pytest.raises(InvalidValue, match="gives 2 values .* has 1 name"):
        predict(pictures, model=model, labels=tmp_path / "names.txt")


@pytest.mark.tensorflow
@pytest.mark.parametrize("file", ["net.keras", "folder"])
def test_every_classifier_of_several_outputs_is_named(
    pictures: Path, tmp_path: Path, file: str
) -> None:
    import_tensorflow()
    import keras

    layers = keras.layers
    images = keras.Input((SIZE, SIZE, 3))
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(images))
    outputs = {
        "kind": layers.Dense(3, activation="softmax", name="kind")(mean),
        "is_new": layers.Dense(1, activation="sigmoid", name="is_new")(mean),
        "size": layers.Dense(1, name="size")(mean),
        "colour": layers.Dense(4, activation="softmax", name="colour")(mean),
    }
    model = keras.Model(images, outputs)
    if file == "folder":
        model.export(tmp_path / file, verbose=False)
    else:
        model.save(tmp_path / file)
    backbone = load_model(str(tmp_path / file))
    found = {layer.name: layer.shape for layer in list_classifiers(backbone)}
    assert found == {"kind": (3,), "is_new": (1,), "colour": (4,)}
    notes = Notes()
    predict(pictures, model=str(tmp_path / file), listener=notes)
    (line,) = [text for text in notes.texts if text.startswith("layer= chooses another")]
    taken = find_classes(backbone).name
    assert all((name in line) == (name != taken) for name in found)
    assert "is_new (2 classes)" in line
    for name, shape in found.items():
        report = predict(pictures, model=str(tmp_path / file), layer=name, top=9)
        assert len(report.predictions[0].classes) == max(shape[0], 2)
    with pytest.raises(ModelError, match="one that a sigmoid computes. Received: 'size'"):
        predict(pictures, model=str(tmp_path / file), layer="size")


@pytest.mark.tensorflow
def test_what_is_computed_behind_a_sigmoid_is_no_sigmoid(tmp_path: Path) -> None:
    import_tensorflow()
    import keras

    images = keras.Input((SIZE, SIZE, 3))
    gates = keras.layers.Dense(3, activation="sigmoid", name="gates")(
        keras.layers.GlobalAveragePooling2D(name="mean")(images)
    )
    doubled = keras.layers.Rescaling(2.0, name="doubled")(gates)
    swish = keras.layers.Dense(3, activation="swish", name="swish")(gates)
    keras.Model(images, keras.layers.Add(name="sum")([doubled, swish])).save(tmp_path / "n.keras")
    layers = load_model(str(tmp_path / "n.keras")).features()
    assert [layer.name for layer in layers if layer.operation == "Sigmoid"] == ["gates"]


@pytest.mark.tensorflow
def test_without_labels_classes_are_numbers(pictures: Path, tmp_path: Path) -> None:
    notes = Notes()
    model = str(write_keras(tmp_path / "net.keras"))
    report = predict(pictures, model=model, top=1, listener=notes)
    assert {Path(p.path).parent.name: p.classes for p in report.predictions} == {
        "red": ("0",),
        "green": ("1",),
        "blue": ("2",),
    }
    assert (report.num_labelled, report.accuracy) == (0, None)
    assert any("by their number, from 0: labels=" in text for text in notes.texts)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "LABELS"}, "gives 3 values for an image, and .*names.txt' has 2 names"),
        ({"labels": "imagenet"}, "gives 3 values for an image; ImageNet has 1,000 classes"),
        ({"layer": "scale"}, "one vector for an image.*'scale' of .* with shape 8×8×3"),
        ({"layer": "*a*e*"}, "is one layer; .* fits 3. Choose scale, average or classes"),
    ],
)
def test_what_does_not_fit_is_refused(
    pictures: Path,
    names: Path,
    tmp_path: Path,
    options: dict[str, str],
    message: str,
) -> None:
    names.write_text("cat\ndog\n")
    model = str(write_keras(tmp_path / "net.keras"))
    if options.get("labels") == "LABELS":
        options = {"labels": str(names)}
    with pytest.raises((InvalidValue, ModelError, AmbiguousName), match=message):
        predict(pictures, model=model, **options)  # type: ignore[arg-type]


def test_labels_are_read_before_the_model(pictures: Path) -> None:
    # Neither is there; loading the model would take longer.
    with pytest.raises(InvalidValue, match="does not exist"):
        predict(pictures, model="file:no-such-network.keras", labels="no-such-names.txt")


@pytest.mark.tensorflow
def test_models_that_cannot_classify(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ImagesNotFound):
        predict(tmp_path / "nothing", model="no-such-model")
    with pytest.raises(ModelError, match="knows no classes of its own"):
        predict(pictures, model="builtin:mini")
    with pytest.raises(InvalidValue, match="expects its pixels. Choose with preprocess="):
        predict(pictures, model=str(write_graph(tmp_path / "graph.pb")))


def test_options_of_heads_and_models_exclude_each_other(pictures: Path, tmp_path: Path) -> None:
    for options in (
        {"labels": "imagenet"},
        {"layer": "x"},
        {"img_size": (8, 8)},
        {"exif": "apply"},
    ):
        with pytest.raises(InvalidValue, match="name it with model=. A head knows its classes"):
            predict(pictures, **options)  # type: ignore[arg-type]
    write_sample(tmp_path / "f.h5", {"v": np.eye(4, dtype=np.float32)}, labels=["a", "b", "a", "b"])
    fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    own = load_head(tmp_path / "head").model.reference
    with pytest.raises(InvalidValue, match="model= and head= exclude each other"):
        predict(pictures, model="keras:MobileNet", head=tmp_path / "head")
    report = predict(tmp_path / "f.h5", model=own, head=tmp_path / "head")
    assert len(report.predictions) == 4
    with pytest.raises(InvalidValue, match="preprocess= goes with a model's own classifier"):
        predict(pictures, head=tmp_path / "head", preprocess="tf")


# Which output it is, and what it gives


def make_backbone(*layers: Layer, default_layer: str | None = None) -> GraphBackbone:
    description = ModelDescription(make_model(), layers, 2, default_layer)
    return GraphBackbone(description, lambda names: lambda images: {})


def test_the_classes_are_the_last_output() -> None:
    layers = [Layer("pool", "layer", "", 0, (8,)), Layer("fc", "layer", "", 1, (5,))]
    assert find_classes(make_backbone(*layers)).name == "fc"
    outputs = [
        Layer("image_feature_vector/default", "output", "", None, (8,)),
        Layer("Relu", "tensor", "", None, (4, 4, 8)),
        Layer("logits", "output", "", None, (1, 1, 5)),
        Layer("maps", "output", "", None, (4, 4, 8)),
        Layer("count", "output", "", None, (1,)),
    ]
    assert find_classes(make_backbone(*outputs)).name == "logits"
    endpoints = [
        Layer("default", "endpoint", "", None, (5,)),
        Layer("aux", "endpoint", "", None, (6,)),
    ]
    assert find_classes(make_backbone(*endpoints, default_layer="default")).name == "default"
    assert find_classes(make_backbone(*endpoints), "aux").name == "aux"
    for shape in [(4, 4, 8), (1,), (None, 8), (8, None)]:
        with pytest.raises(ModelError, match="one vector for an image"):
            find_classes(make_backbone(Layer("t", "output", "", None, shape)))


def test_a_head_beside_a_network_names_its_number(tmp_path: Path) -> None:
    backbone = make_backbone(Layer("number", "output", "", None, (1,)))
    backbone.spec = replace(backbone.spec, location=str(tmp_path / "model.keras"))
    feature, hashes = FeatureSpec("network", "layer", "none", (2,)), np.zeros((0, 16), np.uint8)
    weights = {"mean": np.zeros(2), "scale": np.ones(2), "number": np.array(True)}
    weights |= {"coefficients": np.ones((1, 2)), "intercepts": np.zeros(1)}
    for name, model in (("other", make_model("1" * 64)), ("price", backbone.spec)):
        head = Head(
            "ridge", (), feature, model, weights, hashes, task="regression", columns=(name,)
        )
        head.save(tmp_path / "head")
        said = "'price'. .*predict.*head=" if name == "price" else "one vector for an image"
        with pytest.raises(ModelError, match=said):
            find_classes(backbone)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0.25, 0.75], [1, 0]], True),
        ([[0.25, 0.7495]], True),
        ([[0.25, 0.748]], False),
        ([[0.25, 0.75], [0.5, 0.6]], False),
        ([[-1, 2]], False),
        (np.zeros((0, 2)), True),
    ],
)
def test_probabilities_are_told_from_logits(rows: Any, expected: bool) -> None:
    assert are_probabilities(np.asarray(rows, np.float32)) is expected


def test_softmax_of_large_values() -> None:
    values = softmax(np.array([[1e30, 0, -1e30], [1000, 1000, 0]], np.float32))
    np.testing.assert_allclose(values, [[1, 0, 0], [0.5, 0.5, 0]], atol=1e-12)


# Names of classes


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "cat\nbig dog\nfox\n\n"),
        ("names.txt", "\ufeffcat\r\nbig dog\r\nfox"),
        ("labels.txt", "0 cat\n1 big dog\n2 fox\n"),
        ("names.csv", "index,name\n0,cat\n1,big dog\n2,fox\n"),
        ("names.csv", "2,fox\n0,cat\n1,big dog\n"),
        ("names.csv", "label,extra,id\nbig dog,x,1\ncat,y,0\nfox,z,2\n"),
        ("names.json", '{"0": "cat", "2": "fox", "1": "big dog"}'),
        ("names.json", '["cat", "big dog", "fox"]'),
        ("names.json", '{"0": ["n1", "cat"], "1": ["n2", "big dog"], "2": ["n3", "fox"]}'),
    ],
)
def test_files_of_names(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.write_text(text, encoding="utf-8", newline="")
    labels = read_names(path).fit(3)
    assert labels.names == ("cat", "big dog", "fox")
    assert labels.find("Big_Dog") == {1}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("names.txt", "cat\n\nfox\n", "line 2, is empty"),
        ("names.txt", "", "There are no names"),
        ("names.csv", "path,label\na.png,cat\n", "columns index and name. Received: path, label"),
        ("names.csv", "0,cat\n0,dog\n", "has the index '0' twice"),
        ("names.csv", "0,cat\n1\n", "an index and a name in each line"),
        ("names.csv", "1,cat\n2,dog\n", "from 0 without gaps. .* has 2 names and none for 0"),
        ("names.json", "{", "not JSON"),
        ("names.json", '{"0": {"name": "cat"}}', "Labels in JSON are"),
        ("names.json", "3", "Labels in JSON are"),
        ("names.txt", "a\nb\n", "gives 3 values .* has 2 names. Models of TF-Slim .* put 'back"),
        ("names.txt", "background\na\n", "has 2 names.$"),
        (
            "names.txt",
            "background\na\nb\nc\n",
            "has 4 names. .*'background', .* take that one away",
        ),
        ("names.txt", "a\nb\nc\nd\n", "has 4 names. .* one name too many"),
        ("names.txt", "a\n" * 9, "has 9 names.$"),
    ],
)
def test_files_that_do_not_name_the_classes(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(InvalidValue, match=message):
        read_names(tmp_path / file).fit(3)


def test_names_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    for path, message in [("names.txt", "cannot be read"), ("no.txt", "does not exist")]:
        with pytest.raises(InvalidValue, match=message):
            read_names(tmp_path / path).fit(3)


def test_imagenet_is_known_without_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing"))
    labels = read_names("imagenet").fit(1000)
    assert (labels.names[0], labels.names[217], labels.names[-1], labels.note) == (
        "tench",
        "English_springer",
        "toilet_tissue",
        "",
    )
    assert labels.find("n01440764") == {0}
    assert labels.find("crane") == {134, 517}
    with_background = read_names("imagenet").fit(1001)
    assert with_background.names[:2] == ("background", "tench")
    assert with_background.find("english springer") == {218}
    assert "'background' comes before the 1,000 names" in with_background.note


def test_background_is_added_to_or_left_out_of_1000_names(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(1000)]
    (tmp_path / "without.txt").write_text("\n".join(names))
    (tmp_path / "with.txt").write_text("\n".join(["background", *names]))
    (tmp_path / "other.txt").write_text("\n".join([*names, "one more"]))
    added = read_names(tmp_path / "without.txt").fit(1001)
    assert (added.names[:2], bool(added.note)) == (("background", "class 0"), True)
    left_out = read_names(tmp_path / "with.txt").fit(1000)
    assert (left_out.names[0], left_out.find("class 7")) == ("class 0", {7})
    assert left_out.note == "the model has 1,000 classes: 'background' is left out"
    assert read_names(tmp_path / "with.txt").fit(1001).note == ""
    with pytest.raises(InvalidValue, match="one name too many"):
        read_names(tmp_path / "other.txt").fit(1000)


def test_two_classes_of_one_name() -> None:
    labels = ClassNames(("crane", "x", "crane, derrick"), ("n1", None, "n2"), "")
    assert labels.find("crane") == {0, 2}
    assert (labels.find("N1"), labels.find("derrick")) == ({0}, {2})
    assert labels.find("") == frozenset()


# Keras applications


SMALL = InputOptions(img_size=(32, 32))
MODEL = "keras:MobileNet,alpha=0.25,classes=4"


@pytest.mark.tensorflow
def test_a_keras_application_keeps_its_classifier_at_every_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_mobilenet(monkeypatch)
    backbone = load_classifier(MODEL, weights="random", input=SMALL)
    assert find_classes(backbone).shape == (4,)
    assert backbone.spec.arguments[-1] == ("include_top", True)
    assert restore_model(ModelSpec.from_dict(backbone.spec.to_dict())).spec == backbone.spec
    with pytest.raises(InvalidValue, match="leaves out the classifier of MobileNet"):
        load_classifier(f"{MODEL},include_top=False", weights="random")


@pytest.mark.tensorflow
def test_a_weights_file_without_classifier_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_mobilenet(monkeypatch)
    import keras

    path = tmp_path / "some.weights.h5"
    keras.applications.MobileNet(
        alpha=0.25, weights=None, include_top=False, input_shape=(32, 32, 3)
    ).save_weights(path)
    with pytest.raises(ModelError, match="are those of MobileNet without its classifier"):
        load_classifier(MODEL, weights=str(path), input=SMALL)
    # Another file: Keras may still have the first one open, and HDF5 then goes by its old content.
    empty = tmp_path / "empty.weights.h5"
    empty.write_bytes(b"")
    with pytest.raises(ModelError, match="do not fit MobileNet .with classifier"):
        load_classifier(MODEL, weights=str(empty), input=SMALL)


# Real weights and photographs


@needs_real_data
@pytest.mark.tensorflow
def test_mobilenet_and_its_frozen_graph_equal_decode_predictions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_tensorflow()
    import keras
    from keras.src.applications import imagenet_utils

    folders = sorted((REAL_DATA / "images/imagenette/val").iterdir())
    images = [min(folder.iterdir()) for folder in folders]
    weights = str(REAL_DATA / "weights/mobilenet_2_5_224_tf.h5")
    index = json.loads((REAL_DATA / "labels/imagenet_class_index.json").read_text())
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", index)  # It would be downloaded.

    model = keras.applications.MobileNet(alpha=0.25, weights=weights)
    pixels = [decode_image(path.read_bytes(), InputSpec(224, 224)) for path in images]
    scaled = keras.applications.mobilenet.preprocess_input(np.stack(pixels).astype(np.float32))
    outputs = model.predict(scaled, verbose=0)
    decoded = keras.applications.mobilenet.decode_predictions(outputs, top=5)

    name = "keras:MobileNet,alpha=0.25"
    report = predict(images, model=name, weights=weights, labels="imagenet", top=5)
    assert len(report.predictions) == 10
    by_path = {Path(prediction.path): prediction for prediction in report.predictions}
    for path, expected in zip(images, decoded, strict=True):
        assert by_path[path].classes == tuple(name for _, name, _ in expected)
        values = [float(value) for _, _, value in expected]
        assert by_path[path].probabilities == pytest.approx(values, abs=1e-4)

    # The same network as TensorFlow 1 froze it: 1,001 outputs, "background" first.
    graph = next((REAL_DATA / "models/mobilenet_v1_025_graphdef").glob("*.pb"))
    names = REAL_DATA / "labels/ImageNetLabels.txt"
    frozen = predict(images, model=f"graphdef:{graph}", labels=names, preprocess="tf", top=1)
    for prediction in frozen.predictions:
        expected_name = by_path[Path(prediction.path)].classes[0].replace("_", " ")
        assert prediction.classes == (expected_name,)
