"""What an extraction was asked to do: as the header of a store, and as words for people."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import featx
from featx.errors import StoreError
from featx.events import Listener
from featx.features.computing import plan_features
from featx.images.sources import ImageSet, label_of
from featx.models.backbone import Backbone
from featx.models.input_contract import require_scaling
from featx.models.reference import without_trust
from featx.models.remembered import stamp_model
from featx.options import InputOptions
from featx.specs import StorageType
from featx.store.parts import list_parts, parts_folder
from featx.store.rows import StoreHeader
from featx.units import format_bytes, format_count, format_shape


def make_header(
    backbone: Backbone,
    layers: Sequence[str],
    pool: str,
    dtype: StorageType,
    output: Path,
    found: ImageSet,
    request: dict[str, Any],
    single_file_limit: int,
) -> StoreHeader:
    """Return the header of the store that the request asks for.

    Raises:
        InvalidValue: If the model does not say how it wants its pixels, and nobody else does.
        UnknownName: If a layer does not exist.
    """
    require_scaling(backbone.spec)
    return StoreHeader(
        model=backbone.spec,
        features=plan_features(backbone, layers, pool),
        dtype=dtype,
        root=found.root,
        root_relative=found.root.relative_to(output.absolute().parent),
        request=request,
        runs=(_describe_run(backbone),),
        single_file_limit=single_file_limit,
    )


def _describe_run(backbone: Backbone) -> dict[str, Any]:
    """Return what is recorded of this run: when, and by which versions."""
    run = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(),
        "featx": featx.__version__,
        "python": platform.python_version(),
    }
    for package in ("tensorflow", "keras", "numpy", "pillow"):
        if package in sys.modules or package == "pillow":
            run[package] = importlib.metadata.version(package)
    add_on = backbone.spec.package
    packages = [*backbone.packages, *([] if add_on is None else [add_on])]
    return run | {package: importlib.metadata.version(package) for package in packages}


MAX_ROW_BYTES = (1 << 32) - 1
"""Limit of HDF5 for a chunk; a chunk holds one row or several."""


def announce(
    header: StoreHeader, num_todo: int, output: Path, listener: Listener, *, overwrite: bool
) -> None:
    """Say what will be computed and how large it gets; check that the disk has room."""
    layers = ", ".join(f"{spec.name} {format_shape(spec.shape)}" for spec in header.features)
    contract = header.model.input
    listener.note(
        f"{header.model.reference} at {contract.height} x {contract.width}, "
        f"'{contract.scaling}' preprocessing → {layers}"
    )
    if not num_todo:
        return
    needed = num_todo * header.row_bytes
    listener.note(
        f"{format_count(num_todo, 'image')} to read: {format_bytes(header.row_bytes)} each, "
        f"{format_bytes(needed)} in {str(output)!r}"
    )
    largest = max((spec for spec in header.features), key=lambda spec: math.prod(spec.shape))
    largest_bytes = math.prod(largest.shape) * np.dtype(header.dtype).itemsize
    if largest_bytes >= MAX_ROW_BYTES:
        raise StoreError(
            f"A row of {largest.name!r} has {format_bytes(largest_bytes)}, and HDF5 holds at most "
            f"{format_bytes(MAX_ROW_BYTES)} in one piece. Use --pool avg or a smaller --img-size."
        )
    # Parts and the one file made from them exist side by side for a moment; a view is only parts.
    finished = [*([] if overwrite else [output]), *list_parts(parts_folder(output))]
    old = sum(path.stat().st_size for path in finished if path.exists())
    if needed + old <= header.single_file_limit:
        needed = 2 * needed + old
    free = shutil.disk_usage(output.absolute().parent).free
    if needed > free:
        raise StoreError(
            f"{str(output)!r} needs {format_bytes(needed)} of disk while it is made, "
            f"and {format_bytes(free)} are free. Use --pool avg, --dtype float16 or another disk."
        )


def describe_images(found: ImageSet) -> str:
    """Say how many images there are and where: ``240 images in 'flowers', 12 class folders``."""
    if found.stream is not None:
        return "images as they come, from Python"
    where = "from Python" if found.root.is_in_memory else f"in {str(found.root)!r}"
    classes = found.classes
    of_folders = all(item.label == label_of(item.key) for item in found.items)
    kind = "class folders" if of_folders else "classes"
    of_classes = f", {len(classes)} {kind}" if len(classes) > 1 else ""
    return f"{format_count(len(found.items), 'image')} {where}{of_classes}"


def describe_request(
    model: str,
    weights: str | None,
    layers: Sequence[str],
    pool: str,
    dtype: str,
    overrides: InputOptions,
) -> dict[str, Any]:
    """Return the arguments as JSON, with the time stamps of the files that they name."""
    changes = asdict(overrides)
    if overrides.img_size is not None:
        changes["img_size"] = list(overrides.img_size)
    return {
        "model": without_trust(model),
        "weights": weights,
        "layers": list(layers),
        "pool": pool,
        "dtype": dtype,
        "input": changes,
        "files": stamp_model(model, weights),
    }
