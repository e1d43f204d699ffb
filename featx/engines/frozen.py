"""A network as engines hand it to each other: a graph without variables, what goes in and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featx.errors import ModelError


class NotConvertible(ModelError):
    """An engine cannot take a network; the message says why."""


@dataclass(frozen=True, slots=True)
class FrozenNetwork:
    """A frozen graph from scaled images to layers.

    Attributes:
        graph_def: A serialised TensorFlow GraphDef; empty where there is `build`.
        input: The node that takes scaled images.
        outputs: For each layer the node that gives it, a sink of the graph.
        channels_first: Whether images are given as (B, C, H, W).
        turned: Names of layers whose maps have their channels first.
        build: Makes the OpenVINO model directly, in milliseconds, with the same names.
    """

    graph_def: bytes
    input: str
    outputs: dict[str, str]
    channels_first: bool = False
    turned: frozenset[str] = frozenset()
    build: Callable[[], Any] | None = None
