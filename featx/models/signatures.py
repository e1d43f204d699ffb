"""Loading SavedModel folders, and freezing their signatures: for SavedModels and Hub modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.engines.tensorflow_graph import FrozenGraph
from featx.errors import InvalidValue, ModelError, first_line, join_names
from featx.host import quiet_loggers
from featx.input_spec import InputSpec
from featx.models.backbone import ModelRequest
from featx.models.free_inputs import bind_inputs, choose_inputs, describe_constants, free_input
from featx.models.graph_layers import GraphLayers
from featx.models.input_contract import InputShape, read_input_shape
from featx.models.savedmodel_code import refuse_saved_operations
from featx.models.savedmodel_damage import loading_reason
from featx.models.savedmodel_folder import GRAPH_NAME, is_savedmodel
from featx.specs import split_constants
from featx.units import format_count
from featx.wording import option

DEFAULT_SIGNATURE = "serving_default"
HIDDEN_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")
"""What TensorFlow 1 stores among the signatures to initialise and train."""
TRAINING_NOTE = "exported with random augmentation: those layers are left out; crops are central"
"""Said of models whose graphs would augment pictures; see `freeze_function`."""

TEXT_NOTE = "its signature {!r} takes files as text; {!r}, which takes pixels, is used"
"""Said of models whose default signature decodes pictures itself."""


def take_signature(
    request: ModelRequest, what: str, allowed: Sequence[str] = ("signature",)
) -> str | None:
    """Return the signature that was asked for, and refuse arguments that are not allowed.

    Raises:
        InvalidValue: If there are others, or weights.
    """
    others = [name for name in request.arguments if name not in allowed]
    if others or request.weights:
        raise InvalidValue(
            f"{what} takes one argument, "
            f"{join_names([f',{name}=NAME' for name in allowed])}, and brings its own weights. "
            f"Received: {', '.join([*others, *([option('weights')] if request.weights else [])])}."
        )
    wanted = request.arguments.get("signature")
    return None if wanted is None else str(wanted)


def load_folder(path: Path, *, trust_model_code: bool = False) -> Any:
    """Load a SavedModel, of TensorFlow 1 or 2, with the tags that it has.

    Raises:
        ModelError: If the folder is none, TensorFlow cannot load it, or it would do more than
            compute.
    """
    path = path.absolute()
    tensorflow = import_tensorflow()
    if not is_savedmodel(str(path)):
        raise ModelError(f"{str(path)!r} is not a SavedModel: it holds no saved_model.pb.")
    try:
        content = _read(path)
        graph = _choose_graph(content)
        if not trust_model_code:
            refuse_saved_operations(path, content, graph)
        tags = None if len(content.meta_graphs) == 1 else list(graph.meta_info_def.tags)
        with quiet_loggers("tensorflow", "absl"):  # Warnings about objects of other versions.
            return tensorflow.saved_model.load(str(path), tags=tags)
    except ModelError:
        raise
    except Exception as error:  # TensorFlow raises many kinds for damaged folders.
        raise ModelError(
            f"TensorFlow cannot load the SavedModel {str(path)!r}: {loading_reason(path, error)}"
        ) from error


def _read(path: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel()
    content.ParseFromString((path / GRAPH_NAME).read_bytes())
    return content


def _choose_graph(content: Any) -> Any:
    """Return the graph for inference: modules of TF-Hub for TF1 have one without tags.

    Of several with the same tags, TensorFlow loads the first.
    """
    if not content.meta_graphs:
        raise ValueError("it holds no graph")
    serving = (graph for graph in content.meta_graphs if set(graph.meta_info_def.tags) == {"serve"})
    return next(serving, None) or min(
        content.meta_graphs, key=lambda graph: len(set(graph.meta_info_def.tags))
    )


def list_signatures(loaded: Any) -> dict[str, Any]:
    """Return the signatures that people can name, by name: TensorFlow keeps no order."""
    return {
        name: function
        for name, function in sorted(loaded.signatures.items())
        if name not in HIDDEN_SIGNATURES
    }


def takes_text(signature: Any) -> bool:
    """Whether a signature takes encoded files or examples, which TensorFlow holds as strings."""
    inputs = signature.structured_input_signature[1].values()
    return any(each.dtype == import_tensorflow().string for each in inputs)


def takes_pixels(signature: Any) -> bool:
    """Whether a signature takes one batch of numbers."""
    inputs = list(signature.structured_input_signature[1].values())
    return len(inputs) == 1 and (inputs[0].dtype.is_floating or inputs[0].dtype.is_integer)


def freeze_signature(signature: Any, name: str, model: str) -> tuple[FrozenGraph, InputShape]:
    """Freeze a signature of one image input.

    Raises:
        ModelError: If it takes something else.
    """
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise ModelError(
            f"featx feeds models one image. Received: signature {name!r} of {model!r} with "
            f"{len(inputs)} inputs ({', '.join(sorted(inputs))}). Export the part that takes "
            "images as a model of its own."
        )
    if takes_text(signature):
        raise ModelError(
            f"featx feeds models pixels. Received: signature {name!r} of {model!r}, which takes "
            "encoded files or examples as text. Export one that takes images."
        )
    graph = FrozenGraph(signature)
    shape = graph.input.shape
    return graph, read_input_shape(None if shape.rank is None else shape.as_list(), model)


def freeze_chosen(
    signature: Any, name: str, model: str, arguments: Mapping[str, Any]
) -> tuple[FrozenGraph, InputShape, list[str]]:
    """Freeze a signature from its one image on; other inputs get constants, or nothing.

    Args:
        signature: The signature.
        name: Its name.
        model: The model, for messages.
        arguments: What was said after the name of the model: ``input``, and constants.

    Returns:
        The graph, what its input takes, and what a person should know of other inputs.

    Raises:
        InvalidValue: If a constant does not suit its input.
        ModelError: If it is not clear which input takes images.
        UnknownName: If there is no such input.
    """
    specs = signature.structured_input_signature[1]
    given = dict(split_constants(arguments)[1])
    chosen = arguments.get("input")
    if chosen is None and not given and len(specs) == 1:
        return *freeze_signature(signature, name, model), []
    inputs = [free_input(key, spec) for key, spec in sorted(specs.items())]
    choice = choose_inputs(model, inputs, None if chosen is None else str(chosen), given)
    if len(specs) == 1:
        return *freeze_signature(signature, name, model), []
    function = bind_inputs(signature, specs, choice, lambda tensors: signature(**tensors))
    graph = FrozenGraph(function)
    shape = graph.input.shape
    found = read_input_shape(None if shape.rank is None else shape.as_list(), model)
    return graph, found, describe_constants(choice, given)


def find_graph_layers(
    graph: FrozenGraph,
    shape: InputShape,
    contract: InputSpec,
    outputs: list[str],
    kind: str,
    *,
    prefix: str = "",
) -> GraphLayers:
    """Fit a graph to the size of images, and find its layers; their names begin with `prefix`.

    Raises:
        ModelError: If it cannot take images of that size.
    """
    try:
        sized = graph.with_input(shape.batch(contract))
    except ValueError as error:
        raise ModelError(
            f"The model cannot be run on {contract.height} x {contract.width} images: "
            f"{first_line(error)}"
        ) from error
    return GraphLayers(sized, outputs, kind, channels_first=shape.channels_first, prefix=prefix)


def describe_signatures(signatures: dict[str, Any], chosen: str | None) -> str:
    """Say in one line which signatures there are, and how many outputs each has."""
    parts = []
    for name, function in signatures.items():
        count = len(function.structured_outputs)
        mark = ", shown" if name == chosen else ""
        parts.append(f"{name} ({format_count(count, 'output')}{mark})")
    more = f"; others: {option('signature', 'NAME')}" if len(parts) > 1 else ""
    return f"signatures: {', '.join(parts)}{more}"
