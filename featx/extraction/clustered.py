"""The run on a cluster: decide once, divide the images, take in what workers have written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from featx.events import Listener
from featx.extraction.division import Division
from featx.extraction.failures import FailureCount
from featx.extraction.plan import Plan
from featx.extraction.preparing import Prepared
from featx.extraction.row_writing import Computed
from featx.extraction.run_facts import describe_run
from featx.extraction.tasks import Job, Task, TaskRecord, TaskWorker, make_task
from featx.features.computing import Stopwatch, max_batch_size
from featx.images.reading import DecodedImage, read_images
from featx.inference.decided import DecidedNetwork, make_noise, request_chosen
from featx.inference.trial import FIRST_BATCH
from featx.ray.connection import LOCAL, connected
from featx.ray.pool import Pool
from featx.ray.pool_size import PoolSize, choose_size, format_share
from featx.store.parts import PartWriter
from featx.store.shared_objects import open_work
from featx.store.shared_work import Workplace
from featx.units import format_count

MOST_TRIED = 1000
"""Images that are read for those by which engine and precision are chosen; the others may be
damaged."""


def compute_on_cluster(
    plan: Plan, prepared: Prepared, watch: Stopwatch, listener: Listener
) -> Computed:
    """Let workers read, compute and write what is to be done; take in what they finish.

    Raises:
        ClusterError: If there is no cluster, or its workers die again and again.
        TooManyFailures: If more images fail than the request allows; what was computed is kept.
    """
    failures = FailureCount(plan, listener)
    _write_new_failures(plan, prepared, failures)
    with watch.timing("compute"):
        first_batch = _choose_engine(plan, prepared)
    options, todo = plan.request.update, plan.changes.todo
    records: list[TaskRecord] = []
    if options.cluster != LOCAL:  # It may take half a minute to find that nobody answers.
        listener.note(f"connecting to Ray at {options.cluster!r}")
    with (
        connected(options.cluster or "") as ray,
        contextlib.closing(open_work(plan.existing.output, plan.existing.first_part)) as work,
    ):
        size = choose_size([node["Resources"] for node in ray.nodes() if node["Alive"]], options)
        listener.note(_describe_size(size))
        job = _make_job(plan, prepared, first_batch, work.place)
        job = replace(job, facts={**job.facts, "ray": ray.__version__, "workers": size.total})
        pool: Pool[Task, TaskRecord] = Pool(ray, size, partial(TaskWorker, job), listener)
        division = Division(todo, row_bytes=job.header.row_bytes, num_workers=size.total)
        listener.start(len(todo), "images")
        try:
            with contextlib.closing(pool.run(_taking(plan, prepared, division))) as results:
                for record in results:
                    work.take_in(record.name)
                    records.append(replace(record, failures=()))
                    division.measure(record.num_images, record.total_seconds)
                    listener.advance(record.num_images)
                    failures.add(*record.failures)
        finally:
            listener.finish()
    for name in watch.seconds:  # On average: as a clock on the wall would show it.
        watch.seconds[name] += sum(record.seconds[name] for record in records) / size.total
    failures.sort(item.key for item in todo)
    return Computed(
        done=sum(record.done for record in records),
        touched=sum(record.touched for record in records),
        reused=sum(record.reused for record in records),
        failures=failures.by_key,
    )


def _taking(plan: Plan, prepared: Prepared, division: Division) -> Callable[[], Task | None]:
    """Return what gives the next task whenever a worker is free for it."""

    def take() -> Task | None:
        items = division.take()
        if not items:
            return None
        return make_task(items, prepared.header, plan.stored, plan.changes.vanished)

    return take


def _describe_size(size: PoolSize) -> str:
    """Say how many workers there will be.

    Example:
        >>> _describe_size(PoolSize(2, 4.0, 0.5))
        '2 workers on Ray, of 4 CPUs and 0.5 GPUs each'
        >>> _describe_size(PoolSize(1, 4.0, 1.0, cpu_workers=3))
        '1 worker on Ray, of 4 CPUs and 1 GPU, and 3 without GPUs'
    """
    parts = [format_share(size.num_cpus, "CPU")]
    if size.num_gpus:
        parts.append(format_share(size.num_gpus, "GPU"))
    each = " each" if size.count > 1 else ""
    more = f", and {size.cpu_workers} without GPUs" if size.cpu_workers else ""
    return f"{format_count(size.count, 'worker')} on Ray, of {' and '.join(parts)}{each}{more}"


def _write_new_failures(plan: Plan, prepared: Prepared, failures: FailureCount) -> None:
    """Record what could not even be listed: no worker gets it."""
    new = plan.changes.new_failures
    if not new:
        return
    writer = PartWriter(
        plan.existing.folder, prepared.header, first_number=plan.existing.first_part
    )
    for failure in new:
        writer.fail(failure)
    writer.commit()
    failures.add(*new)


def _choose_engine(plan: Plan, prepared: Prepared) -> int:
    """Choose engine and precision by the first images, as one machine does, for all workers.

    Returns:
        Images of the batch that a network is to be opened for.
    """
    backbone, header, run = prepared.backbone, prepared.header, plan.request.run
    names, todo = [spec.name for spec in header.features], plan.changes.todo
    size = min(run.batch_size or FIRST_BATCH, max_batch_size(backbone, names), len(todo))
    if prepared.is_chosen:
        return size
    results = read_images(
        todo[:MOST_TRIED],
        header.model.input,
        workers=run.workers,
        known=plan.stored.content_hashes(),
        max_pixels=run.max_pixels,
    )
    first: list[np.ndarray] = []
    with contextlib.closing(results):  # type: ignore[type-var]  # It is a generator.
        for result in results:
            if isinstance(result, DecodedImage):
                first.append(result.pixels)
            if len(first) == size:
                break
    backbone(np.stack(first) if first else make_noise(backbone.spec, size), names)
    return size


def _make_job(plan: Plan, prepared: Prepared, first_batch: int, work: Workplace) -> Job:
    request, backbone = plan.request, prepared.backbone
    spent = 0.0 if prepared.is_chosen else backbone.choosing.seconds
    chosen = replace(prepared, is_chosen=True, choose_seconds=prepared.choose_seconds + spent)
    network = DecidedNetwork(
        model=request.model,
        weights=request.weights,
        input=plan.existing.continue_with(request.input),
        trust_model_code=request.trust_model_code,
        spec=prepared.header.model,
        layers=tuple(spec.name for spec in prepared.header.features),
        engine=request_chosen(backbone.run_facts),
        first_batch=first_batch,
    )
    return Job(
        network=network,
        header=prepared.header,
        facts=describe_run(chosen),
        options=request.run,
        known=frozenset(plan.stored.content_hashes()),
        work=work,
    )
