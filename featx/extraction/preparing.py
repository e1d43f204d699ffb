"""What a plan needs before it can run: the model, the header of the store, room on the disk."""

from __future__ import annotations

import datetime
import math
import platform
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from featx.errors import StoreError
from featx.events import Listener
from featx.extraction.agreement import check_header
from featx.extraction.decoding import choose_decoding
from featx.extraction.plan import Plan
from featx.features.computing import Stopwatch, plan_features
from featx.images.decoders import decoder_versions
from featx.images.reading import read_sample, read_spread
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.inference.quantized import SAMPLES
from featx.inference.request import AUTO, INT8
from featx.models import load_model
from featx.models.backbone import Backbone, Beginning
from featx.models.input_contract import require_scaling
from featx.objects.addresses import is_copy
from featx.objects.copies_limit import copies_limit
from featx.objects.publishing import SINGLE_FILE_LIMIT
from featx.specs import as_recorded
from featx.store.parts import list_parts
from featx.store.rows import DEFAULT_SINGLE_FILE_LIMIT, StoreHeader
from featx.store.shifted import DECODERS
from featx.units import format_bytes, format_count, format_shape
from featx.version import __version__, version_of
from featx.wording import option

MAX_ROW_BYTES = (1 << 32) - 1
"""Limit of HDF5 for a chunk; a chunk holds one row or several."""


CHECKED = 8
"""Pictures from all over that are compared besides the first ones, where the precision is known."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a plan runs with.

    Attributes:
        backbone: The model.
        header: The header of the store that is made.
        load_seconds: How long loading the model took.
        choose_seconds: How long choosing the way of decoding took, and with it what computes.
        is_chosen: Whether what computes was chosen by then.
    """

    backbone: AcceleratedBackbone
    header: StoreHeader
    load_seconds: float
    choose_seconds: float
    is_chosen: bool


def prepare(plan: Plan, listener: Listener) -> Prepared:
    """Load the model; check that its features belong in the store, and that there is room.

    Raises:
        FingerprintMismatch: If the store was made in another way; names each field.
        InvalidValue: If neither the model nor an option says how pixels are scaled.
        UnknownName: If the model or a layer does not exist.
        StoreError: If a row is too large for HDF5, or the result for the disk.
    """
    watch = Stopwatch()
    request = plan.request
    loaded = load_model(
        request.model,
        weights=request.weights,
        input=plan.existing.continue_with(request.input),
        trust_model_code=request.trust_model_code,
    )
    for source in plan.existing.sources:
        loaded.spec = as_recorded(loaded.spec, source.model)
    reading: dict[str, Any] = {
        "workers": request.run.workers,
        "max_pixels": request.run.max_pixels,
    }
    todo, contract = plan.changes.todo, loaded.spec.input
    backbone = AcceleratedBackbone(
        loaded,
        _request_engine(plan),
        listener=listener,
        further=partial(read_spread, todo, contract, **reading),
        checked=partial(read_spread, todo, contract, most=CHECKED, **reading),
        samples=partial(read_sample, todo, contract, SAMPLES, **reading),
        num_images=len(plan.changes.todo) if plan.found.stream is None else None,
    )
    require_scaling(backbone)
    load_seconds = watch.total
    choose_decoding(plan, backbone, listener)
    choose_seconds = watch.total - load_seconds
    header = _make_header(plan, backbone)
    check_header(plan.existing, header)
    _announce(plan, header, backbone.beginning, listener)
    is_chosen = backbone.choosing.seconds > 0
    return Prepared(backbone, header, load_seconds, choose_seconds, is_chosen)


def _request_engine(plan: Plan) -> EngineRequest:
    """Return what is to compute; features in 8 bits go on with their own network, or not at all."""
    asked, stored = plan.request.precision, plan.existing.precision
    precision = INT8 if (asked, stored) == (AUTO, INT8) else asked
    return EngineRequest(
        plan.request.run.engine,
        precision,
        stored_precision=stored,
        quantized=plan.existing.quantized if precision == INT8 else "",
    )


