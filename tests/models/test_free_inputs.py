"""Models of several inputs: constants for those that take no images, and one of two images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.errors import InvalidValue, ModelError, UnknownName
from featx.models import load_model
from featx.models.free_inputs import FreeInput, make_constants
from featx.models.loading import restore_model
from featx.options import InputOptions
from featx.specs import ModelSpec

PICTURES = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
RAW = InputOptions(preprocess="raw", img_size=(8, 8))


@pytest.mark.parametrize(
    ("free", "value", "expected"),
    [
        (FreeInput("size", (), "int32"), 40, np.int32(40)),
        (FreeInput("size", None, "float32"), 40, np.float32(40)),
        (FreeInput("trains", (), "bool"), False, np.False_),
        (FreeInput("limits", (3,), "float32"), "0.6 0.7 0.8", np.float32([0.6, 0.7, 0.8])),
        (FreeInput("limits", (3,), "float32"), 0.5, np.float32([0.5, 0.5, 0.5])),
        (FreeInput("age", (None, 1), "float32"), 7, np.float32([7])),
        (FreeInput("limits", (None,), "float32"), "1 2", np.float32([1, 2])),
    ],
)
def test_constants_have_the_type_and_shape_of_their_input(
    free: FreeInput, value: object, expected: np.ndarray
) -> None:
    found = make_constants("net", [free], {free.name: value})[free.name]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape


@pytest.mark.parametrize(
    ("free", "value", "message"),
    [
        (FreeInput("size", (), "int32"), 40.5, r"'size' int32 \(\) of 'net' takes a number"),
        (FreeInput("size", (), "uint8"), 300, "takes a number"),
        (FreeInput("size", (), "float32"), "large", "Received: 'large'"),
        (FreeInput("size", (), "float32"), "", "Received: ''"),
        (FreeInput("size", (), "float32"), None, "Received: None"),
        (FreeInput("size", (), "float32"), float("inf"), "Received: inf"),
        (FreeInput("trains", (), "bool"), 2, "takes True or False"),
        (FreeInput("limits", (3,), "float32"), "1 2", "several with spaces between"),
        (FreeInput("name", (), "string"), "a", "takes a number"),
    ],
)
def test_constants_that_do_not_suit_their_input(
    free: FreeInput, value: object, message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        make_constants("net", [free], {free.name: value})


def detect(image: Any, min_size: Any, factor: Any) -> dict[str, Any]:
    """Stand for a detector: means of the image, times one input and more by another."""
    import tensorflow as tf

    mean = tf.reduce_mean(image, [1, 2])
    scaled = tf.nn.relu(mean * factor) + tf.cast(min_size, tf.float32)
    return {"scaled": scaled, "mean": tf.identity(mean)}


@pytest.fixture(scope="module", params=["savedmodel", "graphdef", "keras"])
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("detector")
    image = tf.TensorSpec((None, 8, 8, 3), tf.float32, "image")
    size, factor = tf.TensorSpec((), tf.int32, "min_size"), tf.TensorSpec((), tf.float32, "factor")
    if request.param == "keras":
        inputs = [
            keras.Input((8, 8, 3), name="image"),
            keras.Input((1,), name="min_size", dtype="int32"),
            keras.Input((1,), name="factor"),
        ]
        mean = keras.layers.GlobalAveragePooling2D(name="mean")(inputs[0])
        size = keras.ops.cast(inputs[1], "float32")
        scaled = keras.layers.Activation("relu", name="relu")(mean * inputs[2])
        outputs = keras.layers.Add(name="scaled")([scaled, keras.ops.tile(size, (1, 3))])
        keras.Model(inputs, outputs).save(folder / "det.keras")
        return str(folder / "det.keras")
    if request.param == "savedmodel":
        module = tf.Module()
        module.call = tf.function(detect, input_signature=[image, size, factor])
        tf.saved_model.save(module, str(folder / "det"), signatures=module.call)
        return str(folder / "det")
    graph = tf.Graph()
    with graph.as_default():
        places = [
            tf.compat.v1.placeholder(each.dtype, each.shape, each.name)
            for each in (image, size, factor)
        ]
        for name, tensor in detect(*places).items():
            tf.identity(tensor, name)
    (folder / "det.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return str(folder / "det.pb")


def last_of(layers: Any, name: str) -> str:
    """Return the layer of a name, whatever number an exporter put behind it."""
    return next(each.name for each in layers if each.name.startswith(name))


@pytest.mark.tensorflow
def test_other_inputs_get_constants(detector: str) -> None:
    mean = PICTURES.astype(np.float32).mean((1, 2))
    backbone = load_model(f"{detector},min_size=40,factor=0.5", input=RAW)
    name = last_of(backbone.features(), "scaled")
    np.testing.assert_allclose(backbone(PICTURES, [name])[name], mean * 0.5 + 40, rtol=1e-4)
    assert backbone.spec.reference.endswith(",factor=0.5,min_size=40")
    assert "factor = 0.5, min_size = 40" in " ".join(backbone.notes)
    other = load_model(f"{detector},min_size=41,factor=0.5", input=RAW)
    assert other.spec.fingerprint != backbone.spec.fingerprint
    again = ModelSpec.from_dict(backbone.spec.to_dict())
    assert again == backbone.spec
    restored = restore_model(again)
    assert restored.spec.fingerprint == backbone.spec.fingerprint
    np.testing.assert_allclose(restored(PICTURES, [name])[name], mean * 0.5 + 40, rtol=1e-4)


@pytest.mark.tensorflow
def test_inputs_without_a_value_are_named(detector: str) -> None:
    if not detector.endswith(".pb"):
        with pytest.raises(ModelError, match=r"Give the others a value: .*,min_size=NUMBER"):
            load_model(detector, input=RAW)
    backbone = load_model(f"{detector},input=image", input=RAW)
    names = [layer.name for layer in backbone.features()]
    assert last_of(backbone.features(), "mean") in names
    assert not any(name.startswith("scaled") for name in names)
    with pytest.raises(UnknownName, match=r"min_sise.*Did you mean min_size"):
        load_model(f"{detector},min_sise=40,factor=0.5", input=RAW)


@pytest.mark.tensorflow
def test_one_of_two_images_without_an_encoder(tmp_path: Path) -> None:
    import keras

    left, right = (keras.Input((8, 8, 3), name=name) for name in ("left", "right"))
    convolve, pool = keras.layers.Conv2D(4, 3, name="conv"), keras.layers.GlobalMaxPooling2D()
    one, other = (pool(convolve(image)) for image in (left, right))
    distance = keras.layers.Dense(1, name="distance")(keras.layers.Subtract()([one, other]))
    model = keras.Model([left, right], distance)
    model.save(tmp_path / "pair.keras")
    with pytest.raises(ModelError, match=r"Say which takes images, pair\.keras,input=left"):
        load_model(str(tmp_path / "pair.keras"), input=RAW)
    backbone = load_model(f"{tmp_path / 'pair.keras'},input=right", input=RAW)
    assert [layer.name for layer in backbone.features()][:2] == ["right", "conv"]
    assert "distance" not in [layer.name for layer in backbone.features()]
    pooled = backbone.features()[-1].name
    expected = np.asarray(pool(convolve(PICTURES.astype(np.float32))))
    np.testing.assert_allclose(backbone(PICTURES, [pooled])[pooled], expected, rtol=1e-4, atol=1e-3)
    whole = keras.layers.concatenate([left, right])
    joined = keras.Model([left, right], keras.layers.Conv2D(2, 3)(whole))
    joined.save(tmp_path / "joined.keras")
    with pytest.raises(ModelError, match=r"Nothing in .* from its input 'left' alone"):
        load_model(f"{tmp_path / 'joined.keras'},input=left", input=RAW)
    with pytest.raises(ModelError, match=r"Pass the part of it .*keras\.Model\(model\.inputs\[0\]"):
        load_model(joined, input=RAW)
