"""The engine OpenVINO: on the CPU, in float32, and where the processor has it in bfloat16."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.engines.engines import ComputeType, Network, NetworkSettings
from featx.engines.graph import NetworkGraph, NotConvertible
from featx.engines.openvino_model import FORMS, convert_graph, get_core, reason_of
from featx.engines.openvino_network import BLOCK, OpenVinoNetwork
from featx.errors import InvalidValue
from featx.forks import OPENVINO, start_threads
from featx.input_spec import InputSpec
from featx.machine import describe_instructions, describe_machine
from featx.version import version_of

if TYPE_CHECKING:
    import numpy as np

GRAPH_NAME = "network.xml"
"""The first of the two files of a model in OpenVINO's own format; its weights are beside it."""

COMPILED_NAME = "compiled.blob"
"""The one file of a network that OpenVINO has compiled."""


class OpenVino:
    """OpenVINO as an engine; see `featx.engines.engines.Engine`."""

    name = "openvino"
    forms = tuple(FORMS)
    precisions: tuple[ComputeType, ...] = ("float32", "bfloat16", "mixed")

    def has_precision(self, precision: ComputeType) -> bool:
        """Whether this processor multiplies numbers of that type itself."""
        return precision == "float32" or _has_bfloat16()

    def versions(self) -> Mapping[str, str]:
        """Return OpenVINO's version, to which a converted network belongs."""
        return {"openvino": version_of("openvino")}

    def convert(self, graph: NetworkGraph, contract: InputSpec) -> Any:
        """Return an OpenVINO model of uint8 pixels (B, H, W, C), RGB.

        Raises:
            NotConvertible: If OpenVINO does not know one of its operations.
        """
        return convert_graph(graph, contract)

    def save(self, model: Any, folder: Path) -> None:
        """Write a model's two files, weights in full precision."""
        import openvino

        openvino.save_model(model, folder / GRAPH_NAME, compress_to_fp16=False)

    def read(self, folder: Path) -> Any:
        """Open a model that `save` wrote.

        Raises:
            NotConvertible: If OpenVINO cannot.
        """
        try:
            return get_core().read_model(folder / GRAPH_NAME)
        except Exception as error:
            raise NotConvertible(reason_of(error)) from error

    def prepare(self, model: Any, precision: ComputeType) -> Any:
        """Return a model whose constants survive mixed precision; else the model itself.

        Raises:
            ForkError: If OpenVINO has computed something before this process was forked.
            NotConvertible: If it has no constants that can be corrected.
        """
        if precision != "mixed":
            return model
        start_threads(OPENVINO)
        from featx.engines.mixed_precision import correct

        try:
            return correct(get_core(), model)
        except NotConvertible:
            raise
        except Exception as error:
            raise NotConvertible(reason_of(error)) from error

    def quantize(self, model: Any, images: Sequence[np.ndarray]) -> Any:
        """Return a model whose convolutions compute in 8 bits, calibrated on pictures.

        Raises:
            ForkError: If OpenVINO has computed something before this process was forked.
            InvalidValue: If NNCF is not installed.
            NotConvertible: If it has no convolutions.
        """
        start_threads(OPENVINO)
        from featx.engines.quantization import quantize

        try:
            return quantize(model, images)
        except (InvalidValue, NotConvertible):
            raise
        except Exception as error:
            raise NotConvertible(reason_of(error)) from error

    def open(self, model: Any, settings: NetworkSettings) -> Network:
        """Compile a model for this processor.

        Raises:
            ForkError: If OpenVINO has computed something before this process was forked.
            NotConvertible: If OpenVINO cannot.
        """
        start_threads(OPENVINO)
        return OpenVinoNetwork(model, settings, _choose_block(settings))

    def describe_compiled(self, settings: NetworkSettings) -> Mapping[str, Any]:
        """Return processor, block, precision and threads, to which a compiled network belongs."""
        return {
            "processor": [describe_machine(), describe_instructions()],
            "block": _choose_block(settings),
            "precision": settings.precision,
            "threads": settings.num_threads,
        }

    def is_worth_keeping(self, network: Network) -> bool:
        """Whether it takes less to read than to compile: not if it is few large operations."""
        return isinstance(network, OpenVinoNetwork) and network.is_worth_keeping

    def save_compiled(self, network: Network, folder: Path) -> None:
        """Write what OpenVINO has compiled, weights included."""
        assert isinstance(network, OpenVinoNetwork)
        (folder / COMPILED_NAME).write_bytes(network.export())

    def read_compiled(self, folder: Path, settings: NetworkSettings) -> Network:
        """Open what `save_compiled` wrote.

        Raises:
            ForkError: If OpenVINO has computed something before this process was forked.
            NotConvertible: If OpenVINO refuses it: what another version has compiled, too.
        """
        start_threads(OPENVINO)
        try:
            content = (folder / COMPILED_NAME).read_bytes()
        except OSError as error:
            raise NotConvertible(str(error)) from error
        return OpenVinoNetwork(content, settings)


def _choose_block(settings: NetworkSettings) -> int:
    """Return the size of blocks that divide a batch: none has to be filled up."""
    num_blocks = math.ceil(settings.batch_size / BLOCK)
    return math.ceil(settings.batch_size / num_blocks)


@cache
def _has_bfloat16() -> bool:
    return "BF16" in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


ENGINE = OpenVino()
