"""ONNX models, compared with onnxruntime."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import featx
from featx.errors import InvalidValue, ModelError
from featx.inference.accelerated import AcceleratedBackbone
from featx.inference.request import EngineRequest
from featx.models import load_model, onnx_format
from featx.models.backbone import Backbone
from featx.models.loading import load_classifier
from featx.models.onnx_format import MAX_DEPTH, MAX_OPERATIONS, read_onnx_file
from featx.models.reference import parse_reference
from featx.models.remembered import RememberedBackbone
from featx.models.selection import default_layer, select_layers
from featx.options import InputOptions
from featx.testing import write_images
from tests.models.onnx_files import (
    RESIDUAL,
    SIZE,
    Network,
    node,
    run_onnxruntime,
    weights,
    write_baked,
    write_channels_last,
    write_residual,
    write_scaled,
)

TOLERANCE = 1e-5
"""Largest difference to onnxruntime, as a share of the largest value: both are in float32, and sum
in another order."""

UNIT = InputOptions(preprocess="unit")


def make_images(height: int = SIZE, width: int = SIZE, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def first(images: np.ndarray) -> np.ndarray:
    """Return pixels in [0, 1], channels first."""
    return (images / 255).transpose(0, 3, 1, 2).astype(np.float32)


def assert_same(received: np.ndarray, expected: np.ndarray, name: str) -> None:
    assert received.shape == expected.shape, name
    scale = np.abs(expected).max()
    np.testing.assert_allclose(received, expected, rtol=0, atol=TOLERANCE * scale, err_msg=name)


def last(values: np.ndarray) -> np.ndarray:
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


# ---- agreement ----


@pytest.mark.parametrize(
    "shape",
    [
        ("N", 3, SIZE, SIZE),  # As with dynamic_axes.
        (1, 3, SIZE, SIZE),  # As exporters write it when nothing is said.
        (4, 3, SIZE, SIZE),
        ("N", 3, "height", "width"),
    ],
)
def test_every_tensor_is_what_onnxruntime_computes(
    tmp_path: Path, shape: tuple[int | str, ...]
) -> None:
    path = write_residual(tmp_path / "net.onnx", shape)
    free = write_residual(tmp_path / "free.onnx", ("N", 3, "h", "w"))
    backbone = load_model(str(path), input=InputOptions(preprocess="unit", img_size=(SIZE, SIZE)))
    assert not any("batch" in note for note in backbone.notes)
    images = make_images()
    expected = run_onnxruntime(free, first(images), RESIDUAL)
    received = backbone(images, RESIDUAL)
    for layer in select_layers(list(RESIDUAL), backbone.features()):
        assert received[layer.name].shape == (5, *layer.shape)
        assert_same(received[layer.name], last(expected[layer.name]), layer.name)


def test_height_and_width_that_vary_are_224_unless_chosen(tmp_path: Path) -> None:
    path = write_residual(tmp_path / "net.onnx", ("N", 3, "h", "w"))
    usual = load_model(str(path), input=UNIT)
    assert (usual.spec.input.height, usual.spec.input.width) == (224, 224)
    assert usual.beginning.any_size
    backbone = load_model(str(path), input=InputOptions(preprocess="unit", img_size=(24, 40)))
    images = make_images(24, 40)
    (block,) = select_layers(["block"], backbone.features())
    assert block.shape == (6, 10, 8)
    expected = run_onnxruntime(path, first(images), ["block"])["block"]
    assert_same(backbone(images, ["block"])["block"], last(expected), "block")


def test_another_size_than_the_stated_one_is_refused(tmp_path: Path) -> None:
    path = write_residual(tmp_path / "net.onnx")
    with pytest.raises(InvalidValue, match="was built for images of 16 x 16 pixels"):
        load_model(str(path), input=InputOptions(img_size=(32, 32)))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", ["token", "reshape"])
def test_a_batch_size_inside_the_network(tmp_path: Path, batch: int, kind: str) -> None:
    path = write_baked(tmp_path / "net.onnx", batch, kind)
    backbone = load_model(str(path), input=UNIT)
    is_fixed = backbone.notes[-1] == f"its batch size is fixed: {batch}"
    assert is_fixed == (kind == "token")
    images = make_images()
    scaled = first(images)
    padded = np.concatenate([scaled, *[scaled[-1:]] * 3])
    blocks = [
        run_onnxruntime(path, padded[start : start + batch], ["relu", "logits"])
        for start in range(0, 5, batch)
    ]
    accelerated = AcceleratedBackbone(backbone, EngineRequest(precision="float32"))
    for model in (backbone, accelerated):
        received = model(images, ["relu", "logits"])
        for name, values in received.items():
            expected = np.concatenate([block[name] for block in blocks])[:5]
            assert_same(values, last(expected), name)


def test_channels_last(tmp_path: Path) -> None:
    path = write_channels_last(tmp_path / "net.onnx")
    backbone = load_model(str(path), input=UNIT)
    assert backbone.notes == ()
    images = make_images()
    names = ["turned", "relu", "back", "mean"]
    expected = run_onnxruntime(path, (images / 255).astype(np.float32), names)
    received = backbone(images, names)
    for name in ("turned", "relu"):  # In the middle of the network, channels are first.
        assert_same(received[name], last(expected[name]), name)
    for name in ("back", "mean"):
        assert_same(received[name], expected[name], name)


def test_whole_numbers_go_in_as_they_are(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE), TensorProto.UINT8)
    network.add("Cast", "images", "cast", to=TensorProto.FLOAT)
    network.residual("cast")
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(InvalidValue, match="takes whole numbers"):
        load_model(str(path), input=UNIT)
    backbone = load_model(str(path))
    assert backbone.spec.input.scaling == "raw"
    images = make_images()
    expected = run_onnxruntime(path, images.transpose(0, 3, 1, 2).copy(), ["block"])["block"]
    assert_same(backbone(images, ["block"])["block"], last(expected), "block")


def test_half_precision_weights(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.store("w", weights(8, 3, 3, 3).astype(np.float16))
    network.add("Cast", "w", "kernel", to=TensorProto.FLOAT)
    network.add("Conv", "images kernel", "conv")
    network.give("conv", "N", 8, 14, 14)
    path = network.write(tmp_path / "net.onnx")
    images = make_images()
    expected = run_onnxruntime(path, first(images), ["conv"])["conv"]
    received = load_model(str(path), input=UNIT)(images, ["conv"])["conv"]
    assert_same(received, last(expected), "conv")


def test_several_outputs(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.residual()
    network.give("relu", "N", 8, 8, 8)
    network.give("vector", "N", 8)
    path = network.write(tmp_path / "net.onnx")
    backbone = load_model(str(path), input=UNIT)
    outputs = [layer.name for layer in backbone.features() if layer.kind == "output"]
    assert outputs == ["relu", "vector", "classes"]  # In the order of computation.
    images = make_images()
    expected = run_onnxruntime(path, first(images), outputs)
    for name, values in backbone(images, outputs).items():
        assert_same(values, last(expected[name]), name)


def test_a_network_made_by_keras(tmp_path: Path) -> None:
    """Its weights in ONNX's operators, around which maps are turned, as tf2onnx writes them."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    source = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(source)
    x = layers.ReLU(6, name="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="valid", name="depthwise")(x)
    x = layers.Activation("silu", name="swish")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(source, layers.Dense(4, name="dense")(x))
    kernel, bias = map(np.asarray, model.get_layer("conv").get_weights())
    depth, depth_bias = map(np.asarray, model.get_layer("depthwise").get_weights())
    dense, dense_bias = map(np.asarray, model.get_layer("dense").get_weights())

    network = Network(("N", SIZE, SIZE, 3))
    network.store("kernel", kernel.transpose(3, 2, 0, 1))
    network.store("depth", depth.transpose(2, 3, 0, 1))
    for name, values in [("bias", bias), ("depth_bias", depth_bias), ("dense", dense)]:
        network.store(name, values)
    network.store("dense_bias", dense_bias)
    network.store("low", np.float32(0))
    network.store("high", np.float32(6))
    network.add("Transpose", "images", "first", perm=[0, 3, 1, 2])
    network.add("Conv", "first kernel bias", "conv", pads=[1, 1, 1, 1])
    network.add("Clip", "conv low high", "relu")
    network.add("Conv", "relu depth depth_bias", "depthwise", group=6)
    network.add("Sigmoid", "depthwise", "gate")
    network.add("Mul", "depthwise gate", "swish")
    network.add("GlobalAveragePool", "swish", "pooled")
    network.add("Squeeze", "pooled axes", "average")
    network.store("axes", np.array([2, 3]))
    network.add("MatMul", "average dense", "product")
    network.add("Add", "product dense_bias", "output")
    network.give("output", "N", 4)
    backbone = load_model(str(network.write(tmp_path / "net.onnx")), input=UNIT)

    images = make_images()
    part = keras.Model(model.input, [model.get_layer(n).output for n in ("relu", "swish", "dense")])
    relu, swish, output = map(np.asarray, part((images / 255).astype(np.float32)))
    received = backbone(images, ["relu", "swish", "output"])
    assert_same(received["relu"], relu, "relu")
    assert_same(received["swish"], swish, "swish")
    assert_same(received["output"], output, "output")
    shown = [layer.name for layer in backbone.features() if not layer.is_detail]
    assert shown == ["relu", "swish", "pooled", "output"]


# ---- layers ----


def test_layers_are_described(tmp_path: Path) -> None:
    backbone = load_model(str(write_residual(tmp_path / "net.onnx")), input=UNIT)
    layers = {layer.name: layer for layer in backbone.features()}
    shown = [layer.name for layer in layers.values() if not layer.is_detail]
    assert shown == ["relu", "pool", "sum", "block", "average", "classes"]
    assert backbone.notes[0].startswith("channels first")
    conv = layers["conv"]
    assert (conv.type, conv.shape, conv.parameters) == ("Conv", (8, 8, 8), 3 * 3 * 3 * 8 + 8)
    assert layers["block"].parameters == 224 + 32 + 8 * 8 * 9
    assert layers["vector"].operation == "GlobalAveragePool"
    assert layers["classes"].kind == "output"
    assert default_layer(backbone.features()).name == "block"
    assert [layer.name for layer in select_layers(["conv*"], backbone.features())] == [
        "conv",
        "conv2",
    ]


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 1]))
    network.residual()
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"with 2 inputs \('images', 'mask'\)"):
        load_model(str(path), input=UNIT)


