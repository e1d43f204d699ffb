"""TensorFlow graphs: freezing, pruning to the layers asked for, and computing them."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from featx.engines.constant_graph import add_copies, make_network_graph, with_constants
from featx.engines.freezing import freeze_function, needs_freezing
from featx.engines.graph import Layout, NetworkGraph, NotConvertible
from featx.engines.tensorflow import CALLS_PER_GPU, import_tensorflow, list_gpus
from featx.engines.tensorflow_thread import run_apart
from featx.errors import ModelError
from featx.units import format_count
from featx.wording import option

FREEZE_LIMIT_BYTES = 128 << 20
"""Models with more weights are not frozen just for speed. Freezing takes 0.03 to 0.07 s and 10 MB
of memory for each MB of weights (VGG19: 20 to 40 s, 6 to 7 GB), and its gain, folded batch
normalisation, matters in small networks only."""


def compile_function(concrete: Any, names: tuple[str, ...]) -> CompiledLayers:
    """Compile a traced function of images that returns one tensor for each name."""
    if keeps_variables(concrete):
        return CompiledLayers(concrete, names, concrete.inputs[0].dtype)
    graph = FrozenGraph(concrete)
    return graph.prune(dict(zip(names, graph.outputs, strict=True)))


def keeps_variables(concrete: Any) -> bool:
    """Whether TensorFlow runs a traced function as it is, because freezing it takes too long.

    What only freezing makes run as in inference, or refuses, is frozen however long that takes.
    """
    if needs_freezing(concrete):
        return False
    num_bytes = sum(v.dtype.size * v.shape.num_elements() for v in concrete.variables)
    limit = FREEZE_LIMIT_BYTES
    if not any(node.type in _NORMALIZES for node in concrete.graph.get_operations()):
        limit //= 8  # There is nothing to fold.
    # Variables are on one GPU; constants are on each GPU that runs the graph.
    return bool(num_bytes > limit and len(list_gpus()) <= 1)


_NORMALIZES = ("Rsqrt", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
"""Operations of batch normalisation."""


class FrozenGraph:
    """A TensorFlow graph of one image input whose variables have become constants.

    Args:
        concrete: A concrete function of one tensor (keyword or positional).

    Attributes:
        trains: Whether it ran as in training; see `freeze_function`.

    Freezing inlines nested calls, so that every tensor inside can be taken, and lets TensorFlow
    fold batch normalisation: 1.1 to 1.5 times as fast as the same `tf.function` with variables.
    """

    trains = False

    def __init__(self, concrete: Any) -> None:
        import_tensorflow()
        function, self.trains = freeze_function(concrete)
        self._take(function)

    def _take(self, function: Any) -> None:
        self._function = function
        # Captured resources (tables) follow the real arguments in `inputs`.
        self.input = function.inputs[0]
        self.outputs: list[Any] = list(function.outputs)

    @classmethod
    def from_graph_def(
        cls,
        graph_def: Any,
        input_name: str,
        output_names: Sequence[str],
        shape: Sequence[int | None],
        dtype: Any = None,
        constants: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> FrozenGraph:
        """Import a GraphDef whose weights are constants, behind a new input of a given shape.

        Args:
            graph_def: The graph.
            input_name: The tensor that the new input replaces, such as ``input:0``.
            output_names: Tensors that become `outputs`.
            shape: Shape of the new input, from which all others are inferred again. For a graph of
                (B, H, W), that of images with one channel.
            dtype: Type of the new input; float32 when None.
            constants: Values by the names of operations whose results they replace.

        Raises:
            ValueError: If TensorFlow cannot import it, because it is damaged, has unknown
                operations, or does not fit the shape.
        """
        tensorflow = import_tensorflow()
        for node in graph_def.node:
            if "_output_shapes" in node.attr:  # Shapes for the old input.
                del node.attr["_output_shapes"]

        without_channels = len(shape) == 4 and _rank_of(graph_def, input_name) == 3

        def build(featx_images: Any) -> Any:
            images = tensorflow.squeeze(featx_images, -1) if without_channels else featx_images
            values = {f"{name}:0": tensorflow.constant(v) for name, v in constants.items()}
            return tensorflow.import_graph_def(
                graph_def,
                input_map={input_name: images, **values},
                return_elements=list(output_names),
                name="",
            )

        graph = cls.__new__(cls)
        signature = [tensorflow.TensorSpec(shape, dtype or tensorflow.float32)]
        graph._take(tensorflow.compat.v1.wrap_function(build, signature))
        return graph

    def with_input(self, shape: Sequence[int | None]) -> FrozenGraph:
        """Return the graph with another input shape; itself if it has that already."""
        known = self.input.shape
        if known.rank is not None and known.as_list() == list(shape):
            return self
        names = [tensor.name for tensor in self.outputs]
        graph_def = self._function.graph.as_graph_def()
        return FrozenGraph.from_graph_def(
            graph_def, self.input.name, names, shape, self.input.dtype
        )

    @property
    def operations(self) -> list[Any]:
        """The operations of the inlined graph, in TensorFlow's topological order."""
        return list(self._function.graph.get_operations())

    def compile(self, names: tuple[str, ...]) -> CompiledLayers:
        """Return a callable that computes all of `outputs`, under these names."""
        return CompiledLayers(self._function, names, self.input.dtype)

    def prune(self, layers: dict[str, Any]) -> CompiledLayers:
        """Return a callable that computes the tensors in `layers`, and nothing after them."""
        tensors = [_behind_identities(tensor) for tensor in layers.values()]
        # Tables are inputs as well; no layer depends on them.
        pruned = self._function.prune([self.input], tensors)
        return CompiledLayers(pruned, tuple(layers), self.input.dtype)


