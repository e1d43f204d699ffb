"""Graphs in a folder, for engines that keep them as they were handed over."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from featx.engines.graph import GraphOutput, NetworkGraph, NotConvertible
from featx.errors import first_line
from featx.input_spec import InputSpec

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
    graph = model.graph
    content = graph.content
    if not isinstance(content, bytes):
        raise NotConvertible(f"a graph of the form {graph.form!r} cannot be written")
    description = {
        "form": graph.form,
        "input": graph.input,
        "input_layout": graph.input_layout,
        "input_shape": graph.input_shape,
        "outputs": {name: asdict(output) for name, output in graph.outputs.items()},
        "contract": model.contract.to_dict(),
    }
    (folder / GRAPH_NAME).write_bytes(content)
    (folder / DESCRIPTION_NAME).write_text(json.dumps(description), encoding="utf-8")


def read_graph(folder: Path) -> GraphModel:
    """Read what `save_graph` wrote.

    Raises:
        NotConvertible: If it cannot be read.
    """
    try:
        known = json.loads((folder / DESCRIPTION_NAME).read_text(encoding="utf-8"))
        contract = InputSpec.from_dict(known["contract"])
        shape = known["input_shape"]
        graph = NetworkGraph(
            known["form"],
            (folder / GRAPH_NAME).read_bytes(),
            known["input"],
            known["input_layout"],
            {name: GraphOutput(**output) for name, output in known["outputs"].items()},
            input_shape=None if shape is None else tuple(shape),
        )
        return GraphModel(graph, contract)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotConvertible(first_line(error)) from error