def test_what_takes_no_images_is_refused(tmp_path: Path) -> None:
    network = Network(("N", 10))
    network.add("Relu", "images", "relu")
    network.give("relu", "N", 10)
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"an input of shape \(None, 10\)"):
        load_model(str(path), input=UNIT)


def write_unknown(path: Path) -> Path:
    network = Network(("N", 3, SIZE, SIZE))
    network.nodes.append(node("Wobble", "images", "wobbly", domain="shop"))
    network.give("wobbly", "N", 3, SIZE, SIZE)
    return network.write(path)


def test_an_unknown_operator_is_one_line(tmp_path: Path) -> None:
    path = write_unknown(tmp_path / "net.onnx")
    with pytest.raises(ModelError) as caught:
        load_model(str(path), input=UNIT)
    assert str(caught.value) == (
        "OpenVINO cannot read the ONNX model 'net.onnx': No conversion rule found for operations: "
        "shop.Wobble."
    )


@pytest.mark.parametrize(
    ("domain", "name"), [("shop", "shop.Wobble"), ("my.ops", "my.ops.Wobble"), ("", "Wobble-17")]
)
def test_an_unknown_operator_is_named_rather_than_what_follows_it(
    tmp_path: Path, domain: str, name: str
) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.nodes.append(node("Wobble", "images", "wobbly", domain=domain))
    network.residual("wobbly")
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError) as caught:
        load_model(str(path), input=UNIT)
    assert str(caught.value) == (
        "OpenVINO cannot read the ONNX model 'net.onnx': No conversion rule found for operations: "
        f"{name}."
    )


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "reason"),
    [
        ("Conv", "images nowhere", {}, 'Input tensor isn\'t found for node "nowhere"'),
        (
            "Conv",
            "images w",
            {},
            "Conv 'result': Data batch channel count (3) does not match filter input channel count "
            "(4)",
        ),
        (
            "Conv",
            "images w",
            {"auto_pad": "WRONG"},
            "Conv 'result': Provided `auto_pad` attribute value: 'WRONG' is invalid",
        ),
        (
            "ReduceMean",
            "images",
            {"axes": [9]},
            "ReduceMean 'result': Axis 9 out of the tensor rank range [-4, 3]",
        ),
        (
            "Transpose",
            "images",
            {"perm": [0, 1]},
            "Transpose 'result': Input order must have shape [n], where n is the rank of arg",
        ),
        (
            "Dropout",
            "images ratio yes",
            {},
            "Dropout 'result': Training mode is not supported for Dropout op",
        ),
    ],
)
def test_the_operation_that_fails_is_named_with_its_reason(
    tmp_path: Path, operator: str, inputs: str, attributes: dict[str, Any], reason: str
) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.store("w", weights(8, 4, 3, 3))
    network.store("ratio", np.float32(0.5))
    network.store("yes", np.array(True))
    network.add(operator, inputs, "result", **attributes)
    network.give("result", "N", "a", "b", "c")
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError) as caught:
        load_model(str(path), input=UNIT)
    assert str(caught.value) == f"OpenVINO cannot read the ONNX model 'net.onnx': {reason}."


