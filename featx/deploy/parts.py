"""What an exported model is put together from: preparation, network, head."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featx.deploy.head_layers import add_head
from featx.deploy.keras_model import find_layer, take_network
from featx.deploy.pixels import prepare, scale, to_channels
from featx.deploy.pooling import add_pooling
from featx.engines.graph import ONNX, TENSORFLOW, NetworkGraph
from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.heads.head import Head
from featx.input_spec import InputSpec
from featx.models.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Parts:
    """A head and its network, ready to be traced by TensorFlow.

    Attributes:
        head: The head.
        contract: How pictures are prepared.
        network: From scaled pixels, float32 (B, H, W, C), to vectors (B, D).
        top: From vectors to what the head predicts, a Keras model.
        variables: TensorFlow's variables in both.
        not_keras: Why the network is not made of layers of Keras; empty if it is.
    """

    head: Head
    contract: InputSpec
    network: Callable[[Any], Any]
    top: Any
    variables: tuple[Any, ...]
    not_keras: str

    def __call__(self, images: Any) -> Any:
        """Predict of pictures of any size: uint8 (B, h, w, 3) to (B, K)."""
        return self.top(self.network(prepare(images, self.contract)))

    def of_fitted(self, pixels: Any) -> Any:
        """Predict of pixels as the network takes them, unscaled: float32 (B, H, W, C) to (B, K)."""
        return self.top(self.network(scale(pixels, self.contract)))

    def of_prepared(self, images: Any) -> Any:
        """Predict of pictures that have the network's size: uint8 (B, H, W, 3) to (B, K)."""
        return self.top(self.network(scale_prepared(images, self.contract)))


def scale_prepared(images: Any, contract: InputSpec) -> Any:
    """Scale pictures that have a network's size: uint8 (B, H, W, 3) to float32 (B, H, W, C)."""
    from keras import ops

    return scale(to_channels(ops.cast(images, "float32"), contract.channels), contract)


def make_top(head: Head) -> Any:
    """Return a head as a Keras model, from vectors (B, D) to what it predicts.

    Raises:
        HeadError: If it has operations of an add-on.
    """
    import keras

    vectors = keras.Input((math.prod(head.feature.shape),), name="vectors")
    return keras.Model(vectors, add_head(vectors, head.operations), name="head")


def take_onnx(head: Head, backbone: Backbone) -> NetworkGraph | None:
    """Return the network below a head if it is a file of ONNX, which is left as it is."""
    if backbone.spec.source != ONNX:
        return None
    return backbone.freeze([head.feature.name])


def take_parts(head: Head, backbone: Backbone) -> Parts:
    """Return the parts of a head and its model; call it in `build_apart`.

    Raises:
        ModelError: If there is no graph of the network that TensorFlow takes.
        HeadError: If the head or its pooling has operations of an add-on.
    """
    top = make_top(head)
    contract, reason, variables = backbone.spec.input, "", list(top.variables)
    try:
        network = take_network(backbone, head.feature)
        variables += network.variables
    except ModelError as error:
        reason, network = str(error), _take_graph(head, backbone)
    values = tuple(variable.value for variable in variables)
    return Parts(head, contract, network, top, values, reason)


def _take_graph(head: Head, backbone: Backbone) -> Callable[[Any], Any]:
    """Return a network that is no Keras model as a function of TensorFlow's tensors."""
    name = head.feature.name
    graph = backbone.freeze([name])
    if graph is None or graph.form != TENSORFLOW or not isinstance(graph.content, bytes):
        form = "no graph" if graph is None else f"a graph of the form {graph.form!r}"
        raise ModelError(
            f"{backbone.spec.reference!r} is {form}, which TensorFlow does not take: a head on it "
            "cannot be exported."
        )
    layer = find_layer(backbone, name)
    return _GraphNetwork(graph, name, head.feature.pool, layer.shape)


class _GraphNetwork:
    """A graph without variables, called on tensors."""

    def __init__(
        self, graph: NetworkGraph, name: str, pool: str, shape: tuple[int | None, ...]
    ) -> None:
        assert isinstance(graph.content, bytes)
        tensorflow = import_tensorflow()
        self._graph_def = tensorflow.compat.v1.GraphDef.FromString(graph.content)
        self._graph, self._output = graph, graph.outputs[name]
        self._pool, self._shape = pool, shape
        (images,) = [node for node in self._graph_def.node if node.name == graph.input]
        self._dtype = images.attr["dtype"].type
        # Both signatures call one function, so that constants are stored once.
        self._function = tensorflow.function(self._import, autograph=False)

    def __call__(self, pixels: Any) -> Any:
        return self._function(pixels)

    def _import(self, pixels: Any) -> Any:
        tensorflow = import_tensorflow()
        if self._graph.input_layout == "channels_first":
            pixels = tensorflow.transpose(pixels, (0, 3, 1, 2))
        (values,) = tensorflow.graph_util.import_graph_def(
            self._graph_def,
            input_map={f"{self._graph.input}:0": tensorflow.cast(pixels, self._dtype)},
            return_elements=[f"{self._output.name}:0"],
            name="network",
        )
        values = tensorflow.cast(values, tensorflow.float32)
        if self._output.layout == "channels_first":
            values = tensorflow.transpose(values, (0, 2, 3, 1))
        return add_pooling(tensorflow.ensure_shape(values, (None, *self._shape)), self._pool)
