"""`extract`: from images to a feature store, resumable, one bad image at a time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import featx
from featx.compute import Stopwatch, plan_features
from featx.errors import (
    InvalidValue,
    StoreError,
)
from featx.events import Listener
from featx.extraction_job import ExtractionJob
from featx.files import describe_wrong_output, relative_path
from featx.images.sources import ImageSet, find_images
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.models.builtin import describe_default
from featx.models.reference import parse_reference, savedmodel_files
from featx.specs import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_MODEL,
    DEFAULT_POOLING,
    DEFAULT_STORAGE_TYPE,
    DEFAULT_STORE,
    POOLING_NAMES,
    ChannelOrder,
    Exif,
    InputOverrides,
    Interpolation,
    Pooling,
    Preprocess,
    Resize,
    StorageType,
    check_choice,
)
from featx.store.format import StoreHeader, is_store
from featx.store.lock import lock_for_writing
from featx.store.reader import list_parts, parts_folder
from featx.store.writer import is_afresh, remove_parts, start_afresh
from featx.units import format_bytes, format_shape


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What an extraction did.

    Attributes:
        output: The store.
        rows: Rows in the store now.
        done: Images whose features were computed in this run.
        skipped: Images whose features were there already.
        removed: Rows removed because their image is gone (``prune``).
        missing: Rows kept although their image is gone.
        failed: Images that could not be used, in this run or, unchanged since, in an earlier.
        images_per_second: Images computed per second of this run, model loading excluded.
        seconds: ``load`` (model), ``read`` (waiting for images), ``compute``, ``write``.
    """

    output: str
    rows: int
    done: int
    skipped: int
    removed: int
    missing: int
    failed: int
    images_per_second: float
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def extract(
    images: str | Path | Sequence[str | Path] = ".",
    *,
    model: str | None = None,
    weights: str | None = None,
    layers: Sequence[str] = (),
    pool: Pooling = DEFAULT_POOLING,
    output: str | Path = DEFAULT_STORE,
    dtype: StorageType = DEFAULT_STORAGE_TYPE,
    img_size: tuple[int, int] | None = None,
    preprocess: Preprocess = "auto",
    channel_order: ChannelOrder | None = None,
    resize: Resize | None = None,
    interpolation: Interpolation | None = None,
    exif: Exif | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    workers: int | None = None,
    overwrite: bool = False,
    prune: bool = False,
    strict: bool = False,
    max_failures: int | None = None,
    listener: Listener | None = None,
) -> ExtractReport:
    """Compute features of images once, into a feature store.

    Running it again computes only what is new or changed, finishes what was interrupted,
    and refuses to mix features of another model, preprocessing, tap or pooling into the file.

    Args:
        images: A folder (searched recursively), a file, or several.
        model: The model, see `featx.load_model`; the built-in backbone when None.
        weights: ``imagenet``, ``random`` or a path; for Keras applications.
        layers: Taps by name, index, glob or path; when empty the last feature map, of the
            built-in backbone its ``embedding``.
        pool: How maps of shape (h, w, c) are reduced: ``none`` stores them as they are.
        output: The store, an HDF5 file.
        dtype: How values are stored.
        img_size: ``(height, width)`` of the model's input in pixels.
        preprocess: Scaling of pixels; ``auto`` is the model's own.
        channel_order: ``rgb`` or ``bgr``.
        resize: ``stretch``, ``crop`` or ``pad``.
        interpolation: Resampling filter.
        exif: ``apply`` or ``ignore`` the camera's orientation tag.
        batch_size: Images for each run of the network.
        workers: Threads that read and decode.
        overwrite: Start afresh; the old store is replaced when the new one is complete.
        prune: Remove rows whose image no longer exists.
        strict: Stop at the first image that fails.
        max_failures: Stop when more images than this fail.
        listener: Receives notes, progress and failures.

    Returns:
        A report; `failed` images are listed in the store's ledger with the reason.

    Raises:
        ImagesNotFound: If there are no images.
        FingerprintMismatch: If the store was made in another way; names each field.
        TooManyFailures: See `strict` and `max_failures`; what was computed is kept.
        StoreError: If the store cannot be written; what was committed is kept.

    Example:
        >>> from featx.testing import toy_model, write_images
        >>> report = extract(write_images(3), model=toy_model(), layers=["mean"], output="t.h5")
        >>> report.done, report.failed
        (3, 0)
    """
    listener = listener or Listener()
    if batch_size < 1:
        raise InvalidValue(f"A batch has at least one image. Received: {batch_size}.")
    check_choice("pooling", pool, POOLING_NAMES)
    check_choice("storage type", dtype, get_args(StorageType))
    overrides = InputOverrides(img_size, preprocess, channel_order, resize, interpolation, exif)
    output = Path(output)
    if output.is_symlink():  # The file it points to is replaced, not the link.
        output = output.resolve()
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise StoreError(describe_wrong_output(output))
    if overwrite and output.exists() and not is_store(output):
        raise StoreError(
            f"{str(output)!r} exists and is not a feature store; it is left alone. "
            "Choose another file with -o, or delete it yourself."
        )
    if model is None:
        model = DEFAULT_MODEL
        if weights is not None:
            raise InvalidValue(
                f"--weights {weights} belongs to a Keras application: name it with -m, for "
                "example -m keras:MobileNetV2."
            )
        listener.note(describe_default())

    found = find_images(images)
    listener.note(f"{len(found.items):,} images in {str(found.root)!r}{_describe(found)}")
    request = _describe_request(model, weights, layers, pool, dtype, overrides)

    folder = parts_folder(output)
    with lock_for_writing(folder), contextlib.ExitStack() as stack:
        replacing = request | {"root": str(found.root)}
        goes_on = not overwrite or is_afresh(folder, replacing)
        job = ExtractionJob(
            output,
            found,
            listener,
            stack,
            parts=list_parts(folder) if goes_on else [],
            ignore_base=overwrite or is_afresh(folder),
        )
        limit = 0 if strict else max_failures
        job.check_failures(limit)
        if job.base is not None and job.is_complete(prune) and job.base.header.request == request:
            # The same command again, and nothing to do: the model is not even loaded.
            watch, load_seconds, rows = Stopwatch(), 0.0, len(job.base)
        else:
            watch = Stopwatch()
            backbone = load_model(model, weights=weights, overrides=overrides)
            load_seconds = watch.total
            header = _make_header(backbone, layers, pool, dtype, output, found, request)
            job.check_header(header)
            _announce(header, len(job.todo), output, listener)
            if overwrite:  # Not before everything that can be wrong with it has been checked.
                start_afresh(folder, replacing)
            try:
                watch = job.run(backbone, batch_size, workers, limit, header)
            except KeyboardInterrupt:
                listener.note("what was computed is kept: the same command goes on from there")
                raise
            rows = job.assemble(header, prune, watch)
        seconds = watch.total
        report = ExtractReport(
            output=str(output),
            rows=rows,
            done=job.done,
            skipped=job.skipped,
            removed=len(job.vanished) if prune else 0,
            missing=0 if prune else len(job.vanished),
            failed=len(job.failures),
            images_per_second=job.done / seconds if job.done else 0.0,
            seconds={
                "load": load_seconds,
                "read": watch.read,
                "compute": watch.compute,
                "write": watch.write,
            },
        )
        stack.close()  # Everything is in the one file now.
        remove_parts(folder)
    return report


