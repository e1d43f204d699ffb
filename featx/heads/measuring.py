"""Measuring a kind of head: on held-out rows, or by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from featx.events import Listener
from featx.heads.choosing import KindChoice, choose_kind
from featx.heads.grouping import NearDuplicates
from featx.heads.held_out import AnyHeldOut, HeldOut
from featx.heads.judging import AnyEvaluation, Judge
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.labelled_rows import LabelledRows
from featx.heads.learning_curve import CurvePoint, measure_curve
from featx.heads.operations import compute
from featx.heads.options import EvaluationOptions
from featx.heads.splits import split_stratified
from featx.heads.targets import find_strata
from featx.heads.temperature import LEAST_ROWS, Scored

TUNED_SHARE = 0.2
"""Share of the training rows by which a temperature or thresholds are chosen where the split is
given."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """How well a kind does, and the head that is saved.

    Attributes:
        picked: The kind, and what it chose.
        weights: Of the head that is saved.
        fitted_on: Rows that it was fitted on, bool (N,).
        num_train: Rows that were fitted on to be measured.
        evaluation: Measures on the held-out rows; None if there were none.
        held_out: What was predicted for each of them.
        near_duplicates: What was found, with the accuracy without them.
        curve: The learning curve, if it was asked for.
    """

    picked: KindChoice
    weights: dict[str, np.ndarray]
    fitted_on: np.ndarray
    num_train: int
    evaluation: AnyEvaluation | None
    held_out: AnyHeldOut | None
    near_duplicates: NearDuplicates | None
    curve: tuple[CurvePoint, ...] = ()


def measure_split(
    labelled: LabelledRows, held_out: np.ndarray, options: EvaluationOptions, job: FitJob
) -> Measured:
    """Fit on the rows that are not held out, measure on those that are, and fit the saved head.

    With a random split, that is fitted on all rows; with a given one, on the training rows alone.

    Args:
        labelled: The rows.
        held_out: bool (N,).
        options: How it is measured.
        job: Seed, options and listener.
    """
    examples = labelled.examples
    train = examples.take(~held_out)
    picked = choose_kind(train, job)
    kind, chosen = HEADS[picked.kind], picked.choice
    weights = kind.fit(train, chosen.settings, job)
    near = labelled.grouping.near_duplicates
    if not held_out.any():
        return Measured(picked, weights, ~held_out, len(train), None, None, near)
    test = examples.take(held_out)
    scored = Scored(compute(kind.operations(weights), test.values), test.targets, test.groups)
    judge = Judge(examples.task, labelled.classes, job.seed)
    curve: tuple[CurvePoint, ...] = ()
    if options.learning_curve:
        points = measure_curve(kind, train, test, chosen.settings, job)
        curve = (*points, CurvePoint(len(train), judge.score(scored.probabilities, test.targets)))
    if labelled.sides is None:
        weights = kind.fit(examples, chosen.settings, replace(job, start=weights))
        fitted_on = np.ones(len(examples), bool)
    else:
        fitted_on = ~held_out
        tuning = _tune(labelled, ~held_out, picked, job)
        judge = replace(judge, is_apart=True, tuning=tuning)
    evaluation = judge.measure(scored, _find_mean(train))
    straddling = labelled.find_straddling(held_out)
    seen = _look_at(labelled, np.flatnonzero(held_out), scored, judge, straddling)
    return Measured(
        picked,
        weights,
        fitted_on,
        len(train),
        evaluation,
        seen,
        _compare_without(near, seen),
        curve,
    )


def cross_validate(labelled: LabelledRows, options: EvaluationOptions, job: FitJob) -> Measured:
    """Measure each fold with a head that chose and fitted without it, then fit on all rows."""
    assert options.cv is not None
    examples = labelled.examples
    folds = labelled.divide(options.cv, job.seed)
    outputs = np.zeros((len(examples), examples.num_classes), np.float32)
    baseline = np.zeros(len(examples))
    judge = Judge(examples.task, labelled.classes, job.seed)
    curve: tuple[CurvePoint, ...] = ()
    scores, num_train = [], len(examples)
    quiet = replace(job, listener=_Quiet(job.listener))
    for fold in range(options.cv):
        held_out = folds == fold
        train, test = examples.take(~held_out), examples.take(held_out)
        picked = choose_kind(train, quiet)
        kind, settings = HEADS[picked.kind], picked.choice.settings
        weights = kind.fit(train, settings, quiet)
        outputs[held_out] = compute(kind.operations(weights), test.values)
        baseline[held_out] = _find_mean(train)
        scores.append(judge.score(outputs[held_out], test.targets))
        num_train = min(num_train, len(train))
        if fold == 0 and options.learning_curve:
            points = measure_curve(kind, train, test, settings, job)
            curve = (*points, CurvePoint(len(train), scores[0]))
    rows = np.flatnonzero(folds >= 0)
    scored = Scored(outputs[rows], examples.targets[rows], examples.groups[rows])
    evaluation = judge.measure(scored, baseline[rows]).over_folds(np.array(scores))
    seen = _look_at(labelled, rows, scored, judge, np.zeros(len(rows), bool))
    seen = replace(seen, folds=folds[rows])
    picked = choose_kind(examples, job)
    return Measured(
        picked,
        HEADS[picked.kind].fit(examples, picked.choice.settings, job),
        np.ones(len(examples), bool),
        num_train,
        evaluation,
        seen,
        _compare_without(labelled.grouping.near_duplicates, seen),
        curve,
    )


class _Quiet(Listener):
    """Passes on what is being tried, but no notes: all folds would say the same.

    Args:
        listener: Who is told.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def trying(self, what: str) -> None:
        """Pass it on."""
        self._listener.trying(what)


