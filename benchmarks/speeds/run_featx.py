"""featx: from files to the committed store."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.speeds.child import read_task, report


def main() -> None:
    task = read_task()
    network = task.described

    import featx.extraction.preparing
    from benchmarks.speeds.ready import make_ready, pooling
    from featx.inference import AcceleratedBackbone, EngineRequest
    from featx.models import Backbone

    chosen: list[AcceleratedBackbone] = []

    def accelerate(
        backbone: Backbone, request: EngineRequest, **options: Any
    ) -> AcceleratedBackbone:
        accelerated, _ = make_ready(backbone, network, task.folder, request, **options)
        chosen.append(accelerated)
        return accelerated

    with mock.patch.object(featx.extraction.preparing, "AcceleratedBackbone", accelerate):
        done = featx.extraction.extract(
            task.folder,
            model=network.reference,
            weights=None if network.name == "mini" else task.weights,
            layers=[network.layer] if network.layer else [],
            pool=pooling(network),
            output=Path(task.scratch) / "features.h5",
        )
    assert not done.failed, f"{done.failed} of the benchmark's pictures failed"
    assert not done.reused, "pictures that are the same are computed only once"
    rate = done.images_per_second
    if not rate:  # All pictures were computed while the engine was chosen, as in a quick run.
        rate = done.done / (sum(done.seconds.values()) - done.seconds["load"])
    report(
        done.done,
        done.done / rate,
        parts=done.seconds,
        engine=chosen[0].run_facts["engine"],
        precision=chosen[0].run_facts["precision"],
    )


if __name__ == "__main__":
    main()
