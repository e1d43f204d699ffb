"""Receptive fields and parameters: from the literature, from Keras, and measured by gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.models import load_model
from featx.models.lineage import Field
from featx.options import InputOptions

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("reference", "layer", "field"),
    [
        # Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks,
        # Distill 2019, table 1; of VGG16 also Simonyan and Zisserman's.
        ("keras:VGG16,include_top=False", "block5_pool", 212),
        pytest.param(
            *("keras:ResNet50,include_top=False", "conv5_block3_out", 483), marks=pytest.mark.slow
        ),
        ("keras:MobileNet,alpha=0.25,include_top=False", "conv_pw_13_relu", 315),
    ],
)
def test_fields_are_those_of_the_literature(reference: str, layer: str, field: int) -> None:
    overrides = InputOptions(img_size=(32, 32))
    backbone = load_model(reference, weights="random", input=overrides)
    fields = {layer.name: layer.receptive_field for layer in backbone.features()}
    assert fields[layer] == field


def build(keras: Any) -> Any:
    """Branches, dilation, strides, uneven kernels, padding; then a layer that sees everything."""
    layers = keras.layers
    images = keras.Input((65, 65, 1), name="images")
    x = layers.Conv2D(2, 3, padding="same", name="a")(images)
    wide = layers.Conv2D(2, (1, 5), padding="same", dilation_rate=2, name="wide")(x)
    x = layers.Add(name="sum")([wide, layers.Conv2D(2, 1, name="narrow")(x)])
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(3, 3, strides=2, padding="same", name="separable")(x)
    x = layers.BatchNormalization(name="norm")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="gate")(x)
    x = layers.Multiply(name="gated")([x, gate])
    return keras.Model(images, layers.Conv2D(1, 3, padding="same", name="last")(x))


def test_fields_are_what_gradients_reach(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    model = build(keras)
    for weight in model.weights:  # All positive: no gradient is lost.
        weight.assign(tf.ones(weight.shape) * 0.5)
    model.save(tmp_path / "net.keras")
    layers = {
        layer.name: layer
        for layer in load_model(
            str(tmp_path / "net.keras"), input=InputOptions(preprocess="raw")
        ).features()
    }
    measured = 0
    for name in ("a", "wide", "sum", "pool", "depthwise", "separable", "norm"):
        part = keras.Model(model.input, model.get_layer(name).output)
        images = tf.ones([1, 65, 65, 1])
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps = part(images, training=False)
            middle = maps[0, maps.shape[1] // 2, maps.shape[2] // 2, 0]
        rows, columns = np.nonzero(tape.gradient(middle, images).numpy()[0, :, :, 0])
        size = max(np.ptp(rows), np.ptp(columns)) + 1
        assert layers[name].receptive_field == size, name
        measured += 1
    assert measured == 7
    for name in ("gate", "gated", "last"):
        assert layers[name].receptive_field is None, "it sees the whole image"


def test_parameters_are_those_that_a_layer_needs(tmp_path: Path) -> None:
    import keras

    model = build(keras)
    model.save(tmp_path / "net.keras")
    overrides = InputOptions(preprocess="raw")
    layers = {
        t.name: t for t in load_model(str(tmp_path / "net.keras"), input=overrides).features()
    }
    for name in ("images", "a", "wide", "narrow", "sum", "norm", "last"):
        part = keras.Model(model.input, model.get_layer(name).output)
        assert layers[name].parameters == part.count_params(), name


def test_each_layer_says_what_is_its_own(tmp_path: Path) -> None:
    import keras

    model = build(keras)
    model.get_layer("wide").trainable = False
    model.save(tmp_path / "net.keras")
    found = {layer.name: layer for layer in load_model(str(tmp_path / "net.keras")).features()}
    assert len(found) == len(model.layers)
    for layer in model.layers:
        described = found[layer.name]
        assert described.own_parameters == layer.count_params(), layer.name
        assert described.trainable == (layer.trainable if layer.weights else None), layer.name
        assert described.dtype == "float32"
    assert found["wide"].trainable is False
    assert found["a"].trainable is True


def test_the_type_of_values_is_that_inside_the_network(tmp_path: Path) -> None:
    import keras

    images = keras.Input((8, 8, 3), name="images")
    maps = keras.layers.Conv2D(2, 3, name="conv", dtype="mixed_float16")(images)
    outputs = keras.layers.Dense(2, name="classes", dtype="float32")(
        keras.layers.GlobalAveragePooling2D(name="mean", dtype="mixed_float16")(maps)
    )
    keras.Model(images, outputs).save(tmp_path / "net.keras")
    types = {
        layer.name: layer.dtype for layer in load_model(str(tmp_path / "net.keras")).features()
    }
    assert types == {
        "images": "float32",
        "conv": "float16",
        "mean": "float16",
        "classes": "float32",
    }


def test_what_ends_a_layer_of_a_graph_owns_all_of_it(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, name="conv")(images)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Add(name="sum")([x, layers.Conv2D(4, 1, activation="relu", name="side")(x)])
    model = keras.Model(images, layers.Dense(2, activation="softmax", name="classes")(x))
    model.export(tmp_path / "net", verbose=False)
    found = load_model(str(tmp_path / "net"), input=InputOptions(preprocess="raw")).features()
    ends = [layer for layer in found if layer.kind == "tensor" and not layer.is_detail]
    own = [layer.own_parameters for layer in ends]
    assert own == [3 * 3 * 3 * 4 + 4 + 4 * 4, 4 * 4 + 4, 0, 4 * 2 + 2]
    assert sum(own) == ends[-1].parameters == model.count_params()
    assert {layer.dtype for layer in found} == {"float32"}
    assert {layer.trainable for layer in found} == {None}


def test_a_layer_used_twice_counts_once(tmp_path: Path) -> None:
    import keras

    images = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    keras.Model(images, twice(twice(images))).save(tmp_path / "net.keras")
    overrides = InputOptions(preprocess="raw")
    layers = load_model(str(tmp_path / "net.keras"), input=overrides).features()
    assert [(t.name, t.parameters, t.receptive_field) for t in layers[1:]] == [
        ("twice#1", 84, 3),
        ("twice#2", 84, 5),
    ]


def test_fields_grow_by_kernel_dilation_and_step() -> None:
    field = Field().through((7, 7), (2, 2), (1, 1)).through((3, 3), (2, 2), (1, 1))
    assert (field.size, field.step) == ((11, 11), (4, 4))


def test_strides_are_followed_and_not_divided(tmp_path: Path) -> None:
    import keras

    x = images = keras.Input((31, 31, 3))
    for number in range(3):  # Without padding: maps of 15, 7 and 3 pixels.
        x = keras.layers.Conv2D(2, 3, strides=2, name=f"conv{number}")(x)
    keras.Model(images, x).save(tmp_path / "net.keras")
    overrides = InputOptions(preprocess="raw")
    layers = load_model(str(tmp_path / "net.keras"), input=overrides).features()
    assert [layer.stride(31) for layer in layers[1:]] == [2, 4, 8]


@pytest.mark.slow
def test_strides_of_inception_are_those_of_its_paper() -> None:
    backbone = load_model("keras:InceptionV3", weights="random")
    strides = {layer.name: layer.stride(299) for layer in backbone.features()}
    assert (strides["mixed2"], strides["mixed7"], strides["mixed10"]) == (8, 16, 32)
