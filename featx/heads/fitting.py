"""`fit_head`: a trained and measured head from a feature store. Never imports TensorFlow."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from featx.arguments import plain_arguments
from featx.checks.layers import check_layers, check_pools
from featx.checks.texts import check_path
from featx.errors import HeadError
from featx.events import Listener, Verbose, choose_listener
from featx.heads.choosing import KindTrial
from featx.heads.evaluation import Evaluation
from featx.heads.evidence import Evidence, collect_evidence
from featx.heads.grouping import NearDuplicates
from featx.heads.head import Head, check_replaceable
from featx.heads.held_out import AnyHeldOut, HeldOut
from featx.heads.judging import AnyEvaluation
from featx.heads.kinds import FitJob, Task
from featx.heads.label_evaluation import DEFAULT_THRESHOLD, LabelEvaluation
from featx.heads.labelled_rows import LabelledRows
from featx.heads.layer_choice import LayerTrial, choose_feature, list_features
from featx.heads.learning_curve import CurvePoint
from featx.heads.measuring import Measured, cross_validate, measure_split
from featx.heads.option_checks import check_options, note_nothing_held_out
from featx.heads.options import (
    EvaluationOptions,
    FeatureOptions,
    FitKeywords,
    HeadOptions,
    TaskOptions,
)
from featx.heads.row_reading import RowChoice, read_labelled_rows
from featx.heads.row_table import write_rows
from featx.options import fill_group
from featx.shown import Shown
from featx.specs import DEFAULT_HEAD, DEFAULT_STORE
from featx.store import FeatureTable, open_store
from featx.store.reference import StoreReference
from featx.units import format_count

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


@dataclass(frozen=True, slots=True, repr=False)
class FitReport(Shown):
    """What was fitted, and how well it does on rows that it has not seen.

    Attributes:
        output: The head's folder.
        kind: The kind of head.
        layer: The layer.
        pool: The pooling of its features.
        width: D, values in a feature vector.
        classes: C class names; none of a regression.
        num_train: Rows that it was fitted on to be measured.
        num_unlabelled: Rows left out because they have no label, or not the value that is learned.
        num_not_finite: Labelled rows left out because their features are NaN, infinite or
            above 1e15.
        num_unsplit: Labelled rows left out because their split in the store is neither ``train``
            nor ``test`` (or val, valid, validation).
        splits: The store's splits and their numbers of rows, if these were used.
        evaluation: Measures on the held-out rows; None if there were none.
        refitted: Whether the saved head was then fitted again on all labelled rows, with
            the settings that were chosen without the held-out ones.
        settings: What the kind of head chose, for example a regularisation.
        tried: With ``kind="auto"``, the kinds that were compared, the best first.
        layers: With several layers or poolings, all that were compared, the best first.
        seconds: How long fitting and measuring took.
        learning_curve: Accuracy with fewer training rows, fewest first, and at last with all of
            them; empty if it was not asked for.
        near_duplicates: Pictures that are almost equal; None where they were not looked for, or
            cannot be told.
        task: What is predicted: ``single`` (one class), ``multi`` (several labels) or
            ``regression`` (a number). It decides of which type `evaluation` and `held_out` are.
        columns: The columns that say it; none of one class.
        held_out: What the head said of each picture that it was measured on; None if there were
            none, or the report was read from a head's folder. Not part of `to_dict`.
    """

    output: str
    kind: str
    layer: str
    pool: str
    width: int
    classes: tuple[str, ...]
    num_train: int
    num_unlabelled: int
    num_unsplit: int
    splits: dict[str, int]
    evaluation: AnyEvaluation | None
    refitted: bool
    settings: dict[str, Any]
    tried: tuple[KindTrial, ...] = ()
    layers: tuple[LayerTrial, ...] = ()
    seconds: float = 0.0
    learning_curve: tuple[CurvePoint, ...] = ()
    near_duplicates: NearDuplicates | None = None
    task: Task = "single"
    columns: tuple[str, ...] = ()
    num_not_finite: int = 0
    held_out: AnyHeldOut | None = field(default=None, repr=False, compare=False)

    @property
    def accuracy(self) -> float | None:
        """Share of the held-out rows whose class was right; None without such rows or classes."""
        return self.evaluation.accuracy if isinstance(self.evaluation, Evaluation) else None

    def plot(self) -> PillowImage:
        """Draw the confusion matrix of the held-out images; see `Evaluation.plot`.

        Raises:
            HeadError: If none were held out, or the head does not tell classes apart.
        """
        if self.evaluation is None:
            raise HeadError(
                "Nothing was measured: no images were held out. Fit with a test_size above 0."
            )
        if not isinstance(self.evaluation, Evaluation):
            raise HeadError("Only a head of one class for each picture has a confusion matrix.")
        return self.evaluation.plot()

    @property
    def temperature(self) -> float:
        """By which the saved head's logits are divided; 1 where that helps nothing."""
        evaluation = self.evaluation
        calibrated = evaluation.calibrated if isinstance(evaluation, Evaluation) else None
        return 1.0 if calibrated is None or not calibrated.used else calibrated.temperature

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        fields = asdict(replace(self, held_out=None))
        del fields["held_out"]
        return fields


