"""Graphs in a folder, for engines that keep them as they were handed over."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from featx.engines.graph import GraphOutput, NetworkGraph, NotConvertible
from featx.errors import first_line
from featx.specs import InputSpec

GRAPH_NAME, DESCRIPTION_NAME = "graph.bin", "graph.json"


@dataclass(frozen=True, slots=True)
class GraphModel:
    """A graph, and how its pixels are scaled: all that some engines make of it.

    Attributes:
        graph: The graph; its content is bytes.
        contract: How its pixels are scaled.
    """

    graph: NetworkGraph
    contract: InputSpec


def save_graph(model: GraphModel, folder: Path) -> None:
    """Write a graph, and what describes it, into an empty folder.

    Raises:
        NotConvertible: If it is not bytes.
    """
    content = model.graph.content
    if isinstance(content, Path):
        content = content.read_bytes()
    if not isinstance(content, bytes):
        raise NotConvertible(f"a graph of the form {model.graph.form!r} cannot be written")
    fields = {name: getattr(model.graph, name) for name in ("form", "input", "input_layout")}
    outputs = {name: asdict(output) for name, output in model.graph.outputs.items()}
    description = {**fields, "outputs": outputs, "contract": model.contract.to_dict()}
    (folder / GRAPH_NAME).write_bytes(content)
    (folder / DESCRIPTION_NAME).write_text(json.dumps(description), encoding="utf-8")


def read_graph(folder: Path) -> GraphModel:
    """Read what `save_graph` wrote.

    Raises:
        NotConvertible: If it cannot be read.
    """
    try:
        known = json.loads((folder / DESCRIPTION_NAME).read_text(encoding="utf-8"))
        contract = InputSpec.from_dict(known.pop("contract"))
        outputs = {name: GraphOutput(**output) for name, output in known.pop("outputs").items()}
        content = (folder / GRAPH_NAME).read_bytes()
        return GraphModel(NetworkGraph(content=content, outputs=outputs, **known), contract)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotConvertible(first_line(error)) from error