def test_an_operation_that_cannot_be_computed_is_one_sentence(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.store("w", weights(8, 3, 3, 3))
    network.add("Conv", "images w", "conv", pads=[1 << 62] * 4)
    network.give("conv", "N", 8, "h", "w")
    backbone = load_model(str(network.write(tmp_path / "net.onnx")), input=UNIT)
    with pytest.raises(ModelError, match="no way to compute an operation; a size may be out of"):
        backbone(make_images(), ["conv"])


# ---- random numbers ----


def draw_random_numbers(operator: str) -> Any:
    """Return a node that draws numbers, named "noise"."""
    inputs, given = ["images"], {}
    if operator in ("RandomNormal", "RandomUniform"):
        inputs, given = [], {"shape": [1, 3, SIZE, SIZE], "seed": 3.0}
    return helper.make_node(operator, inputs, ["drawn"], name="noise", **given)


@pytest.mark.parametrize("where", ["graph", "branch", "function"])
@pytest.mark.parametrize(
    "operator",
    [
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    ],
)
def test_random_numbers_are_refused(tmp_path: Path, operator: str, where: str) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    drawing = draw_random_numbers(operator)
    functions = []
    if where == "branch":
        value = helper.make_empty_tensor_value_info("drawn")
        branch = helper.make_graph([drawing], "branch", [], [value])
        network.store("yes", np.array(True))
        drawing = helper.make_node("If", ["yes"], ["drawn"], then_branch=branch, else_branch=branch)
    elif where == "function":
        opsets = [helper.make_opsetid("", 17)]
        functions = [helper.make_function("shop", "Draw", ["images"], ["drawn"], [drawing], opsets)]
        drawing = helper.make_node("Draw", ["images"], ["drawn"], domain="shop")
    network.nodes.append(drawing)
    network.add("Add", "images drawn", "noisy")
    network.residual("noisy")
    model = network.model()
    model.functions.extend(functions)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        load_model(str(path), input=UNIT)
    message = str(caught.value)
    assert "computes with random numbers, which would make features" in message
    assert f"{operator} (node 'noise')" in message
    assert "\n" not in message


def test_random_numbers_that_only_training_draws_are_no_reason(tmp_path: Path) -> None:
    model = onnx.load(write_residual(tmp_path / "net.onnx"))
    value = helper.make_empty_tensor_value_info("drawn")
    start = helper.make_graph([draw_random_numbers("RandomNormal")], "start", [], [value])
    model.training_info.add().initialization.CopyFrom(start)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert load_model(str(path), input=UNIT).features()


def test_arguments_and_weights_are_refused(tmp_path: Path) -> None:
    path = write_residual(tmp_path / "net.onnx")
    for reference, each in ((f"{path},signature=a", None), (str(path), "imagenet")):
        with pytest.raises(InvalidValue, match="brings its own architecture and weights"):
            load_model(reference, weights=each)


# ---- preprocessing ----

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("factor", "offset", "scaling"),
    [
        (1 / 255, 0, "raw"),
        (1 / 127.5, -1, "raw"),
        (1 / 255 / DEVIATION, -MEAN / DEVIATION, "raw"),
        (1 / DEVIATION, -MEAN / DEVIATION, "unit"),  # As torchvision's Normalize after ToTensor.
        (0.5, 0.5, None),
        (2, -1, None),
        (1, -np.array([103.939, 116.779, 123.68]), None),
    ],
)
def test_scaling_inside_is_recognised(
    tmp_path: Path, factor: Any, offset: Any, scaling: str | None
) -> None:
    backbone = load_model(str(write_scaled(tmp_path / "net.onnx", factor, offset)))
    assert backbone.spec.input.scaling == scaling
    assert load_model(str(tmp_path / "net.onnx"), input=UNIT).spec.input.scaling == "unit"


