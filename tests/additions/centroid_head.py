"""A head: the class whose mean is nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.operations import Affine, Operation, Softmax, Standardise, compute


class CentroidHead:
    tasks: tuple[Task, ...] = ("single",)

    def suits(self, examples: Examples) -> bool:
        return True

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        sizes = np.bincount(examples.targets, minlength=examples.num_classes)
        if sizes.min() < 2:
            return Choice({})
        test = np.arange(len(examples)) % 4 == 0
        weights = self.fit(examples.take(~test), {}, job)
        held_out = examples.take(test)
        probabilities = compute(self.operations(weights), held_out.values)
        own = probabilities[np.arange(len(held_out)), held_out.targets]
        return Choice({}, float(-np.log(np.maximum(own, 1e-12)).mean()), None, len(held_out))

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        mean, scale = examples.values.mean(axis=0), examples.values.std(axis=0)
        scale = np.where(scale == 0, 1, scale).astype(np.float32)
        standardised = (examples.values - mean) / scale
        centroids = np.zeros((examples.num_classes, standardised.shape[1]), np.float32)
        for number in np.unique(examples.targets):
            centroids[number] = standardised[examples.targets == number].mean(axis=0)
        return {"mean": mean, "scale": scale, "centroids": centroids}

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        # -|x - c|^2 / 2 is c x - |c|^2 / 2 without |x|^2 / 2, which is the same for all classes.
        centroids = weights["centroids"]
        intercepts = -np.square(centroids).sum(axis=1) / 2
        return (
            Standardise(weights["mean"], weights["scale"]),
            Affine(centroids, intercepts),
            Softmax(),
        )


centroid = CentroidHead()
