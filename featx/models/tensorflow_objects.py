"""Models of TensorFlow that are in memory: modules, functions, and SavedModels that were loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.engines.tensorflow_graph import FrozenGraph
from featx.errors import ModelError
from featx.models import savedmodel
from featx.models.backbone import ModelRequest
from featx.models.content_hash import hash_texts
from featx.models.description import ModelDescription, Origin
from featx.models.graph_backbone import GraphBackbone
from featx.models.graph_identity import identify_function
from featx.models.graph_layers import output_names, require_layers
from featx.models.in_memory import LOCATION
from featx.models.inner_scaling import own_contract
from featx.models.input_contract import (
    image_contract,
    read_input_shape,
    refuse_arguments,
    scale_for_dtype,
)
from featx.models.savedmodel_graph import has_graph
from featx.models.signatures import (
    TRAINING_NOTE,
    find_graph_layers,
    list_signatures,
    takes_pixels,
)
from featx.specs import ModelSpec


def load(request: ModelRequest) -> GraphBackbone:
    """Make a backbone of a module or a function.

    A SavedModel that was loaded is taken by its signatures; without any, and if ``hub.load``
    returned it, as a function. It is never called with arguments that it may not take: TensorFlow
    would keep its lock in this thread, and the next call of the program would wait for ever.

    Raises:
        ModelError: If it is not one image in, arrays out, or was never traced.
    """
    model = request.model
    sha256 = identify_object(model)
    origin = Origin("tensorflow", request.name, LOCATION, sha256)
    is_loaded = hasattr(model, "signatures") and (list_signatures(model) or has_graph(model))
    if is_loaded and not (_is_hub_module(model) and callable(model)):
        return savedmodel.describe(request, model, origin)
    return _describe(request, _find_function(model), origin)


def identify_object(model: Any) -> str:
    """Return the SHA-256 of what a module or a function computes, with its variables.

    Raises:
        ModelError: If it has nothing that takes images, or uses more than variables.
    """
    name = type(model).__name__
    digests = {identify_function(function, name) for function in _functions(model)}
    if not digests:
        raise ModelError(f"This {name} has no function that takes images.")
    return hash_texts(sorted(digests))


def _functions(model: Any) -> Iterator[Any]:
    """Yield the traced functions of which features may be taken."""
    if not hasattr(model, "signatures"):
        yield _find_function(model)
        return
    yield from filter(takes_pixels, list_signatures(model).values())
    if callable(model):
        yield from getattr(model.__call__, "concrete_functions", ())


def _is_hub_module(model: Any) -> bool:
    """Whether ``hub.load`` returned it; it then takes pixels in [0, 1], as all modules do."""
    return hasattr(model, "_is_hub_module_v1")


def _describe(request: ModelRequest, function: Any, origin: Origin) -> GraphBackbone:
    refuse_arguments(request, "model in memory")
    graph = FrozenGraph(function)
    known = graph.input.shape
    shape = read_input_shape(None if known.rank is None else known.as_list(), origin.name)
    own = image_contract(shape, request.overrides.size, origin.name)
    names = output_names(function.structured_outputs)
    layers = find_graph_layers(graph, shape, own, names, "output")
    require_layers(layers.layers, origin.name)
    of_hub = _is_hub_module(request.model) and not graph.input.dtype.is_integer
    own = replace(own, scaling="unit") if of_hub else own_contract(own, layers.inner_scaling)
    spec = ModelSpec(
        source=origin.source,
        name=origin.name,
        arguments=(),
        location=origin.location,
        weights_sha256=origin.weights_sha256,
        input=scale_for_dtype(
            request.overrides.apply(own), graph.input.dtype.is_integer, origin.name
        ),
    )
    description = ModelDescription(
        spec,
        layers.layers,
        channels_first=shape.channels_first,
        notes=[TRAINING_NOTE] if graph.trains else [],
        inner_scaling=layers.inner_scaling,
        any_size=shape.takes_any_size(request.overrides.size),
    )
    return GraphBackbone(description, layers.compile)


def _find_function(model: Any) -> Any:
    """Return the traced function of one image that a module or a function stands for.

    Raises:
        ModelError: If there is none.
    """
    tensorflow = import_tensorflow()
    function = model
    if isinstance(model, tensorflow.Module) or hasattr(model, "signatures"):
        function = model.__call__ if callable(model) else None
        if not hasattr(function, "get_concrete_function"):
            raise ModelError(
                f"featx calls a tf.Module as a function. Received: {type(model).__name__}, whose "
                "__call__ is no tf.function. Decorate it with @tf.function(input_signature="
                "[tf.TensorSpec((None, HEIGHT, WIDTH, 3))]), or pass one of its functions."
            )
    traced = [function] if hasattr(function, "structured_input_signature") else _traces(function)
    found = [each for each in traced if len(_tensors(each)) == 1]
    if not found:
        raise ModelError(
            "featx feeds models one image. Received: a function of TensorFlow that "
            + ("takes something else" if traced else "was never called")
            + ". Say what it takes: @tf.function(input_signature=[tf.TensorSpec((None, HEIGHT, "
            "WIDTH, 3))])."
        )
    return next((each for each in found if not _trains(each)), found[0])


def _traces(function: Any) -> list[Any]:
    """Return the concrete functions of a ``tf.function``; of one with a signature, that."""
    if function.input_signature is not None:
        return [function.get_concrete_function()]
    if hasattr(function, "concrete_functions"):
        return list(function.concrete_functions)
    return list(function._list_all_concrete_functions())


def _tensors(concrete: Any) -> list[Any]:
    tensorflow = import_tensorflow()
    given = tensorflow.nest.flatten(concrete.structured_input_signature)
    return [each for each in given if isinstance(each, tensorflow.TensorSpec)]


def _trains(concrete: Any) -> bool:
    """Whether a function was traced with ``training=True``, or another True."""
    given = import_tensorflow().nest.flatten(concrete.structured_input_signature)
    return any(each is True for each in given)
