"""Measuring a kind of head: on held-out rows, or by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from featx.heads.choosing import KindChoice, choose_kind
from featx.heads.evaluation import Calibrated, Evaluation, measure_classes
from featx.heads.grouping import NearDuplicates
from featx.heads.held_out import HeldOut, hold_out
from featx.heads.kinds import HEADS, FitJob
from featx.heads.labelled_rows import LabelledRows
from featx.heads.learning_curve import CurvePoint, measure_curve
from featx.heads.operations import compute
from featx.heads.options import EvaluationOptions
from featx.heads.splits import split_stratified
from featx.heads.temperature import (
    LEAST_ROWS,
    Scored,
    choose_temperature,
    measure_temperature,
)

TUNED_SHARE = 0.2
"""Share of the training rows by which the temperature is chosen where the split is given."""


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
    evaluation: Evaluation | None
    held_out: HeldOut | None
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
    evaluation = measure_classes(scored.probabilities, scored.targets, labelled.classes)
    curve: tuple[CurvePoint, ...] = ()
    if options.learning_curve:
        points = measure_curve(kind, train, test, chosen.settings, job)
        curve = (*points, CurvePoint(len(train), evaluation.accuracy))
    if labelled.sides is None:
        weights = kind.fit(examples, chosen.settings, replace(job, start=weights))
        fitted_on = np.ones(len(examples), bool)
        calibrated = choose_temperature(scored, labelled.classes, job.seed)
    else:
        fitted_on = ~held_out
        calibrated = _tune(labelled, ~held_out, picked, job)
        if calibrated is not None:
            calibrated = measure_temperature(calibrated, scored, labelled.classes)
    seen = _look_at(labelled, np.flatnonzero(held_out), scored, labelled.find_straddling(held_out))
    return Measured(
        picked,
        weights,
        fitted_on,
        len(train),
        replace(evaluation, calibrated=calibrated),
        seen,
        _compare_without(near, seen),
        curve,
    )


def cross_validate(labelled: LabelledRows, options: EvaluationOptions, job: FitJob) -> Measured:
    """Measure each fold with a head that chose and fitted without it, then fit on all rows."""
    assert options.cv is not None
    examples = labelled.examples
    folds = labelled.divide(options.cv, job.seed)
    probabilities = np.zeros((len(examples), len(labelled.classes)), np.float32)
    curve: tuple[CurvePoint, ...] = ()
    scores, num_train = [], len(examples)
    for fold in range(options.cv):
        held_out = folds == fold
        train, test = examples.take(~held_out), examples.take(held_out)
        picked = choose_kind(train, job)
        kind, settings = HEADS[picked.kind], picked.choice.settings
        weights = kind.fit(train, settings, job)
        probabilities[held_out] = compute(kind.operations(weights), test.values)
        right = probabilities[held_out].argmax(axis=1) == test.targets
        scores.append(float(right.mean()))
        num_train = min(num_train, len(train))
        if fold == 0 and options.learning_curve:
            points = measure_curve(kind, train, test, settings, job)
            curve = (*points, CurvePoint(len(train), scores[0]))
    rows = np.flatnonzero(folds >= 0)
    scored = Scored(probabilities[rows], examples.targets[rows], examples.groups[rows])
    evaluation = measure_classes(scored.probabilities, scored.targets, labelled.classes)
    evaluation = replace(
        evaluation.over_folds(np.array(scores)),
        calibrated=choose_temperature(scored, labelled.classes, job.seed),
    )
    seen = replace(_look_at(labelled, rows, scored, np.zeros(len(rows), bool)), folds=folds[rows])
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


def _tune(
    labelled: LabelledRows, fitted_on: np.ndarray, picked: KindChoice, job: FitJob
) -> Calibrated | None:
    """Choose a temperature by a part of the training rows, and a head that has not seen it."""
    train, fixed = labelled.examples.take(fitted_on), labelled.grouping.fixed[fitted_on]
    held_out = split_stratified(
        train.targets, train.groups, test_size=TUNED_SHARE, seed=job.seed, fixed=fixed
    )
    if held_out.sum() < LEAST_ROWS:
        return None
    kind, test = HEADS[picked.kind], train.take(held_out)
    weights = kind.fit(train.take(~held_out), picked.choice.settings, job)
    probabilities = compute(kind.operations(weights), test.values)
    return choose_temperature(
        Scored(probabilities, test.targets, test.groups), labelled.classes, job.seed
    )


def _look_at(
    labelled: LabelledRows, rows: np.ndarray, scored: Scored, straddling: np.ndarray
) -> HeldOut:
    """Return what was predicted of some of the labelled rows."""
    numbers, table = labelled.rows[rows], labelled.table
    pictures = (labelled.root, [table.keys[row] for row in numbers], table.content_hash[numbers])
    return hold_out(pictures, labelled.classes, scored.targets, scored.probabilities, straddling)


def _compare_without(found: NearDuplicates | None, seen: HeldOut) -> NearDuplicates | None:
    """Add the accuracy on all held-out rows, and on those without a near-duplicate in training."""
    if found is None:
        return None
    without = seen.right[~seen.straddling]
    return replace(
        found,
        num_held_out=int(seen.straddling.sum()),
        accuracy=float(seen.right.mean()),
        accuracy_without=float(without.mean()) if len(without) else None,
    )
