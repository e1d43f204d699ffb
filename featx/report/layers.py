"""What ``featx layers`` prints: one line for each tap, flat or as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from featx.models.backbone import Backbone, Tap
from featx.report import drawing
from featx.report.drawing import as_text, make_table, print_result
from featx.specs import InputSpec
from featx.units import format_bytes, format_shape

COLUMNS = ("index", "layer", "type", "shape", "stride", "field", "parameters", "per image")
NUMBERS = ("index", "stride", "field", "parameters", "per image")

LONG_NAME = 40
"""Names above this do not fit beside the other columns into 100: a terminal then gets a tree."""

_HEADINGS = {
    "layer": "layers",
    "tensor": "tensors",
    "endpoint": "endpoints",
    "output": "signature outputs",
}


def describe_tap(tap: Tap, contract: InputSpec) -> dict[str, Any]:
    """Return everything that is known of a tap, as JSON-serialisable values."""
    return {
        "index": tap.index,
        "name": tap.name,
        "kind": tap.kind,
        "type": tap.type or None,
        "shape": list(tap.shape),
        "stride": tap.stride(contract.height),
        "receptive_field": tap.receptive_field,
        "parameters": tap.parameters,
        "bytes": tap.num_bytes,
        "detail": tap.is_detail,
    }


def show_layers(backbone: Backbone, taps: Sequence[Tap], *, tree: bool = False) -> None:
    """Draw taps, each kind by itself, with the columns that say something of this model."""
    model, contract = backbone.spec, backbone.spec.input
    is_long = any(len(tap.name) > LONG_NAME for tap in taps)
    tree = tree or (is_long and drawing.is_terminal())
    kinds = list(dict.fromkeys(tap.kind for tap in taps))
    shown = {
        "index": any(tap.index is not None for tap in taps),
        "field": any(tap.receptive_field is not None for tap in taps),
    }
    headers = [name for name in COLUMNS if shown.get(name, True)]
    right = [place for place, name in enumerate(headers) if name in NUMBERS]
    table = make_table(*headers, right=right)
    for kind in kinds:
        if len(kinds) > 1:
            table.add_section()
            table.add_row(*(_HEADINGS[kind] if name == "layer" else "" for name in headers))
        indent = "  " if len(kinds) > 1 else ""
        for label, tap in _rows([tap for tap in taps if tap.kind == kind], tree=tree):
            cells = _cells(tap, contract) | {"layer": as_text(indent + label)}
            table.add_row(*(cells.get(name, "") for name in headers))
    print_result(table)
    scaling = contract.scaling or "unknown (choose with --preprocess)"
    total = len(backbone.features())
    print_result(
        f"{len(taps)} of {total} taps of {model.reference}, input "
        f"{contract.height}×{contract.width}×{contract.channels}, preprocessing {scaling}"
    )
    hidden = total - len(taps)
    details = sum(tap.is_detail for tap in backbone.features())
    if hidden and hidden == details:
        print_result(f"{hidden:,} more, steps inside layers: --all lists them")
    for note in backbone.notes:
        print_result(note)


def _cells(tap: Tap | None, contract: InputSpec) -> dict[str, str | Text]:
    """Return what each column says of a tap; of a part of a name without one, nothing."""
    if tap is None:
        return {}
    stride = tap.stride(contract.height)
    return {
        "index": "" if tap.index is None else str(tap.index),
        "type": tap.type,
        "shape": format_shape(tap.shape),
        "stride": "" if stride is None else str(stride),
        "field": "" if tap.receptive_field is None else str(tap.receptive_field),
        "parameters": "" if tap.parameters is None else f"{tap.parameters:,}",
        "per image": "" if tap.num_bytes is None else format_bytes(tap.num_bytes),
    }


@dataclass(slots=True)
class _Node:
    """A part of a name: perhaps a tap, perhaps with parts below."""

    taps: list[Tap] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)


def _rows(taps: Sequence[Tap], *, tree: bool) -> Iterator[tuple[str, Tap | None]]:
    """Yield what is shown in the first column, and the tap, None for a part without one."""
    if not tree:
        yield from ((tap.name, tap) for tap in taps)
        return
    root = _Node()
    for tap in taps:
        node = root
        for part in tap.name.split("/"):
            node = node.children.setdefault(part, _Node())
        node.taps.append(tap)
    yield from _walk(root, 0)


def _walk(node: _Node, depth: int) -> Iterator[tuple[str, Tap | None]]:
    for name, child in node.children.items():
        label, inner = name, child
        while not inner.taps and len(inner.children) == 1:  # a/b/c where nothing else is in a or b
            part, inner = next(iter(inner.children.items()))
            label = f"{label}/{part}"
        indent = "  " * depth
        if not inner.taps:
            yield f"{indent}{label}/", None
        for tap in inner.taps:
            yield indent + label, tap
        yield from _walk(inner, depth + 1)