def test_scaling_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    path = write_residual(tmp_path / "net.onnx")
    photos = write_images(2, tmp_path / "photos")
    with pytest.raises(InvalidValue, match="cannot know how 'onnx:net.onnx' expects its pixels"):
        featx.extract(photos, model=str(path), output=tmp_path / "f.h5")


# ---- identity, weights in other files ----


def write_external(folder: Path, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    network = Network(("N", 3, SIZE, SIZE))
    network.residual()
    arguments = {"location": "weights.bin", "size_threshold": 0, "save_as_external_data": True}
    return network.write(folder / "net.onnx", **(arguments | options))


def test_weights_may_be_beside_the_model(tmp_path: Path) -> None:
    path = write_external(tmp_path / "model")
    inside = write_residual(tmp_path / "inside.onnx")
    images = make_images()
    one, two = (load_model(str(each), input=UNIT) for each in (path, inside))
    np.testing.assert_array_equal(one(images, ["block"])["block"], two(images, ["block"])["block"])
    moved = tmp_path / "elsewhere"
    path.parent.rename(moved)
    again = load_model(str(moved / "net.onnx"), input=UNIT)
    assert again.spec.fingerprint == one.spec.fingerprint
    file = moved / "weights.bin"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert load_model(str(moved / "net.onnx"), input=UNIT).spec.fingerprint != one.spec.fingerprint


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", ""])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    path = write_external(tmp_path / "model")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        (entry,) = [entry for entry in tensor.external_data if entry.key == "location"]
        entry.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside its own folder. featx reads only files beside"):
        load_model(str(path), input=UNIT)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_links_to_elsewhere_are_refused(tmp_path: Path) -> None:
    path = write_external(tmp_path / "model")
    (path.parent / "weights.bin").rename(tmp_path / "secret.bin")
    (path.parent / "weights.bin").symlink_to("../secret.bin")
    with pytest.raises(ModelError, match="outside its own folder"):
        load_model(str(path), input=UNIT)


def test_weights_hidden_in_a_branch_are_found(tmp_path: Path) -> None:
    """Tensors may be in attributes, and in graphs in attributes of nodes in functions."""
    secret = numpy_helper.from_array(weights(2), "secret")
    secret.data_location = TensorProto.EXTERNAL
    secret.ClearField("raw_data")
    secret.external_data.add(key="location", value="../secret.bin")
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    constant = helper.make_node("Constant", [], ["hidden"], value=secret)
    result = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [2])
    branch = helper.make_graph([constant], "branch", [], [result])
    choice = helper.make_node("If", ["flag"], ["chosen"], then_branch=branch, else_branch=branch)
    network = Network(("N", 3, SIZE, SIZE))
    network.residual()
    network.store("flag", np.array(True))
    network.nodes.append(choice)
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "net.onnx"
    path.write_bytes(network.model().SerializeToString())
    with pytest.raises(ModelError, match="takes weights from '../secret.bin'"):
        load_model(str(path), input=UNIT)
    function = helper.make_function(
        "shop", "Hide", ["x"], ["hidden"], [constant], [helper.make_opsetid("", 17)]
    )
    model = onnx.load(write_residual(tmp_path / "other.onnx"))
    model.functions.append(function)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="takes weights from '../secret.bin'"):
        load_model(str(path), input=UNIT)