@plain_arguments(
    FeatureOptions,
    TaskOptions,
    EvaluationOptions,
    HeadOptions,
    labels=check_path,
    layer=check_layers,
    pool=check_pools,
)
def fit_head(
    features: str | Path = DEFAULT_STORE,
    *,
    output: str | Path = DEFAULT_HEAD,
    seed: int = 0,
    feature: FeatureOptions | None = None,
    task: TaskOptions | None = None,
    evaluation: EvaluationOptions | None = None,
    head: HeadOptions | None = None,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
    **options: Unpack[FitKeywords],
) -> FitReport:
    """Train a classifier on stored features and measure it on a held-out part.

    Args:
        features: The feature store.
        output: The head's folder.
        seed: For the split, and for what the kind of head does at random.
        feature: Which stored feature it is fitted on.
        task: What it learns.
        evaluation: How it is measured.
        head: Which head is fitted.
        progress: Whether to show what is being tried; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives notes, and what is being tried, in place of these two.
        options: Fields of these four groups as keywords: ``kind="linear"`` is
            ``head=HeadOptions(kind="linear")``.

    Returns:
        The report. With a random split, the saved head is fitted on all labelled rows; with a
        given one, on its training rows alone, so that the others stay unseen.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, kind or pooling.
        HeadError: If there are fewer than two classes, labels or numbers cannot be read, or the
            kind cannot learn the task.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> images = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(images, model=toy_model(), layers=["mean"], output="f.h5")
        >>> fit_head("f.h5", output="h").evaluation.accuracy
        1.0
    """
    choice = RowChoice(
        task=fill_group(TaskOptions, task, options),
        evaluation=fill_group(EvaluationOptions, evaluation, options),
    )
    wanted = fill_group(FeatureOptions, feature, options)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    job = FitJob(seed, fill_group(HeadOptions, head, options), listener)
    choice = replace(choice, max_memory=job.options.max_memory)
    return _fit_head((Path(features), Path(output)), wanted, choice, job)


