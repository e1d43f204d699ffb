"""The network alone, as featx runs it, on pixels that are decoded already: the engine's limit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.speeds.child import BATCH_SIZE, peak_bytes, read_task, report
from benchmarks.speeds.keras_networks import build, count_flops


def main() -> None:
    task = read_task()
    network = task.described

    from benchmarks.speeds.ready import make_ready
    from featx.models import load_model

    weights = None if network.name == "mini" else task.weights
    accelerated, compute = make_ready(
        load_model(network.reference, weights=weights), network, task.folder
    )
    done = [0] * accelerated.concurrency
    began = time.perf_counter()

    def go_on(worker: int) -> None:
        while time.perf_counter() - began < task.seconds:
            compute()
            done[worker] += BATCH_SIZE

    with ThreadPoolExecutor(accelerated.concurrency) as pool:
        list(pool.map(go_on, range(accelerated.concurrency)))
    seconds = time.perf_counter() - began
    peak = peak_bytes()  # Without what counting takes.
    facts = {key: accelerated.run_facts[key] for key in ("engine", "precision")}
    report(
        sum(done),
        seconds,
        peak=peak,
        concurrency=accelerated.concurrency,
        flops=count_flops(build(network)),
        **facts,
    )


if __name__ == "__main__":
    main()
