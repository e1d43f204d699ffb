"""`extract`: from images to a feature store, resumable, one bad image at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from featx.atomic import remove_file
from featx.errors import InvalidValue, StoreError
from featx.events import Listener
from featx.extraction.opening import describe_dry_run, open_job
from featx.extraction.report import ExtractReport
from featx.extraction.request import announce, describe_images, describe_request, make_header
from featx.features.computing import Stopwatch
from featx.files import describe_wrong_output, resolve_link
from featx.images.reading import read_spread
from featx.images.sharding import select_shard
from featx.images.sources import Images, gather
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.models import load_model
from featx.models.builtin import describe_default
from featx.models.reference import add_arguments
from featx.options import InputOptions, Selection
from featx.poolings import POOLINGS
from featx.specs import (
    DEFAULT_MODEL,
    DEFAULT_POOLING,
    DEFAULT_STORAGE_TYPE,
    DEFAULT_STORE,
    ChannelOrder,
    Decode,
    Exif,
    Interpolation,
    Precision,
    Preprocess,
    Resize,
    StorageType,
    check_choice,
)
from featx.store.format import is_store
from featx.store.lock import lock_for_writing
from featx.store.parts import AFRESH_NAME, find_afresh, parts_folder, start_afresh
from featx.store.rows import DEFAULT_SINGLE_FILE_LIMIT
from featx.store.views import remove_spent_parts


def extract(
    images: Images = ".",
    *,
    labels: Any = None,
    exclude: Sequence[str] = (),
    image_list: str | Path | None = None,
    split: str | None = None,
    frame: int | str | None = None,
    max_pixels: int | None = None,
    model: str | None = None,
    weights: str | None = None,
    signature: str | None = None,
    layers: Sequence[str] = (),
    pool: str = DEFAULT_POOLING,
    output: str | Path = DEFAULT_STORE,
    dtype: StorageType = DEFAULT_STORAGE_TYPE,
    img_size: tuple[int, int] | None = None,
    preprocess: Preprocess = "auto",
    channel_order: ChannelOrder | None = None,
    resize: Resize | None = None,
    interpolation: Interpolation | None = None,
    exif: Exif | None = None,
    decode: Decode | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    engine: str = "auto",
    precision: Precision = "auto",
    overwrite: bool = False,
    prune: bool = False,
    strict: bool = False,
    max_failures: int | None = None,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
    single_file_limit: int | None = None,
    trust_model_code: bool = False,
    wait: bool = False,
    dry_run: bool = False,
    listener: Listener | None = None,
) -> ExtractReport:
    """Compute features of images once, into a feature store.

    Running it again computes only what is new or changed, finishes what was interrupted,
    and refuses to mix features of another model, preprocessing, layer or pooling into the file.
    Identical files are computed once; one that was renamed or moved keeps its features.

    Args:
        images: A folder (searched recursively), a file, glob, archive, manifest, array file or
            URL, or several; see `featx.images.sources.find_images`. Or objects: an array (N, H, W)
            or (N, H, W, C) of uint8, or such an array and its labels; a ``tf.data.Dataset`` of
            images or of images and labels; (key, image) or (key, image, label) one after the
            other. Floats are taken where they are whole numbers in [0, 255]. Of objects, rows are
            only ever removed with `prune`.
        labels: N labels of an array of images.
        exclude: Globs: images to leave out, by their key or a folder's name.
        image_list: A text file with one path in each line, ``-`` for the standard input; beside
            `images` where these are named, else instead of them.
        split: Only this split of manifests and array files.
        frame: Of animations and files of several pages this frame, from 0, or ``all``, under keys
            such as ``a.gif#3``; when None the first, under the file's own key.
        max_pixels: Largest picture that is decoded; 178,956,970 when None.
        model: The model, see `featx.load_model`; the built-in backbone when None.
        weights: ``imagenet``, ``random`` or a path; for Keras applications.
        signature: Of a SavedModel or Hub module, the same as ``,signature=NAME`` after its name.
        layers: Layers by name, index, glob or path; when empty the last feature map, of the
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
        decode: ``fast``: JPEGs of at least four times the model's size are decoded at a fraction
            of it, never below twice that size; ``exact``: always all pixels. None keeps the
            store's own, which is ``fast`` at first.
        batch_size: Images that are given to the network at a time; what suits it when None.
        workers: Threads that read and decode.
        engine: ``tensorflow``, ``openvino`` (on the CPU; a model that it cannot take runs in
            TensorFlow), or ``auto``: OpenVINO unless TensorFlow is clearly faster here.
        precision: ``float32``; ``bfloat16``; ``mixed``: the first convolutions in float32, the
            others in bfloat16 with corrected constants; or ``auto``: bfloat16, or else mixed,
            where the processor has it and every row of every layer keeps a cosine of at least 0.999
            to its float32 values, in the first eight images and in one of 16 from all over the
            folder, at most 32. A store goes on in the precision in which it was begun.
        overwrite: Start afresh; the old store is replaced when the new one is complete.
        prune: Remove rows whose image no longer exists.
        strict: Stop at the first image that fails.
        max_failures: Stop when more images than this fail.
        retry_failed: Also try images again that failed and have not changed since.
        shard: ``(i, n)``: only the i-th of n parts of the images, i from 1, divided by a hash of
            their keys. Each into a store of its own; `featx.merge_stores` joins them.
        single_file_limit: Above this many bytes of features, the store refers to its part files
            instead of holding the features; None keeps the store's own (at first 4 GB).
        trust_model_code: See `featx.load_model`. It is not stored.
        wait: Wait for another process that writes to the store instead of refusing.
        dry_run: Only say what would be done.
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
    if batch_size is not None and batch_size < 1:
        raise InvalidValue(f"A batch has at least one image. Received: {batch_size}.")
    POOLINGS.check(pool)
    check_choice("storage type", dtype, get_args(StorageType))
    EngineRequest(engine, precision)  # Refuses unknown names before any work.
    overrides = InputOptions(
        img_size, preprocess, channel_order, resize, interpolation, exif, decode
    )
    output = resolve_link(Path(output))
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
        if signature is not None or trust_model_code:
            option = "--trust-model-code" if signature is None else "--signature"
            raise InvalidValue(f"{option} goes with a model of your own: name it with -m.")
        listener.note(describe_default())
    model = add_arguments(model, signature=signature)

    selection = Selection(exclude, image_list, split, frame)
    folder = parts_folder(output)
    with contextlib.ExitStack() as stack:
        if not dry_run:
            stack.enter_context(lock_for_writing(folder, listener if wait else None))
        # Within the lock: while waiting for another process, files may come and go.
        found = gather(images, labels=labels, selection=selection)
        listener.note(describe_images(found))
        for note in found.notes:
            listener.note(note)
        if shard is not None:
            found = select_shard(found, *shard)
            listener.note(f"{len(found.items):,} of them in part {shard[0]} of {shard[1]}")
        request = describe_request(model, weights, layers, pool, dtype, overrides)
        afresh_request = request | {"root": found.root.text}
        job = open_job(
            output,
            found,
            listener,
            stack,
            afresh_request=afresh_request,
            overwrite=overwrite,
            retry_failed=retry_failed,
            max_pixels=max_pixels,
        )
        former = job.former
        if not dry_run and not overwrite and find_afresh(folder) != former.first_part:
            remove_file(folder / AFRESH_NAME)  # Left by an --overwrite that was killed too early.
        limit = 0 if strict else max_failures
        job.check_failures(limit)
        unlimited = single_file_limit is None
        same = (
            former.base is not None
            and job.is_complete(prune)
            and former.base.header.request == request
            and (unlimited or former.base.header.single_file_limit == single_file_limit)
        )
        former.check_precision(precision, Listener() if same else listener)
        if dry_run:
            job.name_failures()
        watch, load_seconds = Stopwatch(), 0.0
        if same:  # The same command again, and nothing to do: the model is not even loaded.
            rows = len(former.base or ())
        else:
            if decode is None and former.decode is not None:
                overrides = replace(overrides, decode=former.decode)
            loaded = load_model(
                model, weights=weights, input=overrides, trust_model_code=trust_model_code
            )
            backbone = AcceleratedBackbone(
                loaded,
                EngineRequest(engine, precision, stored_precision=former.precision),
                listener=listener,
                further=partial(
                    read_spread,
                    job.changes.todo,
                    loaded.spec.input,
                    workers=workers,
                    max_pixels=max_pixels,
                ),
            )
            load_seconds = watch.total
            if single_file_limit is None:
                single_file_limit = (
                    DEFAULT_SINGLE_FILE_LIMIT
                    if former.base is None
                    else former.base.header.single_file_limit
                )
            header = make_header(
                backbone, layers, pool, dtype, output, found, request, single_file_limit
            )
            former.check_header(header)
            announce(header, len(job.changes.todo), output, listener, overwrite=overwrite)
            if dry_run and found.stream is not None:
                raise InvalidValue(
                    "What a generator or a dataset will give is not known before it is read: "
                    "there is no dry run of it."
                )
            if dry_run:
                return describe_dry_run(job, prune)
            if overwrite:  # Not before everything that can be wrong with it has been checked.
                former.first_part = start_afresh(folder, afresh_request, former.first_part)
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
            reused=job.reused,
            renamed=len(job.renamed),
            removed=len(job.vanished) if prune else 0,
            missing=0 if prune else len(job.vanished),
            failed=len(job.failures),
            images_per_second=job.done / seconds if job.done else 0.0,
            dry_run=dry_run,
            seconds={
                "load": load_seconds,
                "read": watch.read,
                "compute": watch.compute,
                "write": watch.write,
            },
        )
        if former.base is not None:
            former.base.close()
        if not dry_run:
            remove_spent_parts(output)  # Everything is in the store now, or referred to by it.
    return report