def _rank_of(graph_def: Any, input_name: str) -> int | None:
    """Return the number of axes of an input, as far as the graph says it."""
    for node in graph_def.node:
        if node.name == input_name.partition(":")[0] and "shape" in node.attr:
            shape = node.attr["shape"].shape
            return None if shape.unknown_rank else len(shape.dim)
    return None


def _behind_identities(tensor: Any) -> Any:
    """Return the tensor that `tensor` is a copy of.

    A traced function returns copies with control dependencies on every variable that was read
    during the trace: pruning to the copies would keep the weights of all layers.
    """
    while tensor.op.type == "Identity" and tensor.op.inputs[0].op.type != "Placeholder":
        tensor = tensor.op.inputs[0]
    return tensor


class CompiledLayers:
    """A pruned graph, ready to compute batches.

    Attributes:
        function: The function of TensorFlow.
        names: The layers, in the order of its results.
        operation_types: The type of each operation in the graph, after pruning.
    """

    def __init__(self, function: Any, names: tuple[str, ...], input_dtype: Any) -> None:
        self.function = function
        self.names = names
        self._input_dtype = input_dtype
        self._devices: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        devices: list[str | None] = [*(list_gpus() * CALLS_PER_GPU)]
        for device in devices or [None]:  # None: wherever TensorFlow puts it.
            self._devices.put(device)
        self.operation_types = [node.type for node in function.graph.get_operations()]

    def freeze(
        self, input_layout: Layout, output_layouts: Mapping[str, Layout | None]
    ) -> NetworkGraph:
        """Return the graph for another engine, with constants in place of its variables.

        Args:
            input_layout: The layout of its images.
            output_layouts: The layout of each layer; None for what is not a map.

        Raises:
            NotConvertible: If it is too large to be written, or uses variables in functions.
        """
        function, graph_def = self.function, None
        if function.variables:
            graph_def = with_constants(function)
            if graph_def is None:  # Any other way would take minutes and much memory.
                raise NotConvertible("its variables are used by functions inside it")
        graph_def = graph_def or function.graph.as_graph_def()
        copies = add_copies(graph_def, dict(zip(self.names, function.outputs, strict=True)))
        images = function.inputs[0].op.name
        return make_network_graph(graph_def, images, copies, (input_layout, output_layouts))

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute a batch of scaled images, as the graph takes them: a float32 array per layer."""
        tensorflow = import_tensorflow()
        if not tensorflow.executing_eagerly():  # The caller is in a graph: there are no values.
            return run_apart(lambda: self(images))
        device = self._devices.get()
        try:
            with tensorflow.device(device):
                results = self.function(tensorflow.cast(images, self._input_dtype))
        except tensorflow.errors.ResourceExhaustedError as error:
            raise ModelError(
                "The network does not fit into memory with "
                f"{format_count(len(images), 'image')} at a time. "
                f"Use a smaller {option('batch_size')}."
            ) from error
        except tensorflow.errors.OpError as error:
            raise ModelError(
                f"TensorFlow failed to run the network: {_reason_of(error.message)}"
            ) from error
        finally:
            self._devices.put(device)
        return {
            name: np.asarray(result, dtype=np.float32)
            for name, result in zip(self.names, results, strict=True)
        }


def merge_layers(parts: Sequence[CompiledLayers], names: Sequence[str]) -> CompiledLayers:
    """Return one callable for the layers of several graphs without variables, of equal inputs.

    Args:
        parts: The graphs.
        names: All their layers, in the order of the results.
    """
    if len(parts) == 1:
        return parts[0]
    tensorflow = import_tensorflow()

    def build(featx_images: Any) -> list[Any]:
        tensors: dict[str, Any] = {}
        for number, part in enumerate(parts):
            results = tensorflow.import_graph_def(
                part.function.graph.as_graph_def(),
                input_map={part.function.inputs[0].name: featx_images},
                return_elements=[tensor.name for tensor in part.function.outputs],
                name=f"part_{number}",
            )
            tensors |= dict(zip(part.names, results, strict=True))
        return [tensors[name] for name in names]

    images = parts[0].function.inputs[0]
    signature = [tensorflow.TensorSpec(images.shape, images.dtype)]
    merged = tensorflow.compat.v1.wrap_function(build, signature)
    # Without the inputs that the parts had.
    return CompiledLayers(merged.prune(merged.inputs, merged.outputs), tuple(names), images.dtype)


def _reason_of(message: str) -> str:
    """Return the line of a TensorFlow message that says what is wrong, behind the call stack.

    Example:
        >>> _reason_of("Graph execution error:\\n\\nDetected at:\\n  File\\n\\nNo NCHW\\n [[node]]")
        'No NCHW'
    """
    return message.strip().split("\n\n")[-1].strip().split("\n")[0].rstrip(".")
