"""What ``featx layers`` prints: one line for each layer, flat or as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from featx.input_spec import InputSpec
from featx.models.backbone import Described, Layer
from featx.report import drawing
from featx.report.drawing import make_table, print_result
from featx.units import format_bytes, format_shape
from featx.wording import option

COLUMNS = (
    "index", "layer", "type", "shape", "dtype", "stride", "field", "trainable", "own",
    "parameters", "per image",
)  # fmt: skip
NUMBERS = ("index", "stride", "field", "own", "parameters", "per image")

LONG_NAME = 40
"""Longer names do not fit into 100 columns beside the others; a terminal then gets a tree."""

_HEADINGS = {
    "layer": "layers",
    "tensor": "tensors",
    "endpoint": "endpoints",
    "output": "signature outputs",
}


def show_layers(backbone: Described, layers: Sequence[Layer], *, tree: bool = False) -> None:
    """Draw layers grouped by kind; columns that would be empty are left out.

    Types, and whether layers are trainable, get a column where they differ; else they are in the
    line below the table.
    """
    model, contract = backbone.spec, backbone.spec.input
    is_long = any(len(layer.name) > LONG_NAME for layer in layers)
    tree = tree or (is_long and drawing.is_terminal())
    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    headers = choose_columns(layers)
    right = [column for column, name in enumerate(headers) if name in NUMBERS]
    table = make_table(*headers, right=right)
    for kind in kinds:
        if len(kinds) > 1:
            table.add_section()
            table.add_row(
                *(_HEADINGS.get(kind, kind) if name == "layer" else "" for name in headers)
            )
        indent = "  " if len(kinds) > 1 else ""
        for label, layer in _rows([layer for layer in layers if layer.kind == kind], tree=tree):
            cells = describe_cells(layer, contract) | {"layer": indent + label}
            table.add_row(*(cells.get(name, "") for name in headers))
    print_result(table)
    scaling = contract.scaling or f"unknown (choose with {option('preprocess')})"
    total = len(backbone.features())
    print_result(
        f"{len(layers)} of {total} layers of {model.reference}, input "
        f"{contract.height}×{contract.width}×{contract.channels}, preprocessing {scaling}"
        f"{_describe_common(layers)}"
    )
    hidden = total - len(layers)
    details = sum(layer.is_detail for layer in backbone.features())
    if hidden and hidden == details:
        print_result(f"{hidden:,} more, steps inside layers: {option('all')} lists them")
    if backbone.beginning.any_size:
        print_result(f"takes images of any size; {option('img_size')} chooses it")
    if backbone.beginning.text:
        print_result(backbone.beginning.text)
    for note in backbone.notes:
        print_result(note)


def choose_columns(layers: Sequence[Layer]) -> list[str]:
    """Leave out columns that would be empty, or the same all the way down."""
    shown = {
        "index": any(layer.index is not None for layer in layers),
        "field": any(layer.receptive_field is not None for layer in layers),
        "own": any(layer.own_parameters is not None for layer in layers),
        "dtype": len(_find_types(layers)) > 1,
        "trainable": len(_find_trainable(layers)) > 1,
    }
    return [name for name in COLUMNS if shown.get(name, True)]


def _find_types(layers: Sequence[Layer]) -> list[str]:
    return list(dict.fromkeys(layer.dtype for layer in layers if layer.dtype))


def _find_trainable(layers: Sequence[Layer]) -> list[bool]:
    return list(dict.fromkeys(layer.trainable for layer in layers if layer.trainable is not None))


def _describe_common(layers: Sequence[Layer]) -> str:
    """Say what all layers have in common."""
    types, trainable = _find_types(layers), _find_trainable(layers)
    common = types if len(types) == 1 else []
    if len(trainable) == 1:
        common = [*common, "trainable" if trainable[0] else "not trainable"]
    return "".join(f", {text}" for text in common)


def describe_cells(layer: Layer | None, contract: InputSpec) -> dict[str, str]:
    """Return the cells of a layer; none for a part of a name that is not a layer."""
    if layer is None:
        return {}
    stride = layer.stride(contract.height)
    return {
        "index": "" if layer.index is None else str(layer.index),
        "type": layer.type,
        "shape": format_shape(layer.shape),
        "stride": "" if stride is None else str(stride),
        "field": "" if layer.receptive_field is None else str(layer.receptive_field),
        "dtype": layer.dtype,
        "trainable": {True: "yes", False: "no", None: ""}[layer.trainable],
        "own": "" if layer.own_parameters is None else f"{layer.own_parameters:,}",
        "parameters": "" if layer.parameters is None else f"{layer.parameters:,}",
        "per image": "" if layer.num_bytes is None else format_bytes(layer.num_bytes),
    }


@dataclass(slots=True)
class _Node:
    """A part of a name, with the layers that end there and the parts below."""

    layers: list[Layer] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)


def _rows(layers: Sequence[Layer], *, tree: bool) -> Iterator[tuple[str, Layer | None]]:
    """Yield the text of the first column and its layer, None for a part that is not one."""
    if not tree:
        yield from ((layer.name, layer) for layer in layers)
        return
    root = _Node()
    for layer in layers:
        node = root
        for part in layer.name.split("/"):
            node = node.children.setdefault(part, _Node())
        node.layers.append(layer)
    yield from _walk(root, 0)


def _walk(node: _Node, depth: int) -> Iterator[tuple[str, Layer | None]]:
    for name, child in node.children.items():
        label, inner = name, child
        while not inner.layers and len(inner.children) == 1:  # a/b/c alone
            part, inner = next(iter(inner.children.items()))
            label = f"{label}/{part}"
        indent = "  " * depth
        if not inner.layers:
            yield f"{indent}{label}/", None
        for layer in inner.layers:
            yield indent + label, layer
        yield from _walk(inner, depth + 1)
