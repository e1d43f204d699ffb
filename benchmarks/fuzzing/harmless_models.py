"""Models that only compute, however they are built: whoever refuses everything fails here."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzzing.model_files import (
    DEEPEST,
    H5,
    KERAS,
    ONNX,
    SAVED,
    SIZE,
    write_graphs,
    write_onnx,
)
from featx.engines.tensorflow import import_tensorflow

Compute = Callable[[Any], Any]


def build_graph(folder: Path, draw: random.Random) -> None:
    """Write functions in functions, branches and loops, of operations that compute."""
    shutil.rmtree(folder / SAVED)
    write_graphs(folder, _draw_function(import_tensorflow(), draw))


def build_second_graph(folder: Path, draw: random.Random) -> None:
    """Write a SavedModel of TensorFlow 1 with a second MetaGraph, which somebody trains with."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    shutil.rmtree(folder / SAVED)
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="images")
        scale = v1.get_variable("scale", initializer=2.0)
        out = _draw_function(tf, draw)(images) * scale
        session.run(v1.global_variables_initializer())
        called = {
            "serving_default": v1.saved_model.predict_signature_def({"x": images}, {"out": out})
        }
        builder = v1.saved_model.Builder(str(folder / SAVED))
        builder.add_meta_graph_and_variables(session, ["serve"], called)
        builder.add_meta_graph([draw.choice(("train", "gpu", "eval"))], called)
        builder.save()


def _draw_function(tf: Any, draw: random.Random) -> Compute:
    operations: list[Compute] = [
        *(tf.nn.relu, tf.abs, tf.tanh, tf.sigmoid, tf.nn.softmax, tf.math.square, tf.identity),
        lambda x: tf.transpose(x, [0, 2, 1, 3]),
        lambda x: tf.reverse(x, [1]),
        lambda x: tf.concat([x[..., :1], x[..., 1:]], -1),
        lambda x: tf.nn.max_pool2d(x, 3, 1, "SAME"),
        lambda x: tf.clip_by_value(x, 0.0, 1.0) * 0.5 + 0.25,
        lambda x: tf.einsum("nhwc->nwhc", x),
    ]
    compute: Compute = draw.choice(operations)
    for _ in range(draw.randrange(DEEPEST)):
        compute = _wrap(tf, compute, draw.choice(operations), draw)
    return compute


def _wrap(tf: Any, inner: Compute, before: Compute, draw: random.Random) -> Compute:
    """Return a function that calls another behind an operation, in one of several ways."""
    ways: tuple[Compute, ...] = (
        tf.function(lambda x: inner(before(x)), autograph=False),
        lambda x: inner(before(x)),
        lambda x: tf.cond(tf.reduce_mean(x) > 0, lambda: inner(x), lambda: before(x)),
        lambda x: tf.ensure_shape(
            tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, inner(y)), (0, x))[1], x.shape
        ),
        lambda x: tf.switch_case(tf.constant(1), [lambda: before(x), lambda: inner(x)]),
    )
    return draw.choice(ways)


def build_keras(folder: Path, draw: random.Random) -> None:
    """Write networks in networks, of layers that compute, or are idle behind training."""
    import keras

    layers = keras.layers
    makers: list[Callable[[], Any]] = [
        lambda: layers.Conv2D(4, 3, padding="same", activation=draw.choice(("relu", "gelu", None))),
        lambda: layers.SeparableConv2D(4, 3, padding="same"),
        layers.BatchNormalization,
        layers.LayerNormalization,
        layers.MaxPooling2D,
        layers.ReLU,
        lambda: layers.Rescaling(1 / 255, offset=-0.5),
        lambda: layers.RandomFlip("horizontal"),
        lambda: layers.RandomRotation(0.1),
        lambda: layers.Dropout(0.5),
        lambda: layers.GaussianNoise(0.1),
        lambda: layers.Activation("swish"),
        lambda: layers.Conv2D(4, 1, kernel_regularizer=keras.regularizers.L2(1e-4)),
    ]
    # Scales once at most, and halves its maps three times at most: the pictures have 8 pixels.
    chosen = [draw.choice(makers)() for _ in range(draw.randint(1, 6))]
    pools = [layer for layer in chosen if isinstance(layer, layers.MaxPooling2D)][2:]
    chosen = [layer for layer in chosen if layer not in pools]
    for _ in range(draw.randrange(4)):
        first = draw.randrange(len(chosen))
        chosen[first:] = [keras.Sequential(chosen[first:])]
    network = keras.Sequential(
        [layers.Input((SIZE, SIZE, 3)), *chosen, layers.GlobalAveragePooling2D()]
    )
    network.save(folder / KERAS)
    network.save(folder / H5)


def build_onnx(folder: Path, draw: random.Random) -> None:
    """Write operators in the branches of others, in each other."""

    def nodes(helper: Any) -> list[Any]:
        return _nodes(helper, "x", "y", draw.randrange(DEEPEST), draw)

    write_onnx(folder / ONNX, nodes)


def _nodes(helper: Any, source: str, target: str, depth: int, draw: random.Random) -> list[Any]:
    from onnx import TensorProto

    if not depth:
        operator = draw.choice(("Relu", "Abs", "Tanh", "Sigmoid", "Exp", "Mul"))
        inputs = [source, "scale"] if operator == "Mul" else [source]
        return [helper.make_node(operator, inputs, [target])]
    inner = f"{target}_{depth}"
    if draw.random() < 0.5:
        before = helper.make_node("Relu", [source], [inner])
        return [before, *_nodes(helper, inner, target, depth - 1, draw)]
    branches = []
    for name in ("then", "else"):
        end = f"{inner}_{name}"
        result = helper.make_tensor_value_info(end, TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
        inside = _nodes(helper, source, end, depth - 1, draw)
        branches.append(helper.make_graph(inside, name, [], [result]))
    then, other = branches
    return [helper.make_node("If", ["flag"], [target], then_branch=then, else_branch=other)]