def test_what_branches_take_from_outside_depends_on_the_images(tmp_path: Path) -> None:
    """PyTorch exports a choice as If, whose branches read the pictures and have no inputs."""
    network = Network(("N", 3, SIZE, SIZE))
    network.store("flag", np.array(True))
    shape = ["N", 3, SIZE, SIZE]
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, shape)
    branches = [
        helper.make_graph([helper.make_node(kind, ["images"], ["chosen"])], kind, [], [value])
        for kind in ("Sigmoid", "Relu")
    ]
    network.nodes.append(
        helper.make_node("If", ["flag"], ["y"], then_branch=branches[0], else_branch=branches[1])
    )
    network.add("GlobalAveragePool", "y", "average")
    network.give("average", *shape)
    path = network.write(tmp_path / "net.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    backbone = load_model(str(path), input=UNIT)
    (found,) = backbone(pictures, ["average"]).values()
    expected = (1 / (1 + np.exp(-(pictures / 255)))).mean((1, 2))
    np.testing.assert_allclose(found.reshape(2, 3), expected, atol=1e-5)


def test_weights_that_are_missing_or_cut_off(tmp_path: Path) -> None:
    path = write_external(tmp_path / "model")
    file = path.parent / "weights.bin"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ModelError, match=r"is damaged, or 'weights.bin' is: it takes"):
        load_model(str(path), input=UNIT)
    file.unlink()
    with pytest.raises(ModelError, match="which is not there. Put that file beside the model"):
        load_model(str(path), input=UNIT)


