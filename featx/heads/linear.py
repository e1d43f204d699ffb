"""Multinomial logistic regression on standardised features: the objective of scikit-learn's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.heads.calibration import accuracy, cross_entropy
from featx.heads.design import Design, make_design
from featx.heads.folds import COMPARED_ROWS, Folds, make_folds, sample_rows
from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.logistic import EXACT_VALUES, LinearMap, Logistic, Penalty, sigmoid_entropy
from featx.heads.operations import Affine, Operation, Sigmoid, Softmax, Standardise
from featx.numeric_threads import one_thread
from featx.units import format_count
from featx.wording import option

REGULARISATIONS = tuple(10.0**exponent for exponent in range(-5, 2))
"""Inverse strengths C that are tried. For standardised features of some hundred to a few
thousand dimensions the best is well inside this range."""

DEFAULT = 1.0
"""Of too few examples to compare any."""

CHOICE_WORK = 500_000_000
"""Multiplications of one pass over the examples (N x D x C) on which strengths are compared."""

FEWEST, MOST = 2_500, 8_000
"""Examples that these are at least and at most, where there are so many."""

MOST_WORK = 50_000_000_000
"""Multiplications of one pass (N x D x C) up to which it is tried unasked."""

MOST_CLASSES = 2_000
"""Strengths are compared on at least two examples of each, however many that are."""

ROUGH, QUICK, COARSE, LONG, FINE, EXACT = 3e-2, 2e-4, 1e-5, 2e-5, 5e-6, 1e-13
"""Decrease of the objective in a step at which a fit stops: to begin with; to compare where a fit
takes seconds, or elsewhere; of `LONG_WORK` and more; of many values; of few."""

AGAIN = 2e-4
"""The same of a long fit that goes on from one on most of the same examples."""

REMAINING = 3e-4
"""Decrease of the objective that long fits leave to further steps, as far as can be foreseen."""

LONG_WORK = 1_000_000_000
"""Multiplications of one pass (N x D x C) from which a fit takes seconds."""

ROUGH_SHARE = 8
"""Such a fit begins with one on an eighth: its few passes cost one, and save three."""


class LinearHead:
    """Logistic regression, its regularisation chosen by cross-validation.

    The weights are ``mean`` (D,), ``scale`` (D,), ``coefficients`` (C, D), ``intercepts`` (C,)
    and, of several labels per picture, ``multi``; the settings ``C`` (inverse strength) and
    ``folds`` (0: too few examples to compare).
    """

    tasks: tuple[Task, ...] = ("single", "multi")

    def suits(self, examples: Examples) -> bool:
        """Whether one pass over the data takes seconds at most, and there are not many classes."""
        count, width = examples.values.shape
        classes = examples.num_classes
        return bool(count * width * classes <= MOST_WORK and classes <= MOST_CLASSES)

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose the regularisation; see `featx.heads.kinds.HeadKind.choose`."""
        if not self.suits(examples):
            job.listener.note(
                f"a linear head of {format_count(examples.num_classes, 'class', 'classes')} on "
                f"{format_count(len(examples), 'image')} may take many minutes; "
                f"{option('kind', 'ridge')} takes seconds"
            )
        work = max(1, examples.values.shape[1] * examples.num_classes)
        most = min(max(FEWEST, CHOICE_WORK // work), MOST)
        rows = sample_rows(examples, most, job.seed)
        with one_thread():
            if len(rows) == len(examples):
                return _walk(examples, make_folds(examples, job.seed), job)
            is_long = _find_tolerance(examples) == LONG
            part, folds = _take_part(examples, rows, job.seed)
            chosen = _walk(part, folds, job, QUICK if is_long else COARSE)
            # So many are compared with other kinds, or layers, by the loss on all of them.
            is_compared = len(examples) <= COMPARED_ROWS + 2 * examples.num_classes
            return _measure(examples, chosen, job) if is_compared else chosen

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Fit with a known regularisation; see `featx.heads.kinds.HeadKind.fit`."""
        job.listener.trying(f"linear, C = {settings['C']:g}, {len(examples):,} examples")
        with one_thread():
            design, tolerance = make_design(examples), _find_tolerance(examples)
            start = None
            if job.start is not None and tolerance > EXACT:
                start = _start_from(job.start, design)
                tolerance = AGAIN if tolerance == LONG else tolerance
            elif tolerance == LONG:
                rows = sample_rows(examples, len(examples) // ROUGH_SHARE, job.seed)
                rough = Penalty(ROUGH_SHARE * settings["C"], ROUGH)  # The same per example.
                start = Logistic(design.take(rows)).minimise(rough)
            remaining = REMAINING if tolerance in (LONG, AGAIN) else math.inf
            penalty = Penalty(settings["C"], tolerance, remaining)
            found = Logistic(design).minimise(penalty, start)
        weights = design.weights(found.coefficients, found.intercepts)
        return weights | ({"multi": np.array(True)} if examples.task == "multi" else {})

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Standardise, then softmax of an affine map, or sigmoids."""
        return (
            Standardise(weights["mean"], weights["scale"]),
            Affine(weights["coefficients"], weights["intercepts"]),
            Sigmoid() if "multi" in weights else Softmax(),
        )


linear = LinearHead()


def _take_part(examples: Examples, rows: np.ndarray, seed: int) -> tuple[Examples, Folds]:
    """Return some of the examples, and one fold of them, which comes last: so neither is copied."""
    folds = make_folds(examples.without_values().take(rows), seed).first()
    order = np.argsort(folds.numbers, kind="stable")
    return examples.take(rows[order]), Folds(folds.numbers[order], folds.count)


def _walk(examples: Examples, folds: Folds, job: FitJob, tolerance: float = COARSE) -> Choice:
    """Try the strengths from strong to weak, each from the one before, until the loss rises."""
    if not folds.count:
        return Choice({"C": DEFAULT, "folds": 0})
    design = make_design(examples)
    problems = [_Problem.make(design, train, test) for train, test in folds]
    best, rises = Choice({}), 0
    for inverse in REGULARISATIONS:
        job.listener.trying(f"linear, C = {inverse:g}, {len(examples):,} examples")
        for problem in problems:
            problem.advance(Penalty(inverse, tolerance))
        scores = np.concatenate([problem.scores() for problem in problems])
        held_out = examples.take(folds.held_out)
        found = _describe(scores, held_out, {"C": inverse, "folds": folds.count})
        if best.loss is None or (found.loss is not None and found.loss < best.loss):
            best, rises = found, 0
        else:
            rises += 1
        if rises == 2:
            break
    return best


@dataclass(slots=True)
class _Problem:
    """One fold, with the fit at the last strength."""

    train: Logistic
    test: Design
    found: LinearMap | None = None

    @classmethod
    def make(cls, design: Design, train: np.ndarray, test: np.ndarray) -> _Problem:
        return cls(Logistic(design.take(train)), design.take(test))

    def advance(self, penalty: Penalty) -> None:
        self.found = self.train.minimise(penalty, self.found)

    def scores(self) -> np.ndarray:
        assert self.found is not None
        return self.test.scores(self.found.coefficients, self.found.intercepts)


def _measure(examples: Examples, chosen: Choice, job: FitJob) -> Choice:
    """Fit on all rows that are not held out with what was chosen on a part of them."""
    folds = make_folds(examples, job.seed)
    if not folds.count or chosen.loss is None:
        return chosen
    design = make_design(examples)
    problems = [_Problem.make(design, train, test) for train, test in folds]
    job.listener.trying(f"linear, C = {chosen.settings['C']:g}, {len(examples):,} examples")
    for problem in problems:
        problem.advance(Penalty(chosen.settings["C"], COARSE))
    scores = np.concatenate([problem.scores() for problem in problems])
    return _describe(scores, examples.take(folds.held_out), chosen.settings)


def _describe(scores: np.ndarray, held_out: Examples, settings: dict[str, Any]) -> Choice:
    if held_out.task == "multi":
        loss = sigmoid_entropy(scores, held_out.targets, held_out.weights)
        return Choice(settings, loss, None, len(held_out))
    loss = cross_entropy(scores, held_out.targets, held_out.weights)
    return Choice(settings, loss, accuracy(scores, held_out.targets), len(held_out))


def _find_tolerance(examples: Examples) -> float:
    if examples.values.size <= EXACT_VALUES:
        return EXACT
    is_long = examples.values.size * examples.num_classes >= LONG_WORK
    return LONG if is_long else FINE


def _start_from(weights: Mapping[str, np.ndarray], design: Design) -> LinearMap | None:
    """Return the map of an earlier fit in the coordinates of this one."""
    mean, scale = design.standard
    if design.basis is not None or weights["coefficients"].shape[1] != len(mean):
        return None
    inner = weights["coefficients"] / weights["scale"].astype(np.float64)
    intercepts = weights["intercepts"] + inner @ (mean - weights["mean"])
    return LinearMap(inner * scale, intercepts)
