"""A vote of the nearest examples, weighted by how near they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from featx.errors import HeadError
from featx.heads.folds import make_folds
from featx.heads.kinds import BLOCK_VALUES, Choice, Examples, FitJob, Task
from featx.heads.measures import LEAST_PROBABILITY
from featx.heads.operations import NearestMean, NearestVote, Operation, UnitLength, compute
from featx.heads.stored_values import are_stored
from featx.heads.threads import threads_for
from featx.units import format_bytes
from featx.wording import option

NEIGHBOURS, TEMPERATURE = 20, 0.07
"""The protocol of DINO and DINOv2 (Caron et al., 2021; Oquab et al., 2023)."""

SMOOTHINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Votes, of one in all, that are spread over the classes: a class that no neighbour has is rare,
not impossible."""

DEFAULT_SMOOTHING = 0.1

MOST_EXAMPLES = 20_000
"""Up to so many are tried unasked: a prediction compares with every one."""

MOST_CLASSES = 1_000_000
"""Of a head that is read: it states their number, by which memory is taken."""


class KnnHead:
    """The 20 nearest examples by cosine s vote for their class with exp(s / 0.07).

    Of several labels, and of a number, it is the mean of what they have, weighted in the same way.

    The weights are ``examples`` (N, D) of length 1, ``targets`` (N,), ``counts`` (N,) and the
    numbers ``classes``, ``neighbours``, ``temperature`` and ``smoothing``; the settings the
    last three and ``folds``. Other tasks than ``single`` have ``targets`` (N, K), and ``prior``
    (K,) in place of ``classes``. The smoothing is chosen on held-out rows.
    """

    tasks: tuple[Task, ...] = ("single", "multi", "regression")

    def suits(self, examples: Examples) -> bool:
        """Whether there are few enough to compare each picture with."""
        return len(examples) <= MOST_EXAMPLES and not are_stored(examples.values)

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose the smoothing; see `featx.heads.kinds.HeadKind.choose`.

        Raises:
            HeadError: If the examples do not fit into memory, as they must to vote.
        """
        if are_stored(examples.values):
            raise HeadError(
                "A knn head holds all vectors. Received: "
                f"{format_bytes(examples.values.nbytes)} of them, which do not fit into "
                f"{option('max_memory')}. Give more, or choose another {option('kind')}."
            )
        folds = make_folds(examples, job.seed)
        settings = {
            "neighbours": NEIGHBOURS,
            "temperature": TEMPERATURE,
            "smoothing": DEFAULT_SMOOTHING,
            "folds": folds.count,
        }
        if not folds.count:
            return Choice(settings)
        job.listener.trying(f"knn, {len(examples):,} examples")
        unsmoothed, prior = settings | {"smoothing": 0.0}, _find_prior(examples)
        found, right = [], 0
        with threads_for(examples):
            for train, test in folds:
                operations = self.operations(self.fit(examples.take(train), unsmoothed, job))
                for block in _blocks(examples.take(test)):
                    shares = compute(operations, block.values)
                    found.append(_list_losses(shares, prior, block))
                    if examples.task == "single":
                        right += int((shares.argmax(axis=1) == block.targets).sum())
        held_out = examples.take(folds.held_out)
        losses = np.average(np.concatenate(found), axis=0, weights=held_out.weights)
        best, count = int(np.argmin(losses)), len(held_out)
        settings["smoothing"] = SMOOTHINGS[best]
        is_single = examples.task == "single"
        return Choice(settings, float(losses[best]), right / count if is_single else None, count)

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Keep the examples; see `featx.heads.kinds.HeadKind.fit`."""
        blocks = [UnitLength()(block.values) for block in examples.blocks()]
        if examples.task == "single":
            known = {
                "targets": np.asarray(examples.targets, np.int64),
                "classes": np.array(examples.num_classes),
            }
        else:
            targets = np.asarray(examples.targets, np.float32).reshape(len(examples), -1)
            known = {"targets": targets, "prior": _find_prior(examples)}
        return known | {
            "examples": np.concatenate(blocks),
            "counts": np.asarray(examples.counts, np.float32),
            "neighbours": np.array(settings["neighbours"]),
            "temperature": np.array(settings["temperature"]),
            "smoothing": np.array(settings["smoothing"]),
        }

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Scale to length 1, and let the nearest vote.

        Raises:
            ValueError: If the weights, which may come from anybody, are not such as `fit` returns.
        """
        arrays = (weights["examples"], weights["targets"], weights["counts"])
        numbers: dict[str, Any] = {
            "neighbours": int(weights["neighbours"]),
            "temperature": float(weights["temperature"]),
            "smoothing": float(weights["smoothing"]),
        }
        vote: NearestVote | NearestMean
        if "prior" in weights:
            vote = NearestMean(*arrays, prior=weights["prior"], **numbers)
        else:
            vote = NearestVote(*arrays, num_classes=int(weights["classes"]), **numbers)
        _check(vote)
        return (UnitLength(), vote)


def _find_prior(examples: Examples) -> np.ndarray:
    """Return what an example has on average, float32 (K,): equal shares of classes."""
    if examples.task == "single":
        return np.full(examples.num_classes, 1 / examples.num_classes, np.float32)
    targets = examples.targets.reshape(len(examples), -1)
    return np.asarray(np.average(targets, axis=0, weights=examples.weights), np.float32)


def _blocks(examples: Examples) -> Iterator[Examples]:
    """Yield some rows after the other, so many that what is said of them is of bounded size."""
    step = max(1, BLOCK_VALUES // max(examples.values.shape[1], examples.num_classes))
    for start in range(0, len(examples), step):
        yield examples.take(slice(start, start + step))


def _list_losses(shares: np.ndarray, prior: np.ndarray, held_out: Examples) -> np.ndarray:
    """Return the loss of each row with each smoothing, (n, S); see `featx.heads.kinds.Choice`.

    Args:
        shares: Votes, (n, K).
        prior: What an example has on average, (K,).
        held_out: The rows.
    """
    smoothings = np.array(SMOOTHINGS, np.float32)
    if held_out.task == "single":
        own = shares[np.arange(len(held_out)), held_out.targets, np.newaxis]
        prior_of_own = prior[held_out.targets, np.newaxis]
        return np.asarray(-np.log((own + smoothings * prior_of_own) / (1 + smoothings)))
    losses = []
    for smoothing in smoothings:
        outputs = (shares + smoothing * prior) / (1 + smoothing)
        if held_out.task == "multi":
            own = np.where(held_out.targets, outputs, 1 - outputs)
            losses.append(-np.log(np.maximum(own, LEAST_PROBABILITY)).mean(axis=1))
        else:
            losses.append(np.square(outputs[:, 0] - held_out.targets))
    return np.stack(losses, axis=1)


def _check(vote: NearestVote | NearestMean) -> None:
    count = len(vote.examples)
    if count < 1 or not len(vote.targets) == len(vote.counts) == count:
        raise ValueError("there is not one class for each example")
    if isinstance(vote, NearestMean):
        if vote.targets.ndim != 2 or vote.prior.shape != vote.targets.shape[1:]:
            raise ValueError("the examples have other labels than there are")
    elif (
        vote.targets.ndim != 1
        or vote.targets.dtype.kind not in "iu"
        or not (0 <= vote.targets.min() <= vote.targets.max() < vote.num_classes <= MOST_CLASSES)
    ):
        raise ValueError("the examples are of other classes")
    if vote.counts.ndim != 1:
        raise ValueError("there is not one weight for each example")
    if not (vote.neighbours >= 1 and vote.temperature > 0 and vote.smoothing >= 0):
        raise ValueError("a number is out of range")


knn = KnnHead()