def test_a_tensor_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.residual()
    model = network.model()
    model.graph.initializer[0].dims[0] = 1 << 40
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="a tensor of 29,686,813,949,952 values is stored in"):
        load_model(str(path), input=UNIT)


def test_a_graph_that_asks_for_too_much_is_refused(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.residual()
    network.store("repeats", np.array([1, 1 << 20, 1 << 10, 1]))
    network.add("Tile", "block repeats", "huge")
    network.give("huge", "N", "a", "b", "c")
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="cannot be run on 16 x 16 images: it has a tensor of"):
        load_model(str(path), input=UNIT)


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
@pytest.mark.parametrize("is_free", [False, True])
def test_constants_that_nothing_stores_have_a_limit(
    tmp_path: Path, operator: str, is_free: bool
) -> None:
    """OpenVINO computes them before the first image: gigabytes from a file of a kilobyte."""
    network = Network(("N", 3, SIZE, SIZE))
    network.store("one", np.ones((1, 1, 1, 1), np.float32))
    network.store("sizes", np.array([1, 3, 16_000, 8_000]))
    sizes = "sizes"
    if is_free:  # As many as there are images.
        network.store("first", np.array([0]))
        network.store("rest", np.array([3, 8_000, 4_000]))
        network.add("Shape", "images", "shape")
        network.add("Gather", "shape first", "count")
        network.add("Concat", "count rest", "computed", axis=0)
        sizes = "computed"
    network.add(operator, sizes if operator == "ConstantOfShape" else f"one {sizes}", "large")
    network.add("GlobalAveragePool", "large", "small")
    network.add("Add", "images small", "sum")
    network.give("sum", "N", 3, SIZE, SIZE)
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="cannot be run on 16 x 16 images: it has a tensor of the"):
        load_model(str(path), input=UNIT)


# ---- files that are something else ----


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(ModelError, match="There is no ONNX file"):
        load_model(f"onnx:{path}")
    for text, reason in [(b"", "it is empty"), (b"\x08\x08", "it has no operations")]:
        path.write_bytes(text)
        with pytest.raises(ModelError, match=f"is not an ONNX model: {reason}"):
            load_model(str(path))


