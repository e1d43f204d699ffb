"""OpenVINO networks: compiled models, several calls at a time."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.engines.engines import NetworkSettings, Results
from featx.engines.graph import NotConvertible
from featx.engines.openvino_model import get_core, reason_of
from featx.errors import ModelError
from featx.forks import OPENVINO, refuse_lost_threads
from featx.units import format_count
from featx.wording import option

BLOCK = 4
"""Images that go through a network together. Of 1 to 32, this number is the fastest or within 2 %
of it, for MobileNetV2, ResNet50, VGG19 and the built-in network (``benchmarks/LOG.md``)."""

CALL_SECONDS, MAX_BATCH = 0.03, 32
"""How long a call with several blocks should take: its overhead is about 0.5 ms."""

MAX_EXPORTED = 64 << 20
"""Bytes of weights of a network that is kept as it was compiled, which takes as many again."""

BYTES_PER_OPERATION = 200_000
"""Compiling takes time for each operation, reading what was compiled for each byte: 39 instead of
102 ms for MobileNetV2, as long for 10 convolutions with 17 MB, 206 instead of 142 ms for VGG19."""

MAX_STREAMS = 16
"""Each takes memory of its own: 100 MB for VGG19 in float32. More cores share streams."""

_PRECISIONS = {"float32": "f32", "mixed": "bf16", "bfloat16": "bf16", "int8": "f32"}
"""Ours → OpenVINO's name of the type in which it computes; for `mixed`, the type of operations that
are not marked in the model, and for `int8` of those that are not quantised: bfloat16 is no faster
there (``benchmarks/LOG.md``)."""


class OpenVinoNetwork:
    """A model, compiled for this processor.

    The first call also measures how many images are best given in one call.

    Args:
        model: An OpenVINO model, or what `export` returned for the same settings.
        settings: How it is to run.
        block: Images that go through the network together, unless the model takes only one number
            of them. It is compiled for that number: a shape that is known is up to a sixth faster,
            and few images stay in the cache.

    Attributes:
        concurrency: Calls from several threads that are computed at the same time.
        batch_size: Images that are best given in one call: `block` before the first.
        is_worth_keeping: Whether reading it will take less than compiling its model did.

    Raises:
        NotConvertible: If OpenVINO cannot compile it, or refuses what was exported.
    """

    def __init__(self, model: Any, settings: NetworkSettings, block: int = BLOCK) -> None:
        self.concurrency = min(settings.num_threads, MAX_STREAMS)
        self.is_worth_keeping = False
        try:
            options = self._options(settings)
            if isinstance(model, bytes):
                compiled = get_core().import_model(model, "CPU", options)
            else:
                model = _with_block(model, block)
                self.is_worth_keeping = _is_quick_to_read(model)
                compiled = get_core().compile_model(model, "CPU", options)
            block = compiled.input(0).shape[0]
            if settings.precision == "mixed" and not _keeps_float32(compiled):
                raise NotConvertible("this version of it keeps no single operation in float32")
            self._ports = dict(zip(settings.names, compiled.outputs, strict=True))
        except NotConvertible:
            raise
        except Exception as error:
            raise NotConvertible(reason_of(error)) from error
        self.batch_size = self._block = block
        self._compiled = compiled
        self._is_new = True
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.concurrency):
            self._requests.put(compiled.create_infer_request())

    def _options(self, settings: NetworkSettings) -> dict[str, Any]:
        is_exact = settings.precision in ("float32", "int8")
        return {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[settings.precision],
            "EXECUTION_MODE_HINT": "ACCURACY" if is_exact else "PERFORMANCE",
            "NUM_STREAMS": self.concurrency,
            "INFERENCE_NUM_THREADS": settings.num_threads,
            # Else each process binds its threads to the first cores, and several share these.
            "ENABLE_CPU_PINNING": False,
        }

    def export(self) -> bytes:
        """Return it as OpenVINO has compiled it, to be opened by the same version."""
        content: bytes = self._compiled.export_model().getvalue()
        return content

    def __call__(self, pixels: np.ndarray) -> Results:
        """Compute layers of pixels: uint8 (B, H, W, C), RGB, not scaled.

        Raises:
            ForkError: If this process was forked since the network was opened.
            ModelError: If OpenVINO fails, for example because memory runs out.
        """
        refuse_lost_threads(OPENVINO)
        if not self._is_new:
            return self._compute(pixels)
        self._is_new = False
        return self._start(pixels)

    def _start(self, pixels: np.ndarray) -> Results:
        """Compute the first images, and choose by the time of the last ones how many to take.

        Short calls keep all streams busy to the end; long ones hide what a call costs. The first
        block does not count: it includes making the kernels.
        """
        results = self._compute(pixels[: self._block])
        rest = pixels[self._block :]
        if len(rest) == 0:
            return results
        began = time.perf_counter()
        following = self._compute(rest)
        per_block = (time.perf_counter() - began) / math.ceil(len(rest) / self._block)
        blocks = min(round(CALL_SECONDS / per_block), MAX_BATCH // self._block)
        self.batch_size = self._block * max(1, blocks)
        return {name: np.concatenate([results[name], following[name]]) for name in results}

    def _compute(self, pixels: np.ndarray) -> Results:
        results: dict[str, np.ndarray] = {}
        request = self._requests.get()
        try:
            for start in range(0, len(pixels), self._block):
                block = pixels[start : start + self._block]
                count = len(block)
                if count < self._block:
                    block = np.concatenate([block, *[block[-1:]] * (self._block - count)])
                request.infer([np.ascontiguousarray(block)], share_inputs=True)
                for name, port in self._ports.items():
                    values = request.get_tensor(port).data
                    if name not in results:
                        shape = _rows_shape(name, values.shape, self._block, len(pixels))
                        results[name] = np.empty(shape, np.float32)
                    # Copies: the request's own memory is that of its next block.
                    results[name][start : start + count] = values[:count]
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO failed to run the network: {reason_of(error).rstrip('.')}. "
                f"Use {option('engine', 'tensorflow')}."
            ) from error
        finally:
            self._requests.put(request)
        return results


def _with_block(model: Any, block: int) -> Any:
    """Return a copy of a model for one number of images, unless it has one already."""
    model = model.clone()
    shape = model.input(0).get_partial_shape()
    if shape[0].is_dynamic:  # Else what is inside the network may depend on it.
        shape[0] = block
    model.reshape(shape)
    return model


def _is_quick_to_read(model: Any) -> bool:
    """Whether a compiled model is small for its number of operations."""
    nodes = model.get_ops()
    constants = [node for node in nodes if node.get_type_name() == "Constant"]
    size: int = sum(node.get_byte_size() for node in constants)
    num_operations = len(nodes) - len(constants)
    return size <= min(MAX_EXPORTED, num_operations * BYTES_PER_OPERATION)


def _keeps_float32(compiled: Any) -> bool:
    """Whether some product with weights is computed in float32."""
    products = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")
    return any(
        node.rt_info["layerType"].value in products
        and node.rt_info["runtimePrecision"].value == "f32"
        for node in compiled.get_runtime_model().get_ops()
    )


def _rows_shape(name: str, shape: Sequence[int], block: int, count: int) -> tuple[int, ...]:
    """Return the shape of a layer's rows of all blocks; refuse what is not a row for each image."""
    if not shape or shape[0] != block:
        raise ModelError(
            f"A layer gives one row for each image. Received: an array {tuple(shape)} of {name!r} "
            f"for {format_count(block, 'image')}. Choose a layer before or after it."
        )
    return (count, *shape[1:])
