"""Predictions of a head as they come: memory does not grow with the number of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.errors import HeadError, InvalidValue
from featx.heads.head import Head
from featx.heads.kinds import Task
from featx.heads.prediction_report import Prediction
from featx.heads.vector_batches import VectorBatch
from featx.images.sources import ImageFailure
from featx.options import DecisionOptions
from featx.specs import DEFAULT_TOP
from featx.wording import command, option


@dataclass(slots=True)
class PredictionCounts:
    """What the predictions add up to that were made so far.

    Attributes:
        num_images: Pictures that were predicted.
        num_labelled: Those whose label is the name of a class, without those fitted on.
        num_right: Those of them whose first class is right.
        num_fitted_on: Pictures that the head was fitted on; 0 for a model's own classifier.
        num_unknown: Pictures below the threshold.
    """

    num_images: int = 0
    num_labelled: int = 0
    num_right: int = 0
    num_fitted_on: int = 0
    num_unknown: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of the labelled pictures that are right; None if there are none."""
        return self.num_right / self.num_labelled if self.num_labelled else None


class PredictionStream:
    """Predictions, each made when it is asked for, and what they add up to.

    Iterating gives a `featx.Prediction` for each picture that could be used, in natural order, and
    a `featx.ImageFailure` for each other one, which may come before its turn. It can be iterated
    once.

    Attributes:
        counts: How many were predicted so far, and how many of them are right.
        task: What is predicted: ``single``, ``multi`` or ``regression``.
    """

    def __init__(
        self,
        results: Iterator[Prediction | ImageFailure],
        counts: PredictionCounts,
        task: Task = "single",
    ) -> None:
        self._results = results
        self.counts = counts
        self.task = task

    def __iter__(self) -> Iterator[Prediction | ImageFailure]:
        return self._results


class HeadPredictor:
    """Makes predictions of features, batch by batch.

    Args:
        head: The head.
        top: The most classes to name for each picture.
        decision: What else is said.

    Raises:
        HeadError: If the head does not have what was asked for.
        InvalidValue: If it does not go with what the head predicts.
    """

    def __init__(self, head: Head, top: int, decision: DecisionOptions) -> None:
        _check_decision(head, top, decision)
        self._head, self._top, self._decision = head, top, decision
        self._known = {row.tobytes() for row in head.fitted_on}
        self._least = _find_least_probability(head, decision)

    @property
    def takes_all_classes(self) -> bool:
        """Whether a coverage was asked for that only sets of all classes meet."""
        return self._least == 0

    def predict(self, batch: VectorBatch, counts: PredictionCounts) -> Iterator[Prediction]:
        """Yield the predictions of a batch, and count them."""
        head, decision = self._head, self._decision
        if head.task != "single":
            yield from self._predict_values(batch, counts)
            return
        raw = head.raw_proba(batch.values)
        probabilities = head.temper(raw)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        evidence = head.evidence if decision.novelty else None
        novelty = None if evidence is None else evidence.novelty(batch.values)
        for row, (path, label) in enumerate(zip(batch.paths, batch.labels, strict=True)):
            ranked, own = order[row], probabilities[row]
            best = ranked[: self._top]
            prediction = Prediction(
                path=path,
                label=label,
                classes=tuple(head.classes[number] for number in best),
                probabilities=tuple(float(own[number]) for number in best),
                is_unknown=is_below(float(own[best[0]]), decision),
                candidates=self._choose_candidates(ranked, raw[row]),
                novelty=None if novelty is None else float(novelty[row]),
            )
            self._count(prediction, batch.content_hash[row].tobytes() in self._known, counts)
            yield prediction

    def _predict_values(self, batch: VectorBatch, counts: PredictionCounts) -> Iterator[Prediction]:
        """Yield numbers, or the labels that apply, and count them."""
        head, decision = self._head, self._decision
        outputs = head.raw_proba(batch.values)
        order = np.argsort(-outputs, axis=1, kind="stable")
        least = np.array(head.thresholds if decision.threshold is None else decision.threshold)
        evidence = head.evidence if decision.novelty else None
        novelty = None if evidence is None else evidence.novelty(batch.values)
        for row, (path, label) in enumerate(zip(batch.paths, batch.labels, strict=True)):
            unlike = None if novelty is None else float(novelty[row])
            counts.num_images += 1
            counts.num_fitted_on += batch.content_hash[row].tobytes() in self._known
            own, ranked = outputs[row], order[row]
            if head.task == "regression":
                yield Prediction(path, label, (), (), novelty=unlike, number=float(own[0]))
                continue
            best, applies = ranked[: self._top], own >= least
            yield Prediction(
                path=path,
                label=label,
                classes=tuple(head.classes[number] for number in best),
                probabilities=tuple(float(own[number]) for number in best),
                novelty=unlike,
                labels={head.classes[one]: float(own[one]) for one in ranked if applies[one]},
            )

    def _choose_candidates(self, ranked: np.ndarray, own: np.ndarray) -> tuple[str, ...] | None:
        """Return the classes above the least probability; the best where there are none."""
        if self._least is None:
            return None
        count = max(1, int((own >= self._least).sum()))
        return tuple(self._head.classes[number] for number in ranked[:count])

    def _count(self, prediction: Prediction, is_known: bool, counts: PredictionCounts) -> None:
        counts.num_images += 1
        counts.num_unknown += prediction.is_unknown
        counts.num_fitted_on += is_known
        if prediction.label in self._head.classes and not is_known:
            counts.num_labelled += 1
            counts.num_right += prediction.classes[0] == prediction.label


def _check_decision(head: Head, top: int, decision: DecisionOptions) -> None:
    """Refuse what does not go with what a head predicts."""
    what = "a number" if head.task == "regression" else "several labels for each image"
    refused = {"single": (), "multi": ("coverage",), "regression": ("coverage", "threshold")}
    given = [name for name in refused[head.task] if getattr(decision, name) is not None]
    if head.task != "single" and top != DEFAULT_TOP:
        given.append("top")
    if given:
        raise InvalidValue(
            f"This head predicts {what}, with which {option(given[0])} does not go: take it away."
        )


def is_below(probability: float, decision: DecisionOptions) -> bool:
    """Whether a picture is unknown, by the probability of its first class."""
    return decision.threshold is not None and probability < decision.threshold


def _find_least_probability(head: Head, decision: DecisionOptions) -> float | None:
    """Return the probability from which a class is a candidate; None if none were asked for.

    Raises:
        HeadError: If the head does not have what was asked for.
    """
    name = "The head" if head.folder is None else f"The head {str(head.folder)!r}"
    if head.evidence is None and (decision.coverage is not None or decision.novelty):
        raise HeadError(
            f"{name} was fitted by an older featx, which kept nothing to tell coverage or novelty "
            f"by. Fit it again: {command('fit-head')}."
        )
    if decision.coverage is None or head.evidence is None:
        return None
    count = len(head.evidence.scores)
    if not count:
        raise HeadError(
            f"{name} was fitted without held-out pictures, by which a coverage is met. Fit it "
            f"again with some: {command('fit-head')}."
        )
    return head.evidence.least_probability(decision.coverage)