def _make_header(
    backbone: Backbone,
    layers: Sequence[str],
    pool: Pooling,
    dtype: StorageType,
    output: Path,
    found: ImageSet,
    request: dict[str, Any],
) -> StoreHeader:
    contract = backbone.spec.input
    if contract.scaling is None:
        raise InvalidValue(
            f"featx cannot know how {backbone.spec.reference!r} expects its pixels. Choose with "
            "--preprocess: tf for [-1, 1], unit for [0, 1], raw for [0, 255], or caffe or torch "
            "for ImageNet's mean and deviation."
        )
    return StoreHeader(
        model=backbone.spec,
        features=plan_features(backbone, layers, pool),
        dtype=dtype,
        root=str(found.root),
        root_relative=relative_path(found.root, output.absolute().parent),
        request=request,
        provenance={"featx": featx.__version__, "engine": "tensorflow", "precision": "float32"},
    )


def _announce(header: StoreHeader, num_todo: int, output: Path, listener: Listener) -> None:
    """Say what will be computed and how large it gets; check that the disk has room."""
    taps = ", ".join(f"{spec.name} {format_shape(spec.shape)}" for spec in header.features)
    contract = header.model.input
    listener.note(
        f"{header.model.reference} at {contract.height} x {contract.width}, "
        f"'{contract.scaling}' preprocessing → {taps}"
    )
    if not num_todo:
        return
    needed = num_todo * header.row_bytes
    listener.note(
        f"{num_todo:,} images to read: {format_bytes(header.row_bytes)} each, "
        f"{format_bytes(needed)} in {str(output)!r}"
    )
    # Parts and the file made from them exist side by side for a moment.
    finished = [output, *list_parts(parts_folder(output))]
    old = sum(path.stat().st_size for path in finished if path.exists())
    free = shutil.disk_usage(output.absolute().parent).free
    if 2 * needed + old > free:
        raise StoreError(
            f"{str(output)!r} needs {format_bytes(2 * needed + old)} of disk while it is made, "
            f"and {format_bytes(free)} are free. Use --pool avg, --dtype float16 or another disk."
        )


def _describe(found: ImageSet) -> str:
    classes = found.classes
    return f", {len(classes)} class folders" if len(classes) > 1 else ""


def _describe_request(
    model: str,
    weights: str | None,
    layers: Sequence[str],
    pool: str,
    dtype: str,
    overrides: InputOverrides,
) -> dict[str, Any]:
    """Return the arguments as JSON, with the time stamps of the files that they name."""
    changes = asdict(overrides)
    if overrides.img_size is not None:
        changes["img_size"] = list(overrides.img_size)
    return {
        "model": model,
        "weights": weights,
        "layers": list(layers),
        "pool": pool,
        "dtype": dtype,
        "input": changes,
        "files": [*_stamps(parse_reference(model)[1]), *_stamps(weights)],
    }


def _stamps(path: str | None) -> list[list[Any]]:
    """Return ``[path, size, mtime]`` of each file of a model; none if it is not a path."""
    if path is None:
        return []
    place = Path(path)
    stamps = []
    for file in [place, *savedmodel_files(place)]:
        if file.is_file():
            status = file.stat()
            stamps.append([str(file.absolute()), status.st_size, status.st_mtime_ns])
    return stamps