def _tune(
    labelled: LabelledRows, fitted_on: np.ndarray, picked: KindChoice, job: FitJob
) -> Scored | None:
    """Hold out a part of the training rows, too, and return what a head without it says of it."""
    train, fixed = labelled.examples.take(fitted_on), labelled.grouping.fixed[fitted_on]
    if train.task == "regression":  # Nothing is chosen by them.
        return None
    held_out = split_stratified(
        find_strata(train), train.groups, test_size=TUNED_SHARE, seed=job.seed, fixed=fixed
    )
    if held_out.sum() < LEAST_ROWS:
        return None
    kind, test = HEADS[picked.kind], train.take(held_out)
    weights = kind.fit(train.take(~held_out), picked.choice.settings, job)
    return Scored(compute(kind.operations(weights), test.values), test.targets, test.groups)


def _find_mean(train: Examples) -> float:
    """Return what a regression says of every picture without looking; 0 of other tasks."""
    return float(train.targets.mean()) if train.task == "regression" else 0.0


def _look_at(
    labelled: LabelledRows, rows: np.ndarray, scored: Scored, judge: Judge, straddling: np.ndarray
) -> AnyHeldOut:
    """Return what was predicted of some of the labelled rows."""
    numbers, table = labelled.rows[rows], labelled.table
    pictures = (labelled.root, [table.keys[row] for row in numbers], table.content_hash[numbers])
    return judge.look_at(pictures, scored, straddling)


def _compare_without(found: NearDuplicates | None, seen: AnyHeldOut) -> NearDuplicates | None:
    """Add the accuracy on all held-out rows, and on those without a near-duplicate in training."""
    if found is None:
        return None
    if not isinstance(seen, HeldOut):
        return replace(found, num_held_out=int(seen.straddling.sum()))
    without = seen.right[~seen.straddling]
    return replace(
        found,
        num_held_out=int(seen.straddling.sum()),
        accuracy=float(seen.right.mean()),
        accuracy_without=float(without.mean()) if len(without) else None,
    )
