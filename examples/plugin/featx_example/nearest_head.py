"""A kind of head: the classes of the nearest examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.operations import Operation, Standardise

NEIGHBOURS = (1, 3, 5, 9)
"""Numbers of neighbours that are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """The shares of the classes among the nearest examples, in Euclidean distance.

    This is an operation of this package's own; featx's are in `featx.heads.operations`.

    Attributes:
        examples: (N, D).
        targets: Their class numbers, (N,).
        num_classes: C.
        neighbours: How many are asked.
    """

    examples: np.ndarray
    targets: np.ndarray
    num_classes: int
    neighbours: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (n, C) of vectors (n, D)."""
        distances = _distances(values, self.examples)
        return _vote(distances, self.targets, self.neighbours, self.num_classes)


class NearestHead:
    """Counts the classes of the k nearest examples, in standardised Euclidean distance.

    The weights are ``mean`` and ``scale`` (D,), ``examples`` (N, D) and ``targets`` (N,), and the
    numbers ``neighbours`` (k) and ``classes`` (C); the setting is ``neighbours``.
    """

    tasks: tuple[Task, ...] = ("single",)

    def suits(self, examples: Examples) -> bool:
        """Whether all distances can be held in memory."""
        return len(examples) <= 5_000

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose k by leaving out one example, and those identical to it, at a time."""
        if np.bincount(examples.targets).min() < 2:
            return Choice({"neighbours": 1})
        weights = self.fit(examples, {"neighbours": 1}, job)
        distances = _distances(weights["examples"], weights["examples"])
        distances[examples.groups[:, np.newaxis] == examples.groups] = np.inf
        rows, losses = np.arange(len(examples)), []
        for number in NEIGHBOURS:
            job.listener.trying(f"nearest, {number} neighbours")
            shares = _vote(distances, examples.targets, number, examples.num_classes)
            # A share of 0 would count as infinitely wrong: 1 / C of a vote is added.
            smooth = (shares * number + 1 / examples.num_classes) / (number + 1)
            losses.append(float(-np.log(smooth[rows, examples.targets]).mean()))
        best = int(np.argmin(losses))
        return Choice({"neighbours": NEIGHBOURS[best]}, losses[best], num_held_out=len(examples))

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Keep the examples."""
        mean, scale = examples.values.mean(axis=0), examples.values.std(axis=0)
        scale = np.where(scale == 0, 1, scale)
        return {
            "mean": mean,
            "scale": scale,
            "examples": (examples.values - mean) / scale,
            "targets": examples.targets,
            "neighbours": np.array(settings["neighbours"]),
            "classes": np.array(examples.num_classes),
        }

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Standardise, and let the nearest examples vote."""
        number, count = int(weights["neighbours"]), int(weights["classes"])
        return (
            Standardise(weights["mean"], weights["scale"]),
            Vote(weights["examples"], weights["targets"], count, number),
        )


nearest = NearestHead()


def _distances(values: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances, (n, N)."""
    squares = np.square(values).sum(axis=1)[:, np.newaxis] + np.square(examples).sum(axis=1)
    return np.asarray(squares - 2 * values @ examples.T)


def _vote(
    distances: np.ndarray, targets: np.ndarray, neighbours: int, num_classes: int
) -> np.ndarray:
    """Return the shares of the classes among the nearest, float32 (n, C)."""
    nearest_rows = np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
    votes = np.eye(num_classes, dtype=np.float32)[targets[nearest_rows]]
    return np.asarray(votes.mean(axis=1), np.float32)
