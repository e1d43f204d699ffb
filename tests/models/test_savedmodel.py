"""SavedModels: what Keras exports, what TensorFlow saves, and a real one from TensorFlow 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import InvalidValue, ModelError, UnknownName
from featx.images.decode import decode_image
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.models.selection import select_layers
from featx.options import InputOptions
from featx.testing import write_images
from featx.testing.keras_models import toy_keras_model
from tests.real_data import REAL_DATA, needs_real_data

pytestmark = pytest.mark.tensorflow

RAW = InputOptions(preprocess="raw")
COLOR = np.array([255, 153, 51], np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "toy"
    toy_keras_model().export(folder, verbose=False)
    return folder


@pytest.fixture(scope="module")
def backbone(exported: Path) -> Backbone:
    return load_model(str(exported), input=RAW)


def test_an_export_computes_what_the_model_did(backbone: Backbone) -> None:
    images = np.tile(COLOR, (2, 4, 4, 1)).astype(np.uint8)
    last = backbone.features()[-1]
    assert last.kind == "output"
    np.testing.assert_allclose(
        backbone(images, [last.name])[last.name], [[1.2, -1.2]] * 2, atol=1e-6
    )


def test_tensors_that_no_signature_names_can_be_tapped(backbone: Backbone) -> None:
    images = np.tile(COLOR, (1, 4, 4, 1)).astype(np.uint8)
    relu = select_layers(["*Relu*"], backbone.features())
    assert [layer.type for layer in relu] == ["Relu"]
    result = backbone(images, [relu[0].name])[relu[0].name]
    np.testing.assert_allclose(result[0, 0, 0], [0.5, 0.1, 0], atol=1e-6)


def test_the_same_content_elsewhere_is_the_same_model(exported: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(exported, tmp_path / "copy")
    first = load_model(f"savedmodel:{exported}", input=RAW).spec
    second = load_model(f"savedmodel:{tmp_path / 'copy'}", input=RAW).spec
    assert first.fingerprint == second.fingerprint


def _save(folder: Path, shape: list[int | None], **signatures: Any) -> None:
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
        def mean(self, images: Any) -> Any:
            return {"mean": tf.reduce_mean(images, [1, 2]), "most": tf.reduce_max(images, [1, 2])}

    module = Module()
    chosen = dict.fromkeys(signatures, module.mean) or None
    tf.saved_model.save(module, str(folder), signatures=chosen)


def test_a_signature_with_several_outputs_has_a_layer_for_each(tmp_path: Path) -> None:
    _save(tmp_path / "m", [None, 2, 2, 3], serving_default=True)
    loaded = load_model(str(tmp_path / "m"), input=RAW)
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    result = loaded(images, ["most", "mean"])
    assert result["most"].tolist() == [[9, 10, 11]]
    assert result["mean"].tolist() == [[4.5, 5.5, 6.5]]


def test_signatures_are_chosen_by_name(tmp_path: Path) -> None:
    _save(tmp_path / "m", [None, 2, 2, 3], features=True, classes=True)
    with pytest.raises(UnknownName, match="signature=NAME"):
        load_model(str(tmp_path / "m"))
    loaded = load_model(f"savedmodel:{tmp_path / 'm'},signature=features", input=RAW)
    assert {layer.name for layer in loaded.features()} >= {"mean", "most"}


def test_extract_takes_a_signature(tmp_path: Path) -> None:
    _save(tmp_path / "m", [None, 2, 2, 3], features=True, classes=True)
    photos = write_images(2, tmp_path / "photos")
    options: dict[str, Any] = {"preprocess": "raw", "output": tmp_path / "f.h5"}
    model = str(tmp_path / "m")
    for spelled in (
        {"model": model, "signature": "features"},
        {"model": f"{model},signature=features"},
    ):
        report = featx.extract(photos, layers=["mean"], **spelled, **options)
    assert (report.done, report.skipped, report.seconds["load"]) == (0, 2, 0.0)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert dict(store.model.arguments) == {"signature": "features"}
    with pytest.raises(InvalidValue, match="signature= goes with a model of your own"):
        featx.extract(photos, signature="features", **options)


def test_a_batch_of_exactly_one_is_opened_to_any(tmp_path: Path) -> None:
    _save(tmp_path / "one", [1, 2, 2, 3], serving_default=True)
    loaded = load_model(f"savedmodel:{tmp_path / 'one'}", input=RAW)
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    assert loaded(images, ["most"])["most"].tolist() == [[9, 10, 11], [21, 22, 23]]


def test_any_size_takes_the_one_that_is_asked_for(tmp_path: Path) -> None:
    _save(tmp_path / "any", [None, None, None, 3], serving_default=True)
    overrides = InputOptions(img_size=(2, 4), preprocess="raw")
    loaded = load_model(f"savedmodel:{tmp_path / 'any'}", input=overrides)
    assert [layer.shape for layer in loaded.features() if layer.kind == "output"] == [(3,), (3,)]
    assert loaded(np.ones((1, 2, 4, 3), np.uint8), ["mean"])["mean"].tolist() == [[1, 1, 1]]


def test_activations_and_joins_come_first_and_the_rest_on_demand(tmp_path: Path) -> None:
    import tensorflow as tf

    class Module(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
        def run(self, x: Any) -> Any:
            swish = tf.multiply(x, tf.sigmoid(x, name="gate"), name="swish")
            relu = tf.nn.relu(x * 2.0 - 1.0, name="relu")
            return {"out": tf.add(swish, relu, name="sum") + 1.0}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.run)
    layers = load_model(str(tmp_path / "m"), input=RAW).features()
    assert {layer.name for layer in layers if not layer.is_detail} == {
        "swish",
        "relu",
        "sum",
        "out",
    }
    assert {layer.type for layer in layers if layer.is_detail} >= {"Sigmoid", "Mul"}


def test_a_subclassed_model_is_tapped_in_its_export(tmp_path: Path) -> None:
    import keras

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")

        def call(self, images: Any) -> Any:
            return keras.ops.mean(self.conv(images), axis=(1, 2))

    net = Net()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    expected = net(pixels.astype(np.float32))
    net.export(tmp_path / "net", verbose=False)
    backbone = load_model(str(tmp_path / "net"), input=RAW)
    (relu,) = select_layers(["*Relu"], backbone.features())
    result = backbone(pixels, [relu.name, "output_0"])
    assert result[relu.name].shape == (2, 6, 6, 4)
    np.testing.assert_allclose(result["output_0"], expected, rtol=1e-4, atol=1e-4)


def test_two_inputs_are_refused_by_name(tmp_path: Path) -> None:
    import tensorflow as tf

    module, spec = tf.Module(), tf.TensorSpec([None, 4, 4, 3], tf.float32)
    module.run = tf.function(lambda left, right: left + right, input_signature=[spec, spec])
    tf.saved_model.save(module, str(tmp_path / "two"), signatures=module.run)
    with pytest.raises(ModelError, match=r"2 inputs \('left' .*'right' .*two,input=left"):
        load_model(str(tmp_path / "two"))


def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "none"))
    with pytest.raises(ModelError, match="has no signatures"):
        load_model(f"savedmodel:{tmp_path / 'none'}")
    flat = tf.Module()
    flat.run = tf.function(tf.nn.relu, input_signature=[tf.TensorSpec([None, 12], tf.float32)])
    tf.saved_model.save(flat, str(tmp_path / "flat"), signatures=flat.run)
    with pytest.raises(ModelError, match="batches of images"):
        load_model(f"savedmodel:{tmp_path / 'flat'}")
    _save(tmp_path / "any", [None, None, None, 3], serving_default=True)
    assert load_model(f"savedmodel:{tmp_path / 'any'}").spec.input.height == 224
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot load the SavedModel"):
        load_model(f"savedmodel:{tmp_path / 'broken'}")


@pytest.mark.slow
@needs_real_data
def test_the_real_tensorflow_1_savedmodel() -> None:
    import tensorflow as tf

    folder = REAL_DATA / "models/teachable_machine_savedmodel/model.savedmodel"
    path = next((REAL_DATA / "images/flowers12/test/iris").glob("*.jpg"))
    loaded = load_model(str(folder), input=InputOptions(preprocess="tf"))
    layer = "sequential_1/model1/out_relu/Relu6"
    output = loaded.features()[-1].name
    pixels = decode_image(path.read_bytes(), loaded.spec.input)[np.newaxis]
    result = loaded(pixels, [layer, output])
    assert result[layer].shape == (1, 7, 7, 1280)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = signature(sequential_1_input=tf.constant(pixels / 127.5 - 1, tf.float32))
    np.testing.assert_allclose(result[output], next(iter(expected.values())), rtol=1e-4, atol=1e-6)