def test_graphs_in_graphs_have_an_end(tmp_path: Path) -> None:
    def message(number: int, content: bytes) -> bytes:
        size, length = b"", len(content)
        while length > 127:
            size += bytes([length & 127 | 128])
            length >>= 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + content

    graph = b""
    for _ in range(MAX_DEPTH + 2):
        graph = message(1, message(5, message(6, graph)))  # Node, attribute, graph.
    path = tmp_path / "net.onnx"
    path.write_bytes(message(7, graph))
    with pytest.raises(ModelError, match=f"nests more than {MAX_DEPTH} graphs"):
        load_model(str(path))


@pytest.mark.parametrize(
    ("operator", "inputs", "domain"),
    [
        ("Conv", "images", ""),
        ("Conv", "", ""),
        ("Pad", "images", ""),
        ("Max", "", ""),
        ("GlobalAveragePool", "", ""),
        ("FusedConv", "images", "com.microsoft"),
        ("Attention", "images images", "com.microsoft"),
        ("DetectionOutput", "images images", "org.openvinotoolkit"),
    ],
)
@pytest.mark.parametrize("where", ["graph", "branch"])
def test_operations_with_too_few_inputs_do_not_end_the_process(
    tmp_path: Path, operator: str, inputs: str, domain: str, where: str
) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    node = helper.make_node(operator, inputs.split(), ["result"], domain=domain)
    if where == "branch":
        value = helper.make_empty_tensor_value_info("result")
        branch = helper.make_graph([node], "branch", [], [value])
        network.store("yes", np.array(True))
        node = helper.make_node("If", ["yes"], ["result"], then_branch=branch, else_branch=branch)
    network.nodes.append(node)
    network.give("result", "N", "a", "b", "c")
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=f"an operation {operator} has too few inputs"):
        load_model(str(path), input=UNIT)


@pytest.mark.parametrize("kind", ["cycle", "duplicate inputs", "no such tensor", "endless loop"])
def test_graphs_that_make_no_sense_are_one_line(tmp_path: Path, kind: str) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    if kind == "cycle":
        network.add("Add", "images second", "first")
        network.add("Relu", "first", "second")
    elif kind == "duplicate inputs":
        network.inputs *= 2
        network.add("Relu", "images", "second")
    elif kind == "no such tensor":
        network.add("Add", "images nowhere", "second")
    else:
        body = helper.make_graph([], "body", [], [])
        network.store("times", np.array(1 << 62))
        network.store("yes", np.array(True))
        network.add("Loop", "times yes images", "second", body=body)
    network.give("second", "N", 3, SIZE, SIZE)
    path = network.write(tmp_path / "net.onnx")
    with pytest.raises(ModelError) as error:
        load_model(str(path), input=UNIT)
    assert "\n" not in str(error.value)


def test_claims_that_readers_would_try_are_refused(tmp_path: Path) -> None:
    network = Network(("N", 3, SIZE, SIZE))
    network.residual()
    model = network.model()
    model.opset_import[0].version = 10**15
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="needs version 1000000000000000 of a set of operators"):
        load_model(str(path), input=UNIT)
    model = network.model()
    model.graph.initializer[0].dims[:] = [1] * 1000
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="a tensor has more than 64 axes"):
        load_model(str(path), input=UNIT)


