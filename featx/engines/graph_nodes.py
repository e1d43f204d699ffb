"""Nodes of a GraphDef: which of them depend on which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def dependents(names: Iterable[str], nodes: Iterable[Any]) -> set[str]:
    """Return the names of the given nodes, and of all whose values depend on them."""
    users: dict[str, list[str]] = {}
    for node in nodes:
        for tensor in node.input:
            users.setdefault(tensor.partition(":")[0], []).append(node.name)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += users.get(name, [])
    return found


def ancestors(names: Iterable[str], nodes: Iterable[Any]) -> set[str]:
    """Return the names of the given nodes, and of all that their values depend on."""
    inputs = {node.name: node.input for node in nodes}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in inputs:
            found.add(name)
            waiting += [node_of(tensor) for tensor in inputs[name]]
    return found


def node_of(tensor: str) -> str:
    """Return the name of the node that a tensor comes from."""
    return tensor.partition(":")[0]