def _fit_head(
    paths: tuple[Path, Path], wanted: FeatureOptions, choice: RowChoice, job: FitJob
) -> FitReport:
    """Fit with all options in place, from a store to a head's folder."""
    features, output = paths
    started, kind, listener = time.monotonic(), job.options.kind, job.listener
    check_options(choice.evaluation, job)
    check_replaceable(output)
    options, held_out = choice.evaluation, None
    try:
        with open_store(features) as store:
            reference = StoreReference.to(store, output)
            asked = list_features(store, wanted, listener)
            labelled = read_labelled_rows(store, replace(choice, feature=asked[-1]), listener)
            if options.cv is None:
                held_out = labelled.hold_out(options.test_size, job.seed, listener)
            trials: tuple[LayerTrial, ...] = ()
            if len(asked) > 1:
                unseen = np.zeros(len(labelled.rows), bool) if held_out is None else held_out
                labelled = replace(labelled, examples=labelled.examples.without_values())
                labelled, trials = choose_feature(store, asked, labelled, unseen, job)
            if held_out is not None:
                labelled, held_out = labelled.put_last(held_out)
            listener.note(_announce(kind, labelled, held_out))
            if held_out is not None and not held_out.any():
                is_given = labelled.sides is not None
                note_nothing_held_out(options, job, is_split_given=is_given)
            if held_out is None:
                measured = cross_validate(labelled, options, job)
            else:
                measured = measure_split(labelled, held_out, options, job)
            evidence = _keep_evidence(labelled, held_out, measured, job)
    finally:
        listener.finish()
    report = FitReport(
        output=str(output),
        kind=measured.picked.kind,
        layer=labelled.table.spec.name,
        pool=labelled.table.spec.pool,
        width=labelled.examples.values.shape[1],
        classes=labelled.classes,
        num_train=measured.num_train,
        num_unlabelled=labelled.num_unlabelled,
        num_unsplit=labelled.num_unsplit,
        splits=labelled.splits,
        evaluation=measured.evaluation,
        refitted=measured.num_train < int(measured.fitted_on.sum()),
        settings=measured.picked.choice.settings,
        tried=measured.picked.trials,
        layers=trials,
        seconds=time.monotonic() - started,
        learning_curve=measured.curve,
        near_duplicates=measured.near_duplicates,
        task=labelled.examples.task,
        columns=labelled.columns,
        num_not_finite=labelled.num_not_finite,
        held_out=measured.held_out,
    )
    head = _make_head(report, labelled.table, labelled.rows[measured.fitted_on], measured.weights)
    replace(head, store=reference, evidence=evidence).save(output)
    if measured.held_out is not None and options.rows is not None:
        write_rows(measured.held_out, Path(options.rows), csv_safe=options.csv_safe)
    return report


def _keep_evidence(
    labelled: LabelledRows, held_out: np.ndarray | None, measured: Measured, job: FitJob
) -> Evidence:
    """Return what the head keeps of pictures; with cross-validation, all were fitted on."""
    values = labelled.examples.values
    unseen = np.zeros(len(values), bool) if held_out is None else held_out
    true = measured.held_out.own if isinstance(measured.held_out, HeldOut) else np.zeros(0)
    return collect_evidence(values, unseen, true, job.seed)


def _announce(kind: str, labelled: LabelledRows, held_out: np.ndarray | None) -> str:
    """Say what is being fitted on what."""
    count = len(labelled.examples)
    images = format_count(count, "image")
    rows = images if held_out is None else f"{(~held_out).sum():,} of {images}"
    width = format_count(labelled.examples.values.shape[1], "value")
    task, num_classes = labelled.examples.task, len(labelled.classes)
    what = {
        "single": format_count(num_classes, "class", "classes"),
        "multi": format_count(num_classes, "label"),
        "regression": f"{', '.join(labelled.columns)}",
    }[task]
    return f"fitting a head ({kind}) on {rows}, {what}, {width} each"


def _make_head(
    report: FitReport, table: FeatureTable, rows: np.ndarray, weights: dict[str, np.ndarray]
) -> Head:
    """Return the head that was fitted on some rows of a table."""
    return Head(
        kind=report.kind,
        classes=report.classes,
        feature=table.spec,
        model=table.model,
        weights=weights,
        fitted_on=table.content_hash[rows],
        report=report.to_dict(),
        temperature=report.temperature,
        task=report.task,
        columns=report.columns,
        thresholds=_list_thresholds(report),
    )


def _list_thresholds(report: FitReport) -> tuple[float, ...]:
    """Return the probabilities from which labels apply."""
    if isinstance(report.evaluation, LabelEvaluation):
        return tuple(one.threshold for one in report.evaluation.classes)
    return (DEFAULT_THRESHOLD,) * len(report.classes) if report.task == "multi" else ()
