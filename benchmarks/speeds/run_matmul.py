"""A product of large matrices in OpenVINO: how fast this machine multiplies at most."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.speeds.child import read_task, report

SHAPES = ((1024, 512), (1024, 1024), (4096, 1024), (2048, 2048))
"""Rows, and height and width of the square matrices that they are multiplied by."""

LEAST_FLOPS = 10**10
"""Of one measurement: shorter ones would be about starting."""

PRECISIONS = {"f32": "float32", "bf16": "bfloat16"}

CHAIN = 4
"""Products one after the other: the types of the first and the last matrix are converted."""


def main() -> None:
    task = read_task()

    from featx.engines.engines import ENGINES

    names = ["f32", "bf16"] if ENGINES["openvino"].has_precision("bfloat16") else ["f32"]
    runs = [
        (name, Product(name, rows, size, task.cores, streams))
        for name in names
        for rows, size in (SHAPES if task.seconds > 1 else SHAPES[:1])
        for streams in sorted({1, task.cores})
    ]
    measured: list[list[float]] = [[] for _ in runs]
    began = time.perf_counter()
    while len(measured[0]) < 3 or time.perf_counter() - began < task.seconds:
        for rates, (_, run) in zip(measured, runs, strict=True):
            rates.append(run.measure())
    # The best way to multiply, as fast as it usually is: what else runs disturbs networks too.
    best = dict.fromkeys(names, 0.0)
    for rates, (name, _) in zip(measured, runs, strict=True):
        best[name] = max(best[name], statistics.median(rates))
    rates_by_name = {PRECISIONS[name]: rate for name, rate in best.items()}
    seconds = time.perf_counter() - began
    report(max(best.values()) * seconds, seconds, rates=rates_by_name)


class Product:
    """A chain of matrices, compiled in a precision."""

    def __init__(self, precision: str, rows: int, size: int, cores: int, streams: int) -> None:
        import openvino
        from openvino import opset13 as ops

        matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
        matrix /= np.float32(size**0.5)
        first: Any = ops.parameter([rows, size], np.float32)
        product = first
        for number in range(CHAIN):  # Different ones, or they would be kept once.
            other = ops.constant(np.roll(matrix, number, axis=0))
            product = ops.matmul(product, other, False, False)
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": cores,
        }
        model = openvino.Model([ops.result(product)], [first], "product")
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._input = np.resize(matrix, (rows, size))
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._flops = 2 * rows * size**2 * CHAIN * streams
        self._repeats = max(1, LEAST_FLOPS // self._flops)

    def measure(self) -> float:
        """Return FLOP/s of one run on all cores."""

        def run(request: Any) -> None:
            for _ in range(self._repeats):
                request.infer([self._input], share_inputs=True)

        with ThreadPoolExecutor(len(self._requests)) as pool:
            began = time.perf_counter()
            list(pool.map(run, self._requests))
            return self._flops * self._repeats / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
