"""Small ONNX models, and what onnxruntime computes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = 16


def weights(*shape: int, seed: int = 0, scale: float = 0.3) -> np.ndarray:
    random = np.random.default_rng([seed, *shape])
    return (scale * random.normal(size=shape)).astype(np.float32)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


class Network:
    """A graph under construction, with one input ``images``."""

    def __init__(self, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> None:
        self.inputs = [helper.make_tensor_value_info("images", dtype, shape)]
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.outputs: list[Any] = []

    def add(self, kind: str, inputs: str, outputs: str, **attributes: Any) -> None:
        self.nodes.append(node(kind, inputs, outputs, **attributes))

    def store(self, name: str, values: Any) -> None:
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))

    def give(self, name: str, *shape: int | str) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def model(self) -> Any:
        graph = helper.make_graph(
            self.nodes, "net", self.inputs, self.outputs, initializer=self.initializers
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("shop", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def write(self, path: Path, **options: Any) -> Path:
        onnx.save_model(self.model(), path, **options)
        return path

    def residual(self, source: str = "images") -> None:
        """Convolution, normalisation, a residual block and a classifier, as PyTorch exports them.

        Tensors: conv, norm, relu, pool, conv2, sum, block, average, vector, logits, classes.
        """
        self.store("w1", weights(8, 3, 3, 3))
        self.store("b1", weights(8))
        for number, name in enumerate(("gamma", "beta", "mean", "variance")):
            values = weights(8, seed=number + 1)
            self.store(name, np.abs(values) + 0.5 if name in ("gamma", "variance") else values)
        self.store("w2", weights(8, 8, 3, 3))
        self.store("w3", weights(5, 8))
        self.store("b3", weights(5))
        self.add("Conv", f"{source} w1 b1", "conv", pads=[1, 1, 1, 1], strides=[2, 2])
        self.add("BatchNormalization", "conv gamma beta mean variance", "norm")
        self.add("Relu", "norm", "relu")
        self.add("MaxPool", "relu", "pool", kernel_shape=[2, 2], strides=[2, 2])
        self.add("Conv", "pool w2", "conv2", pads=[1, 1, 1, 1])
        self.add("Add", "conv2 pool", "sum")
        self.add("Relu", "sum", "block")
        self.add("GlobalAveragePool", "block", "average")
        self.add("Flatten", "average", "vector")
        self.add("Gemm", "vector w3 b3", "logits", transB=1)
        self.add("Softmax", "logits", "classes", axis=1)
        self.give("classes", "N", 5)


RESIDUAL = ("conv", "relu", "pool", "sum", "block", "average", "vector", "logits", "classes")
"""Tensors of `Network.residual`."""


def write_residual(path: Path, shape: Sequence[int | str] = ("N", 3, SIZE, SIZE)) -> Path:
    """Write a network of channels first."""
    network = Network(shape)
    network.residual()
    return network.write(path)


def write_channels_last(path: Path) -> Path:
    """Write a network of channels last, as TensorFlow's exporters do: turned around the middle."""
    network = Network(("N", SIZE, SIZE, 3))
    network.store("w", weights(6, 3, 3, 3))
    network.add("Transpose", "images", "turned", perm=[0, 3, 1, 2])
    network.add("Conv", "turned w", "conv", pads=[1, 1, 1, 1], strides=[2, 2])
    network.add("Relu", "conv", "relu")
    network.add("Transpose", "relu", "back", perm=[0, 2, 3, 1])
    network.add("ReduceMean", "back", "mean", axes=[1, 2], keepdims=0)
    network.give("mean", "N", 6)
    return network.write(path)


def write_baked(path: Path, batch: int, kind: str = "token") -> Path:
    """Write a network whose batch size is inside it, too.

    Args:
        path: The file.
        batch: That size.
        kind: ``reshape``: in the shape of rows, which OpenVINO corrects; ``token``: in a constant
            that is put before the rows of each image, as class tokens are.
    """
    network = Network((batch, 3, SIZE, SIZE))
    network.store("w", weights(4, 3, 3, 3))
    network.store("dense", weights(SIZE * SIZE, 5))
    network.add("Conv", "images w", "conv", pads=[1, 1, 1, 1], strides=[2, 2])
    network.add("Relu", "conv", "relu")
    network.store("shape", np.array([batch, -1]))
    network.add("Reshape", "relu shape", "rows")
    network.add("MatMul", "rows dense", "dense_rows")
    if kind == "token":
        network.store("token", weights(batch, 1))
        network.add("Concat", "token dense_rows", "logits", axis=1)
    else:
        network.add("Identity", "dense_rows", "logits")
    network.give("logits", batch, 6 if kind == "token" else 5)
    return network.write(path)


def write_scaled(path: Path, factor: Any, offset: Any) -> Path:
    """Write a network that begins with ``factor * images + offset``."""
    network = Network(("N", 3, SIZE, SIZE))
    network.store("factor", np.asarray(factor, np.float32).reshape(1, -1, 1, 1))
    network.store("offset", np.asarray(offset, np.float32).reshape(1, -1, 1, 1))
    network.add("Mul", "images factor", "multiplied")
    network.add("Add", "multiplied offset", "scaled")
    network.residual("scaled")
    return network.write(path)


def run_onnxruntime(path: Path, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return tensors as onnxruntime computes them, for images in the model's own layout."""
    model = onnx.load(path)
    given = {output.name for output in model.graph.output}
    for name in names:
        if name not in given:
            model.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(list(names), {"images": images}), strict=True))
