"""`extract`: from a request through a plan to a report."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np

from featx.arguments import plain_arguments
from featx.atomic import remove_file
from featx.checks.layers import check_layers, check_pool
from featx.checks.texts import check_path
from featx.errors import InvalidValue
from featx.events import Listener
from featx.extraction.agreement import check_precision
from featx.extraction.existing import open_existing
from featx.extraction.plan import Plan, check_failures, find_requested, make_plan, report_failures
from featx.extraction.report import ExtractReport, Outcome, make_report, make_unchanged_outcome
from featx.extraction.request import Request, resolve_model
from featx.extraction.stored import StoredImages
from featx.files import resolve_link
from featx.images.sources import Images, ImageSet, Labels
from featx.keywords import ExtractKeywords
from featx.models.in_memory import check_model
from featx.objects.copies import copy_of
from featx.objects.publishing import publishing, writing_path
from featx.options import InputOptions, Layers, RunOptions, Selection, UpdateOptions, fill_group
from featx.specs import DEFAULT_POOLING, DEFAULT_STORAGE_TYPE, DEFAULT_STORE, StorageType
from featx.store.lock import lock_for_writing
from featx.store.parts import OVERWRITE_NAME, find_overwrite, parts_folder, start_overwrite
from featx.store.shared_work import take_in_abandoned
from featx.store.views import remove_spent_parts
from featx.trust import GivenTrust
from featx.wording import option


@plain_arguments(
    InputOptions, Selection, RunOptions, UpdateOptions, model=check_model, output=check_path
)
def extract(
    images: Images = ".",
    model: Any = None,
    *,
    labels: Labels | None = None,
    weights: str | Path | None = None,
    signature: str | None = None,
    layers: Layers = (),
    pool: str | None = DEFAULT_POOLING,
    output: str | Path = DEFAULT_STORE,
    dtype: StorageType | type[np.floating[Any]] | np.dtype[Any] = DEFAULT_STORAGE_TYPE,
    trust_model_code: GivenTrust = False,
    input: InputOptions | None = None,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    update: UpdateOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[ExtractKeywords],
) -> ExtractReport:
    """Compute features of images once, into a feature store.

    Running it again computes only what is new or changed, finishes what was interrupted,
    and refuses to mix features of another model, preprocessing, layer or pooling into the file.
    Identical files are computed once; one that was renamed or moved keeps its features.

    Args:
        images: A folder (searched recursively), a file, glob, archive, manifest, array file or
            URL, or several; see `featx.images.sources.find_images`. Or objects: an array (N, H, W)
            or (N, H, W, C) of uint8, or such an array and its labels; a ``tf.data.Dataset`` of
            images or of images and labels; arrays or Pillow images, which are numbered, or
            (key, image) or (key, image, label), one after the other, or a dictionary of them; one
            picture; a set, generator or column of paths; a data frame of pandas or polars or a
            table of Arrow with a column of paths or pictures, whose further columns are kept. What
            floats mean, `scale` says. Rows of objects are only ever removed with `prune`.
        model: The model, see `featx.load_model`: a name, a path, or a Keras model itself; the
            built-in backbone when None.
        labels: N labels of images that come in an order: an array, a list, a table.
        weights: ``imagenet``, ``random`` or a path; for Keras applications.
        signature: Of a SavedModel or Hub module, the same as ``,signature=NAME`` after its name.
        layers: One or several (``layer`` is the same), by name, index, glob or path; when empty the
            last feature map, of the built-in backbone its ``embedding``.
        pool: How maps of shape (h, w, c) are reduced: ``none``, or None, stores them as they are.
        output: The store, an HDF5 file, also at ``s3://BUCKET/...`` or ``gs://BUCKET/...``.
        dtype: How values are stored: ``float32`` or ``float16``, by name or as NumPy's type.
        trust_model_code: Run code that comes with a model, see `featx.load_model`. It is not
            stored.
        input: How pictures become the model's pixels.
        selection: Which of the images are wanted.
        run: How images are read and the network is run.
        update: How the store is brought up to date.
        listener: Receives notes, progress and failures; when None, who looks on sees them.
        options: Fields of these four groups as keywords: ``batch_size=32`` is
            ``run=RunOptions(batch_size=32)``.

    Returns:
        A report; `failed` images are listed in the store's ledger with the reason.

    Raises:
        ImagesNotFound: If there are no images.
        FingerprintMismatch: If the store was made in another way; names each field.
        AllImagesFailed: If none of the images could be used; names the first reason.
        TooManyFailures: See `UpdateOptions`; what was computed is kept.
        StoreError: If the store cannot be written; what was committed is kept.
        ClusterError: If there is no cluster where one is named, or its workers die again and again.
        InvalidType: If an option is of another type.
        UnknownOption: If an option does not exist.
        RepeatedOption: If an option is given in a group and as a keyword.

    Example:
        >>> from featx.testing import toy_model, write_images
        >>> report = extract(write_images(3), model=toy_model(), layers=["mean"], output="t.h5")
        >>> report.done, report.failed
        (3, 0)
    """
    run = fill_group(RunOptions, run, options)
    update = fill_group(UpdateOptions, update, options)
    listener = run.choose_listener(listener)
    request = Request(
        images=images,
        labels=labels,
        output=_find_output(output, update),
        model=resolve_model(check_model("model", model), weights, signature, trust_model_code),
        weights=check_path("weights", weights),
        layers=check_layers("layers", layers),
        pool=check_pool("pool", pool),
        dtype=cast(StorageType, dtype),
        trust_model_code=trust_model_code,
        input=fill_group(InputOptions, input, options),
        selection=fill_group(Selection, selection, options),
        run=run,
        update=update,
    )
    request.check()
    report = _extract(request, listener, is_default=model is None)
    report.require_images()
    return report


def _extract(request: Request, listener: Listener, *, is_default: bool) -> ExtractReport:
    update = request.update
    with contextlib.ExitStack() as stack:
        if not update.dry_run:
            folder = parts_folder(request.output)
            stack.enter_context(lock_for_writing(folder, listener if update.wait else None))
            stack.enter_context(publishing(request.output))
            take_in_abandoned(request.output)
        # Within the lock: while waiting for another process, files may come and go.
        record, requested, overwritten = request.record(), None, None
        if update.overwrite:
            requested = find_requested(request, listener)
            overwritten = _record_overwrite(record, requested[0])
        with open_existing(request.output, overwritten) as existing:
            stored = StoredImages(existing.sources)
            found, every_item = requested or find_requested(request, listener, stored.has_file)
            if is_default and not existing.sources:  # Once: later runs only go on.
                from featx.models.builtin import describe_default

                listener.note(describe_default())
            plan = make_plan(request, record, found, existing, stored)
            plan = replace(plan, every_item=every_item)
            report_failures(plan, listener)
            if not update.dry_run:
                _make_ready(plan)
            outcome = _carry_out(plan, listener)
        if not update.dry_run:
            remove_spent_parts(request.output)  # The store has them, or refers to them.
    return make_report(plan, outcome)


def _find_output(output: str | Path, update: UpdateOptions) -> Path:
    """Return the file that is written, or for a dry run only read."""
    if update.dry_run:
        return resolve_link(Path(copy_of(str(output))))
    return writing_path(output)


def _record_overwrite(record: Mapping[str, Any], found: ImageSet) -> dict[str, Any]:
    """Return what an ``--overwrite`` is recognised by when it goes on after an interruption."""
    return {**record, "root": found.root.text}


def _make_ready(plan: Plan) -> None:
    """Remove the marker of an ``--overwrite`` that was killed before it had written a part."""
    existing = plan.existing
    is_used = find_overwrite(existing.folder) == existing.first_part
    if not plan.request.update.overwrite and not is_used:
        remove_file(existing.folder / OVERWRITE_NAME)


def _carry_out(plan: Plan, listener: Listener) -> Outcome:
    """Do what a plan says, or with ``dry_run`` predict its outcome."""
    request, existing = plan.request, plan.existing
    check_failures(plan.changes.failures, request.update.failure_limit)
    is_done = plan.is_done
    check_precision(existing, request.precision, Listener() if is_done else listener)
    if is_done:  # The same command again: the model is not even loaded.
        return make_unchanged_outcome(plan)
    if request.update.cluster is not None and plan.found.stream is not None:
        raise InvalidValue(
            "What a generator or a dataset gives comes one after the other, to this program: it "
            f"cannot be divided. Leave out {option('cluster')}, or pass files."
        )
    from featx.extraction.preparing import prepare  # With engines and decoders, only now.

    prepared = prepare(plan, listener)
    if request.update.dry_run:
        if plan.found.stream is not None:
            raise InvalidValue(
                "What a generator or a dataset will give is not known before it is read: "
                "there is no dry run of it."
            )
        from featx.extraction.forecast import forecast

        return forecast(plan, listener)
    if request.update.overwrite:  # Only now that everything that can be wrong is checked.
        record = _record_overwrite(plan.record, plan.found)
        start_overwrite(existing.folder, record, existing.first_part)
    from featx.extraction.running import run

    return run(plan, prepared, listener)
