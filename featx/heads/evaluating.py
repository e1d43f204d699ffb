"""`evaluate`: how good a head is on labelled images, or on a store, that it was not fitted on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from featx.arguments import check_head, plain_arguments
from featx.checks.texts import check_path
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.heads.head import Head, load_head
from featx.heads.held_out import AnyHeldOut
from featx.heads.judging import AnyEvaluation
from featx.heads.kinds import Task
from featx.heads.labels import read_label_table
from featx.heads.measured_rows import MeasuredRows
from featx.heads.row_table import check_rows_path, write_rows
from featx.heads.vector_batches import VectorBatch, iter_vectors
from featx.images.sources import ImageFailure, Images
from featx.keywords import EvaluateKeywords
from featx.options import RunOptions, Selection, fill_group
from featx.shown import Shown
from featx.specs import DEFAULT_HEAD
from featx.trust import GivenTrust


@dataclass(frozen=True, slots=True, repr=False)
class EvaluateReport(Shown):
    """How good a head is on images that it was not fitted on.

    Attributes:
        head: The head's folder; empty for one that was never written.
        kind: Its kind.
        layer: Its layer.
        evaluation: The figures.
        num_fitted_on: Labelled images left out because the head was fitted on them.
        num_unlabelled: Images left out because they have no label, or not the value that the head
            learned.
        num_not_finite: Images left out because their features are NaN, infinite or above 1e15.
        unknown_labels: Labels that are no class of the head, with their numbers of images, the most
            frequent first. These are left out, but not those with several labels.
        failures: Images that could not be used.
        seconds: How long it took.
        held_out: What the head said of each image that was measured on. Not part of `to_dict`.
    """

    head: str
    kind: str
    layer: str
    evaluation: AnyEvaluation
    num_fitted_on: int
    num_unlabelled: int
    num_not_finite: int
    unknown_labels: dict[str, int]
    failures: tuple[ImageFailure, ...]
    seconds: float
    held_out: AnyHeldOut = field(repr=False, compare=False)
    task: Task = "single"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        fields = asdict(self)
        del fields["held_out"]
        return fields


@plain_arguments(Selection, RunOptions, head=check_head, labels=check_path, rows=check_path)
def evaluate(
    images: Images = (),
    *,
    head: str | Path | Head = DEFAULT_HEAD,
    labels: str | Path | None = None,
    rows: str | Path | None = None,
    csv_safe: bool = False,
    weights: str | Path | None = None,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[EvaluateKeywords],
) -> EvaluateReport:
    """Measure a head on labelled images, or on a feature store, for which no network is run.

    Images that the head was fitted on are left out.

    Args:
        images: Locations or objects, as for `featx.extract`; or a feature store with the head's
            feature, of which `split` selects a part.
        head: A head, or its folder.
        labels: A table, in CSV or Parquet, with the columns path and label; when None the labels of
            the images: class folders, or what their source says. Of a head that learned other
            columns, a table with these.
        rows: A CSV file to write, with a line for each image that was measured on.
        csv_safe: In `rows`, write an apostrophe before names that a spreadsheet would take for a
            formula.
        weights: Where the model's weights (or its file or folder) are now, if they have moved.
        trust_model_code: See `featx.load_model`.
        allow_download: Download the model that the head names, if it is not here.
        selection: Which of the images are wanted.
        run: How images are read and the network is run.
        listener: Receives notes, progress and failures; when None, who looks on sees them.
        options: Fields of these two groups as keywords.

    Raises:
        HeadError: If the head or the labels cannot be read, or no image is left to measure on.
        FingerprintMismatch: If features are not those of the head.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> images = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(images, model=toy_model(), layers=["mean"], output="f.h5")
        >>> _ = featx.fit_head("f.h5", output="h")
        >>> others = write_images(20, "others", classes=("dark", "light"))
        >>> evaluate(others, head="h").evaluation.accuracy
        1.0
    """
    started = time.monotonic()
    chosen, run = fill_group(Selection, selection, options), fill_group(RunOptions, run, options)
    listener = run.choose_listener(listener)
    check_rows_path(rows, csv_safe=csv_safe)
    loaded = head if isinstance(head, Head) else load_head(head)
    query = QueryImages(
        images, chosen, run, check_path("weights", weights), trust_model_code, allow_download
    )
    failures: list[ImageFailure] = []
    measured = MeasuredRows(loaded)
    predicted = []  # A table is matched with all images at once: outputs wait, not features.
    for batch in iter_vectors(query, loaded, listener):
        if isinstance(batch, ImageFailure):
            failures.append(batch)
        elif labels is None:
            measured.add(batch)
        else:
            predicted.append(measured.predict(batch))
    if labels is not None:
        for batch in _label(predicted, Path(labels), loaded.columns, listener):
            measured.add(batch, is_predicted=True)
    held_out, evaluation = measured.finish()
    if rows is not None:
        paths = tuple(held_out.root.location(key) for key in held_out.keys)
        named = replace(held_out, keys=paths)
        write_rows(named, Path(rows), near_duplicates=False, csv_safe=csv_safe)
    return EvaluateReport(
        head="" if loaded.folder is None else str(loaded.folder),
        kind=loaded.kind,
        layer=loaded.feature.name,
        evaluation=evaluation,
        num_fitted_on=measured.num_fitted_on,
        num_unlabelled=measured.num_unlabelled,
        num_not_finite=measured.num_not_finite,
        unknown_labels=dict(measured.unknown.most_common()),
        failures=tuple(failures),
        seconds=time.monotonic() - started,
        held_out=held_out,
        task=loaded.task,
    )


def _label(
    batches: list[VectorBatch], table: Path, columns: Sequence[str], listener: Listener
) -> Iterator[VectorBatch]:
    """Yield batches with the labels of a table, and with some of its columns."""
    keys = [key for batch in batches for key in batch.keys]
    root = Path(str(batches[0].root)) if batches else Path("/")
    read = read_label_table(table, keys, root, columns, needs_labels=not columns)
    for note in read.notes:
        listener.note(note)
    start = 0
    for batch in batches:
        stop = start + len(batch.keys)
        said = {name: values[start:stop].tolist() for name, values in read.columns.items()}
        yield replace(batch, labels=read.labels[start:stop], columns=said)
        start = stop
