"""Small models of every source."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.options import InputOptions
from featx.testing.contracts.models import ModelCase
from tests.models.onnx_files import write_residual

SIZE = 16
TENSOR = "block1/Relu"
"""The activation of `build_graph`, (8, 8, 4)."""


UNIT = InputOptions(preprocess="unit")


def kernel() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32)


def build_graph(images: Any, weights: Any) -> tuple[Any, Any]:
    """Two layers in plain TensorFlow: a map of 8 x 8 x 4, and its average."""
    tf = import_tensorflow()
    maps = tf.nn.relu(tf.nn.conv2d(images, weights, 2, "SAME", name="block1/conv"), name=TENSOR)
    return maps, tf.reduce_mean(maps, [1, 2], name="pool")


def build_keras(keras: Any) -> Any:
    images = keras.Input((SIZE, SIZE, 3), name="images")
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(images)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(images, keras.layers.Dense(3, name="classes")(x), name="net")


def write_tf1_module(folder: Path, *, size: int | None = SIZE) -> Path:
    """Write what hub.Module took: no tags, the signatures default and image_feature_vector."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, size, size, 3], name="images")
        weights = v1.get_variable("kernel", initializer=kernel())
        maps, vector = build_graph(images, weights)
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info

        def signature(**outputs: Any) -> Any:
            return v1.saved_model.signature_def_utils.build_signature_def(
                {"images": info(images)},
                {name.replace("__", "/"): info(tensor) for name, tensor in outputs.items()},
            )

        builder = v1.saved_model.Builder(str(folder))
        signatures = {
            "default": signature(default=vector),
            "image_feature_vector": signature(default=vector, net__block1=maps),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            builder.add_meta_graph_and_variables(session, [], signature_def_map=signatures)
            builder.add_meta_graph(["train"], signature_def_map=signatures)
            builder.save()
    return folder


def write_tf2_module(
    folder: Path, *, with_endpoints: bool = True, size: int | None = SIZE, dtype: Any = None
) -> Path:
    """Write a module that is called, as slim exports them: training and return_endpoints."""
    tf = import_tensorflow()

    class Module(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.kernel = tf.Variable(kernel())

    class WithEndpoints(Module):
        @tf.function
        def __call__(
            self, images: Any, training: Any = False, return_endpoints: Any = False
        ) -> Any:
            maps, vector = build_graph(tf.cast(images, tf.float32), self.kernel)
            return {"net/block1": maps, "default": vector} if return_endpoints else vector

    class Plain(Module):
        @tf.function
        def __call__(self, images: Any) -> Any:
            return build_graph(tf.cast(images, tf.float32), self.kernel)[1]

    module = WithEndpoints() if with_endpoints else Plain()
    spec = tf.TensorSpec([None, size, size, 3], dtype or tf.float32)
    if with_endpoints:
        for training in (False, True):
            for endpoints in (False, True):
                module.__call__.get_concrete_function(
                    spec, training=training, return_endpoints=endpoints
                )
    else:
        module.__call__.get_concrete_function(spec)
    tf.saved_model.save(module, str(folder))
    return folder


def write_graph(path: Path, *, batch: int | None = None) -> Path:
    """Write a frozen graph, as TensorFlow 1's freeze_graph did."""
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [batch, SIZE, SIZE, 3], name="input")
        build_graph(images, tf.constant(kernel()))
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def _keras_file(folder: Path, suffix: str) -> ModelCase:
    import keras

    keras.utils.set_random_seed(0)
    path = folder / f"net{suffix}"
    build_keras(keras).save(path)
    return ModelCase(str(path), ("relu", "classes"), path, UNIT)


def _legacy(folder: Path) -> ModelCase:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf_keras = pytest.importorskip("tf_keras")
        path = folder / "legacy.h5"
        # Keras 3 refuses the depthwise convolutions of Keras 2: they were saved with 'groups'.
        build_keras(tf_keras).save(path)
    return ModelCase(str(path), ("relu", "classes"), path, UNIT)


def _saved_model(folder: Path) -> ModelCase:
    import keras

    keras.utils.set_random_seed(0)
    path = folder / "exported"
    build_keras(keras).export(path, verbose=False)
    return ModelCase(str(path), ("relu_1/Relu", "output_0"), path, UNIT)


def _hub(folder: Path, write: Callable[[Path], Path], *layers: str) -> ModelCase:
    path = write(folder / "module")
    return ModelCase(f"hub:{path}", layers, path)


def _graph(folder: Path) -> ModelCase:
    path = write_graph(folder / "graph.pb")
    return ModelCase(str(path), (TENSOR, "pool"), path, UNIT)


def _onnx(folder: Path) -> ModelCase:
    path = write_residual(folder / "net.onnx", ("N", 3, SIZE, SIZE))
    return ModelCase(str(path), ("block", "classes"), path, UNIT)


SOURCES: dict[str, Callable[[Path], ModelCase]] = {
    "builtin": lambda _: ModelCase("builtin:mini", ("block1_pool", "block2_pool")),
    "keras": lambda _: ModelCase(
        "keras:MobileNet,alpha=0.25",
        ("conv1_relu", "conv_pw_13_relu"),
        input=InputOptions(img_size=(32, 32)),
        weights="random",
    ),
    ".keras": lambda folder: _keras_file(folder, ".keras"),
    ".h5": lambda folder: _keras_file(folder, ".h5"),
    "legacy .h5": _legacy,
    "savedmodel": _saved_model,
    "hub, TF1": lambda folder: _hub(
        folder, write_tf1_module, "default", "image_feature_vector/net/block1"
    ),
    "hub, TF2": lambda folder: _hub(folder, write_tf2_module, "net/block1", "default"),
    "graphdef": _graph,
    "onnx": _onnx,
}
"""What makes a small model of every source in a folder."""
