"""Small models of each format, and changing the files that they consist of."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow

SIZE = 8
DEEPEST = 8
"""Most functions, or models, within each other."""

GRAPH, SAVED, TABLE = "net.pb", "saved", "table"
KERAS, H5, ONNX = "net.keras", "net.h5", "net.onnx"
WORDS = "words.txt"
"""The asset of `TABLE`, a SavedModel that fills a table from it."""


def make_originals(folder: Path) -> None:
    """Write a small network in every format."""
    tf = import_tensorflow()
    import keras

    folder.mkdir(parents=True)
    layers = keras.layers
    block = keras.Sequential([layers.Input((SIZE, SIZE, 4)), layers.ReLU()], name="block")
    stack = [layers.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3, padding="same"), block]
    network = keras.Sequential([*stack, layers.GlobalAveragePooling2D()])
    network.save(folder / KERAS)
    network.save(folder / H5)
    write_graphs(folder, lambda x: tf.nn.relu(x))
    _write_table(folder)
    write_onnx(folder / ONNX, lambda helper: [helper.make_node("Mul", ["x", "scale"], ["y"])])


def write_graphs(folder: Path, compute: Callable[[Any], Any]) -> None:
    """Write what a function computes of pictures as a SavedModel and as a graph."""
    tf = import_tensorflow()
    spec = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
    module = tf.Module()
    module.run = tf.function(lambda x: {"out": compute(x)}, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder / SAVED), signatures=module.run)
    graph = module.run.get_concrete_function().graph.as_graph_def()
    (folder / GRAPH).write_bytes(graph.SerializeToString())


def _write_table(folder: Path) -> None:
    tf = import_tensorflow()
    (folder / WORDS).write_text("a\nb\n")
    column = tf.lookup.TextFileIndex
    initializer = tf.lookup.TextFileInitializer(
        str(folder / WORDS), tf.string, column.WHOLE_LINE, tf.int64, column.LINE_NUMBER
    )
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(initializer, -1)

    def run(images: Any) -> dict[str, Any]:
        found = module.table.lookup(tf.constant(["a", "b"]))
        return {"out": tf.nn.relu(images), "numbers": found}

    spec = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
    module.run = tf.function(run, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder / TABLE), signatures=module.run)
    (folder / WORDS).unlink()


def write_onnx(path: Path, make_nodes: Callable[[Any], list[Any]], functions: Any = ()) -> None:
    """Write a network from ``x``, with a constant ``scale`` and a ``flag``, to ``y``."""
    from onnx import TensorProto, helper, save_model

    shape = ["N", 3, SIZE, SIZE]
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [1], [2.0]),
        helper.make_tensor("flag", TensorProto.BOOL, [], [True]),
    ]
    made = helper.make_graph(make_nodes(helper), "net", [images], [result], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("other", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8, functions=functions)
    save_model(model, path)


def read_saved_model(folder: Path) -> Any:
    """Return the message of a SavedModel."""
    import_tensorflow()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def read_members(path: Path) -> dict[str, bytes]:
    """Return what a zip file holds."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack_members(path: Path, members: dict[str, bytes]) -> None:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
