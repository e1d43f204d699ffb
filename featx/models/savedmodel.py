"""Exported SavedModels: outputs of a signature, and the tensors on the way to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.engines.tensorflow import CompiledTaps, FrozenGraph, import_tensorflow
from featx.errors import InvalidValue, ModelError, UnknownName
from featx.models.backbone import (
    GraphBackbone,
    ModelRequest,
    Tap,
    first_line,
    hash_files,
    image_contract,
    scale_for_dtype,
)
from featx.models.reference import savedmodel_files
from featx.specs import InputSpec, ModelSpec

DEFAULT_SIGNATURE = "serving_default"

TAPPED_OPERATIONS = frozenset(
    "Relu Relu6 Elu Selu LeakyRelu Sigmoid Tanh Softmax Softplus BiasAdd FusedBatchNormV3 Add "
    "AddV2 Mul MaxPool AvgPool Mean ConcatV2 Conv2D DepthwiseConv2dNative MatMul Reshape".split()
)
"""Operations whose results are offered as taps: where layers end, not every step inside them."""


def load(request: ModelRequest) -> GraphBackbone:
    """Load one signature of a SavedModel; see `featx.models.load_model`."""
    path = Path(request.name).absolute()
    arguments = dict(request.arguments)
    wanted = arguments.pop("signature", None)
    if arguments or request.weights:
        raise InvalidValue(
            "A SavedModel takes one argument, ',signature=NAME', and brings its own weights. "
            f"Received: {', '.join([*arguments, *(['--weights'] if request.weights else [])])}."
        )
    loaded = _load_folder(path)
    name, signature = _choose_signature(loaded, wanted, path.name)
    arguments_of_signature = signature.structured_input_signature[1]
    if len(arguments_of_signature) != 1:
        raise ModelError(
            f"featx feeds models one image. Received: signature {name!r} of {path.name!r} with "
            f"{len(arguments_of_signature)} inputs ({', '.join(arguments_of_signature)})."
        )
    graph = FrozenGraph(signature)
    contract = request.overrides.apply(_contract(graph, request, path.name))
    contract = scale_for_dtype(contract, graph.input.dtype.is_integer, path.name)
    tensors = _find_tensors(graph, sorted(signature.structured_outputs))
    taps = [tap for tap, _ in tensors.values()]
    spec = ModelSpec(
        source="savedmodel",
        name=path.name,
        arguments=(("signature", name),) if wanted else (),
        location=str(path),
        weights_sha256=hash_files(path, savedmodel_files(path)),
        input=contract,
    )

    def compile_taps(names: tuple[str, ...]) -> CompiledTaps:
        return graph.prune({tap_name: tensors[tap_name][1] for tap_name in names})

    return GraphBackbone(spec, taps, compile_taps)


def _load_folder(path: Path) -> Any:
    tensorflow = import_tensorflow()
    if not (path / "saved_model.pb").is_file():
        raise ModelError(f"{str(path)!r} is not a SavedModel: it holds no saved_model.pb.")
    try:
        return tensorflow.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises many kinds for damaged folders.
        raise ModelError(
            f"TensorFlow cannot load the SavedModel {str(path)!r}: {first_line(error)}"
        ) from error


def _choose_signature(loaded: Any, wanted: str | None, model: str) -> tuple[str, Any]:
    names = list(loaded.signatures)
    if not names:
        raise ModelError(
            f"{model!r} has no signatures. Export it with model.export(...), or with "
            "tf.saved_model.save(..., signatures=...)."
        )
    name = wanted or (DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in names else names[0])
    if name not in names or (wanted is None and name != DEFAULT_SIGNATURE and len(names) > 1):
        raise UnknownName(
            f"signature of {model}",
            name if wanted else DEFAULT_SIGNATURE,
            names,
            remedy=f"It has {', '.join(names)}. Write savedmodel:DIR,signature=NAME.",
        )
    return name, loaded.signatures[name]


def _contract(graph: FrozenGraph, request: ModelRequest, name: str) -> InputSpec:
    shape = graph.input.shape
    if shape.rank is None:
        raise ModelError(f"The signature of {name!r} does not say what shape it takes.")
    if shape[0] is not None:
        raise ModelError(
            f"The signature of {name!r} takes batches of exactly {shape[0]}. "
            "Export it with a batch size of None."
        )
    return image_contract(tuple(shape), request.overrides.img_size, name)


def _find_tensors(graph: FrozenGraph, output_names: list[str]) -> dict[str, tuple[Tap, Any]]:
    """Return every tap with its tensor: graph tensors first, the signature's outputs last."""
    found: dict[str, tuple[Tap, Any]] = {}

    def add(name: str, kind: str, tensor: Any) -> None:
        shape = tensor.shape
        if shape.rank is None or shape.rank < 2 or shape[0] is not None:
            return
        if tensor.dtype.is_floating:
            tap = Tap(name, kind, tensor.op.type, None, tuple(shape[1:]))
            found[name] = (tap, tensor)

    for operation in graph.operations:
        if operation.type in TAPPED_OPERATIONS:
            add(operation.name, "tensor", operation.outputs[0])
    # A signature's results are flattened in the order of their sorted names.
    for name, tensor in zip(output_names, graph.outputs, strict=True):
        add(name, "output", tensor)
    return found