def _make_header(plan: Plan, backbone: Backbone) -> StoreHeader:
    """Return the header of the store that a plan makes."""
    request, base = plan.request, plan.existing.base
    limit = request.update.single_file_limit
    if limit is None:
        limit = SINGLE_FILE_LIMIT if is_copy(request.output) else DEFAULT_SINGLE_FILE_LIMIT
        limit = limit if base is None else base.header.single_file_limit
    return StoreHeader(
        model=backbone.spec,
        features=plan_features(backbone, request.layers, request.pool),
        dtype=request.dtype,
        root=plan.found.root,
        root_relative=plan.found.root.relative_to(request.output.absolute().parent),
        request=plan.record,
        runs=(_describe_run(backbone),),
        single_file_limit=limit,
    )


def _describe_run(backbone: Backbone) -> dict[str, Any]:
    """Return what is recorded of this run: when, and by which versions."""
    run: dict[str, Any] = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(),
        "featx": __version__,
        "python": platform.python_version(),
    }
    for package in ("tensorflow", "keras", "numpy", "pillow"):
        if package in sys.modules or package == "pillow":
            run[package] = version_of(package)
    add_on = backbone.spec.package
    packages = [*backbone.packages, *([] if add_on is None else [add_on])]
    run[DECODERS] = decoder_versions()
    return run | {package: version_of(package) for package in packages}


def _announce(plan: Plan, header: StoreHeader, beginning: Beginning, listener: Listener) -> None:
    """Say what will be computed and how large it gets; check that there is room for it."""
    layers = ", ".join(f"{spec.name} {format_shape(spec.shape)}" for spec in header.features)
    contract = header.model.input
    listener.note(
        f"{header.model.reference} at {contract.height} x {contract.width}, "
        f"'{contract.scaling}' preprocessing → {layers}"
    )
    if beginning.any_size:
        listener.note(
            f"it takes images of any size: {option('img_size', 96)}, for example, chooses another"
        )
    if beginning.warning:
        listener.note(f"warning: {beginning.warning}")
    num_todo = len(plan.changes.todo)
    if num_todo:
        listener.note(
            f"{format_count(num_todo, 'image')} to read: {format_bytes(header.row_bytes)} each, "
            f"{format_bytes(num_todo * header.row_bytes)} in {str(plan.request.output)!r}"
        )
        _check_rows(header)
        _check_disk(plan, header)


def _check_rows(header: StoreHeader) -> None:
    """Refuse rows that HDF5 cannot hold."""
    largest = max(header.features, key=lambda spec: math.prod(spec.shape))
    num_bytes = math.prod(largest.shape) * np.dtype(header.dtype).itemsize
    if num_bytes >= MAX_ROW_BYTES:
        raise StoreError(
            f"A row of {largest.name!r} has {format_bytes(num_bytes)}, and HDF5 holds at most "
            f"{format_bytes(MAX_ROW_BYTES)} in one piece. Use {option('pool', 'avg')} or a smaller "
            f"{option('img_size')}."
        )


def _check_disk(plan: Plan, header: StoreHeader) -> None:
    """Refuse to begin where the disk cannot hold the result.

    Parts and the one file made from them exist side by side for a moment; a view is only parts.
    """
    output = plan.request.output
    needed = len(plan.changes.todo) * header.row_bytes
    finished = list_parts(plan.existing.folder)
    if not plan.request.update.overwrite:
        finished.append(output)
    old = sum(path.stat().st_size for path in finished if path.exists())
    if needed + old <= header.single_file_limit:
        needed = 2 * needed + old
    if is_copy(output):  # What was published may leave the disk.
        needed = min(needed, copies_limit())
        if plan.request.update.cluster is not None:  # Parts are not even here.
            needed = min(needed, header.single_file_limit)
    free = shutil.disk_usage(output.absolute().parent).free
    if needed > free:
        raise StoreError(
            f"{str(output)!r} needs {format_bytes(needed)} of disk while it is made, and "
            f"{format_bytes(free)} are free. Use {option('pool', 'avg')}, "
            f"{option('dtype', 'float16')} or another disk."
        )
