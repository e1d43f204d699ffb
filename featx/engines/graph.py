"""The graph that a backbone hands to an engine: its form, its input and outputs, their layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from featx.errors import ModelError

Layout = Literal["channels_first", "channels_last"]
"""The order of the axes of images and maps: (B, C, H, W) or (B, H, W, C)."""

TENSORFLOW, ONNX, OPENVINO = "tensorflow", "onnx", "openvino"
"""The forms that featx's own model sources and engines know; see `NetworkGraph`."""


class NotConvertible(ModelError):
    """An engine cannot take a network; the message says why."""


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """What a graph gives for a layer.

    Attributes:
        name: The node (TensorFlow, OpenVINO) or tensor (ONNX).
        layout: The order of its axes; None for what is not a map, such as a vector.
    """

    name: str
    layout: Layout | None


@dataclass(frozen=True, slots=True)
class NetworkGraph:
    """A graph without variables, from scaled images to layers.

    Attributes:
        form: What `content` is. ``tensorflow``: a serialised GraphDef. ``onnx``: an ONNX model,
            as bytes or as the path of its file. ``openvino``: a function that returns an OpenVINO
            model, in milliseconds. Add-ons may bring other forms.
        content: The graph.
        input: The node or tensor that takes scaled images.
        input_layout: The order of their axes.
        outputs: Layer → what gives it, in the order in which layers were asked for. Nodes of
            ``tensorflow`` and ``openvino`` are results of the graph; tensors of ``onnx`` may be
            anywhere in it.
        input_shape: The shape that the input is given, None for what varies; None where that is
            what the graph itself states. Only ``onnx`` has it: exporters fix the batch size.

    Example:
        >>> outputs = {"pool": GraphOutput("p", "channels_first"), "fc": GraphOutput("fc", None)}
        >>> NetworkGraph(ONNX, Path("net.onnx"), "images", "channels_first", outputs).form
        'onnx'
    """

    form: str
    content: bytes | Path | Callable[[], Any]
    input: str
    input_layout: Layout
    outputs: Mapping[str, GraphOutput]
    input_shape: tuple[int | None, ...] | None = None
