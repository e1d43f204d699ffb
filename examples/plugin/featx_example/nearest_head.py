"""A kind of head: the classes of the nearest examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featx.heads.kinds import Examples, Fitted

NEIGHBOURS = (1, 3, 5, 9)
"""Numbers of neighbours that are tried."""


class NearestHead:
    """Counts the classes of the k nearest examples, in standardised Euclidean distance.

    The weights are ``mean`` and ``scale`` (D,), ``examples`` (N, D) and ``targets`` (N,), and the
    numbers ``neighbours`` (k) and ``classes`` (C); the setting is ``neighbours``.
    """

    def fit(self, examples: Examples, seed: int) -> Fitted:
        """Choose k by leaving out one example, and those identical to it, at a time."""
        weights = self.refit(examples, {"neighbours": 1}, seed)
        distances = _distances(weights["examples"], weights["examples"])
        distances[examples.groups[:, np.newaxis] == examples.groups] = np.inf
        right = [
            (_vote(distances, examples.targets, number, examples.num_classes).argmax(axis=1))
            == examples.targets
            for number in NEIGHBOURS
        ]
        settings = {"neighbours": NEIGHBOURS[int(np.argmax(np.mean(right, axis=1)))]}
        return Fitted(self.refit(examples, settings, seed), settings)

    def refit(
        self, examples: Examples, settings: Mapping[str, Any], seed: int
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

    def predict(self, weights: Mapping[str, np.ndarray], values: np.ndarray) -> np.ndarray:
        """Return each class's share of the nearest examples, float32 (N, C)."""
        standardised = (values - weights["mean"]) / weights["scale"]
        distances = _distances(standardised, weights["examples"])
        number, count = int(weights["neighbours"]), int(weights["classes"])
        return _vote(distances, weights["targets"], number, count)


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