def test_a_file_of_too_many_operations_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_OPERATIONS == 100_000
    monkeypatch.setattr(onnx_format, "MAX_OPERATIONS", 1000)
    relu = helper.make_node("Relu", ["images"], ["result"]).SerializeToString()
    field = b"\x0a" + bytes([len(relu)]) + relu
    graph = field * 1001
    size, rest = b"", len(graph)
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x3a" + size + bytes([rest]) + graph)
    with pytest.raises(ModelError, match="more than 1,000 operations"):
        load_model(str(path), input=UNIT)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_residual(tmp_path_factory.mktemp("model") / "net.onnx").read_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(content: bytes, tmp_path: Path, data: Any) -> None:
    damaged = bytearray(content)
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        damaged[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "net.onnx"
    path.write_bytes(damaged[: data.draw(st.integers(1, len(content)))])
    with contextlib.suppress(ModelError):
        read_onnx_file(path)


@settings(max_examples=25, deadline=None)
@given(position=st.integers(0, 3000), value=st.integers(0, 255))
def test_damaged_files_load_or_fail_in_one_line(content: bytes, position: int, value: int) -> None:
    damaged = bytearray(content)
    damaged[position % len(damaged)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(damaged)
        message = ""
        try:
            load_model(str(path), input=UNIT)
        except (ModelError, InvalidValue) as error:
            message = str(error)
        assert "\n" not in message


# ---- use ----


@pytest.mark.parametrize("name", ["net.onnx", "NET.ONNX", "a,b.onnx"])
def test_bare_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"")
    assert parse_reference(name) == ("onnx", name, {})
    assert parse_reference(f"onnx:{name}") == ("onnx", name, {})


def test_it_is_remembered_until_a_file_changes(tmp_path: Path) -> None:
    path = write_external(tmp_path / "model")
    first_time = load_model(str(path), input=UNIT)
    second = load_model(str(path), input=UNIT)
    assert isinstance(second, RememberedBackbone)
    assert not second.is_loaded
    assert second.run_facts == first_time.run_facts == {}
    assert second.features() == first_time.features()
    (path.parent / "weights.bin").touch()
    assert not isinstance(load_model(str(path), input=UNIT), RememberedBackbone)


def test_its_classifier(tmp_path: Path) -> None:
    path = write_residual(tmp_path / "net.onnx")
    backbone: Backbone = load_classifier(str(path), input=UNIT)
    photos = write_images(3, tmp_path / "photos", size=(SIZE, SIZE))
    report = featx.predict(photos, model=str(path), preprocess="unit", top=5)
    images = np.stack([np.asarray(_pixels(photos / f"image_{n}.png")) for n in range(3)])
    expected = backbone(images, ["classes"])["classes"]
    for prediction, row in zip(report.predictions, expected, strict=True):
        assert prediction.classes[0] == str(row.argmax())
        assert prediction.probabilities[0] == pytest.approx(row.max(), abs=1e-4)


def _pixels(path: Path) -> Any:
    from PIL import Image

    return Image.open(path).convert("RGB")


def test_extract_and_search_do_without_tensorflow(tmp_path: Path) -> None:
    write_residual(tmp_path / "net.onnx", (1, 3, SIZE, SIZE))
    write_images(12, tmp_path / "photos", classes=("dark", "light"))
    code = (
        "import json, sys, featx\n"
        "report = featx.extract('photos', model='net.onnx', preprocess='unit', layers=['block'], "
        "pool='avg', output='f.h5')\n"
        "featx.fit_head('f.h5', output='head')\n"
        "featx.predict('photos', head='head')\n"
        "found = featx.search('photos/dark/image_0.png', features='f.h5', k=1).results\n"
        "with featx.open_store('f.h5') as store:\n"
        "    run = store.header.runs[0]\n"
        "loaded = sorted({'tensorflow', 'keras', 'onnx', 'onnxruntime'} & set(sys.modules))\n"
        "print(json.dumps([report.done, found[0].matches[0].key, loaded, run]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(featx.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, key, loaded, run = json.loads(done.stdout)
    assert (count, key, loaded) == (12, "dark/image_0.png", [])
    assert run["engine"] == "openvino"
    assert "tensorflow" not in run


def test_types_are_named_as_the_model_has_them(tmp_path: Path) -> None:
    net = Network(["N", 3, SIZE, SIZE])
    net.add("Cast", "images", "half", to=TensorProto.BFLOAT16)
    net.add("Cast", "half", "full", to=TensorProto.FLOAT)
    net.add("ReduceMean", "full", "mean", axes=[2, 3], keepdims=0)
    net.give("mean", "N", 3)
    layers = load_model(str(net.write(tmp_path / "net.onnx"))).features()
    types = {layer.name: layer.dtype for layer in layers}
    assert types == {"half": "bfloat16", "full": "float32", "mean": "float32"}
