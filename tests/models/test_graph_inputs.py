"""Inputs of TensorFlow 1 graphs: chosen by name, and channels that they leave open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.errors import InvalidValue, ModelError, UnknownName
from featx.models import load_model
from featx.models.loading import restore_model
from featx.options import InputOptions

pytestmark = pytest.mark.tensorflow

RAW = InputOptions(preprocess="raw")
SIZED = InputOptions(preprocess="raw", img_size=(8, 8))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32)


def write_model(
    folder: Path, add: Callable[[Any, Any], None] = lambda tf, maps: None, inputs: int = 1
) -> dict[str, np.ndarray]:
    """Write a SavedModel without signatures, as training programs of TensorFlow 1 did.

    Returns:
        What its session computed of `PIXELS`.
    """
    tf = import_tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        labels = v1.placeholder(tf.float32, [None, 4], name="labels") if inputs > 1 else None
        weights = v1.get_variable("kernel", initializer=KERNEL)
        maps = tf.nn.relu(tf.nn.conv2d(images, weights, 2, "SAME"), name="maps")
        vector = tf.reduce_mean(maps, [1, 2], name="vector")
        if labels is not None:
            tf.reduce_mean((vector - labels) ** 2, name="loss")
        add(tf, vector)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
        return {name: session.run(f"{name}:0", {"images:0": PIXELS}) for name in ("maps", "vector")}


def test_a_savedmodel_without_signatures_is_taken_from_its_input_on(tmp_path: Path) -> None:
    expected = write_model(tmp_path / "net", inputs=2)
    with pytest.raises(ModelError, match=r"2 inputs.*images and labels.*savedmodel:net,input=NAME"):
        load_model(str(tmp_path / "net"), input=RAW)
    backbone = load_model(f"{tmp_path / 'net'},input=images", input=RAW)
    assert [layer.name for layer in backbone.features()][-1] == "vector"
    for name, values in backbone(PIXELS, ["maps", "vector"]).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-4)
    assert backbone.freeze(["vector"]) is not None
    assert restore_model(backbone.spec).spec.fingerprint == backbone.spec.fingerprint
    with pytest.raises(UnknownName, match="operation of net.*'image'.*images"):
        load_model(f"{tmp_path / 'net'},input=image", input=RAW)
    with pytest.raises(InvalidValue, match="Leave one out"):
        load_model(f"{tmp_path / 'net'},input=images,signature=a", input=RAW)


def test_the_only_input_needs_no_name(tmp_path: Path) -> None:
    expected = write_model(tmp_path / "net")
    backbone = load_model(str(tmp_path / "net"), input=RAW)
    received = backbone(PIXELS, ["vector"])["vector"]
    np.testing.assert_allclose(received, expected["vector"], rtol=1e-5, atol=1e-4)


def test_what_no_signature_runs_is_judged_when_an_input_is_named(tmp_path: Path) -> None:
    def read_file(tf: Any, vector: Any) -> None:
        other = tf.raw_ops.RestoreV2(
            prefix="/home/somebody/net", tensor_names=["w"], shape_and_slices=[""],
            dtypes=[tf.float32],
        )  # fmt: skip
        tf.add(vector, other[0], name="stolen")

    write_model(tmp_path / "net", read_file)
    with pytest.raises(ModelError, match="RestoreV2.*trust_model_code=True"):
        load_model(f"{tmp_path / 'net'},input=images", input=RAW)


def test_functions_have_no_input_to_choose(tmp_path: Path) -> None:
    tf = import_tensorflow()
    tf.saved_model.save(tf.Module(), str(tmp_path / "net"))
    with pytest.raises(ModelError, match=r"TensorFlow 2.*no input to choose"):
        load_model(f"savedmodel:{tmp_path / 'net'},input=images")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(None, 8, 8, None), (None, None, None, None), None])
def test_open_channels_are_those_of_the_first_kernel(
    tmp_path: Path, shape: tuple[int | None, ...] | None, channels: int
) -> None:
    tf = import_tensorflow()
    kernel = np.random.default_rng(2).normal(size=(3, 3, channels, 4)).astype(np.float32)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 8, 8, channels), dtype=np.uint8)

    def run(images: Any) -> Any:
        padded = tf.pad(images * 0.5, [[0, 0], [1, 1], [1, 1], [0, 0]])
        weights = tf.identity(tf.constant(kernel))
        return tf.reduce_mean(tf.nn.conv2d(padded, weights, 1, "VALID"), [1, 2], name="vector")

    with tf.Graph().as_default() as graph:
        run(tf.compat.v1.placeholder(tf.float32, shape, name="images"))
    path = tmp_path / "net.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    backbone = load_model(str(path), input=SIZED)
    assert backbone.spec.input.channels == channels
    np.testing.assert_allclose(
        backbone(pixels, ["vector"])["vector"], run(tf.constant(pixels, tf.float32)), rtol=1e-4
    )


def test_open_channels_before_a_kernel_of_channels_first(tmp_path: Path) -> None:
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, None, 8, 8], name="images")
        tf.nn.relu(tf.nn.conv2d(images, KERNEL, 1, "SAME", "NCHW"), name="maps")
    (tmp_path / "net.pb").write_bytes(graph.as_graph_def().SerializeToString())
    backbone = load_model(str(tmp_path / "net.pb"), input=RAW)
    assert (backbone.spec.input.channels, backbone.features()[-1].shape) == (3, (8, 8, 4))


def test_open_channels_without_a_kernel_are_asked_for(tmp_path: Path) -> None:
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, None], name="images")
        tf.reduce_mean(tf.transpose(images, [0, 3, 1, 2]), [2, 3], name="vector")
    (tmp_path / "net.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match="a known number of channels"):
        load_model(str(tmp_path / "net.pb"), input=RAW)
