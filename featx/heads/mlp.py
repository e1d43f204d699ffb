"""A small network on features: hidden layers with dropout, fitted by Adam in NumPy.

scikit-learn's MLPClassifier has no dropout and cannot stop by the loss on given rows, and a second
framework beside TensorFlow would be much to install for three matrix products. So they are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from featx.heads.calibration import accuracy, cross_entropy
from featx.heads.design import find_standard
from featx.heads.folds import make_folds
from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.logistic import sigmoid_entropy
from featx.heads.operations import Affine, Operation, Relu, Sigmoid, Softmax, Standardise, compute
from featx.heads.stored_values import are_stored
from featx.heads.threads import threads_for

DEFAULT_HIDDEN = (128,)
BATCH = 128
RATE, DECAY_1, DECAY_2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
"""Of Adam, as Kingma and Ba (2015) propose."""

RUN = 64
"""Examples that are read in one go where they are on the disk: classes may lie one after the other
there, and each part is to have all of them."""

WEIGHT_DECAY = 1e-2
"""Share of the weights times the rate that is taken off at each step (AdamW: Loshchilov and
Hutter, 2019)."""

MOST_EPOCHS, PATIENCE = 100, 4
"""Fitting stops when so many epochs have not lowered the loss on held-out rows."""

DEFAULT_EPOCHS = 30
"""Of too few examples to hold any out."""

LEAST_EXAMPLES, MOST_WORK = 2_000, 10_000_000_000
"""Examples from which, and multiplications of one epoch up to which, it is tried unasked."""


class MlpHead:
    """Dense layers with ReLU and dropout on standardised features, and softmax or sigmoids.

    The number of epochs is chosen on held-out rows, by early stopping; then it is fitted for as
    many. The weights are ``mean`` and ``scale`` (D,), of layer i from 0 ``coefficients_i`` and
    ``intercepts_i``, and of several labels ``multi``; the settings ``hidden``, ``dropout``,
    ``epochs`` and ``folds``.
    """

    tasks: tuple[Task, ...] = ("single", "multi")

    def suits(self, examples: Examples) -> bool:
        """Whether there are examples enough to learn a hidden layer, and not too many."""
        width = examples.values.shape[1] + examples.num_classes
        work = 3 * len(examples) * width * DEFAULT_HIDDEN[0]
        return len(examples) >= LEAST_EXAMPLES and work <= MOST_WORK

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose the number of epochs; see `featx.heads.kinds.HeadKind.choose`."""
        settings = {
            "hidden": list(job.options.hidden or DEFAULT_HIDDEN),
            "dropout": job.options.dropout,
        }
        folds = make_folds(examples, job.seed)
        if not folds.count:
            return Choice(settings | {"epochs": DEFAULT_EPOCHS, "folds": 0})
        epochs, scores = [], []
        with threads_for(examples):
            for number, (train, test) in enumerate(folds):
                what = f"mlp, fold {number + 1} of {folds.count}"
                stopped, best = _stop_early(examples, (train, test), settings, job, what)
                epochs.append(stopped)
                scores.append(best)
        held_out, logits = examples.take(folds.held_out), np.concatenate(scores)
        return Choice(
            settings | {"epochs": max(1, round(float(np.mean(epochs)))), "folds": folds.count},
            _find_loss(logits, held_out),
            accuracy(logits, held_out.targets) if examples.task == "single" else None,
            len(held_out),
        )

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Fit for a known number of epochs; see `featx.heads.kinds.HeadKind.fit`."""
        network = _Network.make(examples, settings, job.seed)
        with threads_for(examples):
            for epoch in range(settings["epochs"]):
                job.listener.trying(f"mlp, epoch {epoch + 1} of {settings['epochs']}")
                network.run_epoch(examples)
        return network.weights() | ({"multi": np.array(True)} if examples.task == "multi" else {})

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Standardise, then affine maps with ReLU between them, and softmax or sigmoids."""
        return (*_logits(weights), Sigmoid() if "multi" in weights else Softmax())


mlp = MlpHead()


def _find_loss(logits: np.ndarray, examples: Examples) -> float:
    measure = sigmoid_entropy if examples.task == "multi" else cross_entropy
    return measure(logits, examples.targets, examples.weights)


def _logits(weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
    count = sum(name.startswith("coefficients_") for name in weights)
    operations: list[Operation] = [Standardise(weights["mean"], weights["scale"])]
    for number in range(count):
        operations += [Relu()] if number else []
        operations.append(
            Affine(weights[f"coefficients_{number}"], weights[f"intercepts_{number}"])
        )
    return tuple(operations)


def _stop_early(
    examples: Examples,
    fold: tuple[np.ndarray, np.ndarray],
    settings: Mapping[str, Any],
    job: FitJob,
    what: str,
) -> tuple[int, np.ndarray]:
    """Return the best number of epochs, and the logits of the held-out rows after them."""
    train, test = examples.take(fold[0]), examples.take(fold[1])
    network = _Network.make(train, settings, job.seed)
    best_loss, best_epoch, best = np.inf, 1, np.zeros((0, 0))
    for epoch in range(1, MOST_EPOCHS + 1):
        network.run_epoch(train)
        logits = compute(_logits(network.weights()), test.values)
        loss = _find_loss(logits, test)
        job.listener.trying(f"{what}, epoch {epoch}, held-out loss {loss:.4f}")
        if loss < best_loss:
            best_loss, best_epoch, best = loss, epoch, logits
        elif epoch - best_epoch >= PATIENCE:
            break
    return best_epoch, best


@dataclass(slots=True)
class _Network:
    """Parameters while they are fitted: matrices (K, D) and vectors (K,), by turns."""

    mean: np.ndarray
    scale: np.ndarray
    parameters: list[np.ndarray]
    moments: list[tuple[np.ndarray, np.ndarray]]
    dropout: float
    random: np.random.Generator
    step: int = 0

    @classmethod
    def make(cls, examples: Examples, settings: Mapping[str, Any], seed: int) -> _Network:
        """Draw the first weights, of a variance that keeps that of the values (He et al., 2015)."""
        random = np.random.default_rng(seed)
        mean, scale = (one.astype(np.float32) for one in find_standard(examples))
        widths = [len(mean), *settings["hidden"], examples.num_classes]
        parameters = []
        for number, (before, after) in enumerate(pairwise(widths), start=2):
            # The last layer starts near equal probabilities.
            deviation = np.sqrt((2 if number < len(widths) else 0.01) / before)
            drawn = random.standard_normal((after, before), dtype=np.float32)
            parameters += [drawn * np.float32(deviation), np.zeros(after, np.float32)]
        moments = [(np.zeros_like(one), np.zeros_like(one)) for one in parameters]
        return cls(mean, scale, parameters, moments, settings["dropout"], random)

    def weights(self) -> dict[str, np.ndarray]:
        named = {"mean": self.mean, "scale": self.scale}
        for number in range(len(self.parameters) // 2):
            named[f"coefficients_{number}"] = self.parameters[2 * number].copy()
            named[f"intercepts_{number}"] = self.parameters[2 * number + 1].copy()
        return named

    def run_epoch(self, examples: Examples) -> None:
        """Go once through all examples, in a new order."""
        for part in self._draw_parts(examples):
            order = self.random.permutation(len(part))
            for start in range(0, len(order), BATCH):
                batch = part.take(order[start : start + BATCH])
                values = (np.asarray(batch.values, np.float32) - self.mean) / self.scale
                self._update(self._find_slopes(values, batch))

    def _draw_parts(self, examples: Examples) -> Iterator[Examples]:
        """Yield all examples; of those on the disk, parts of short runs from all over them."""
        if not are_stored(examples.values):
            yield examples
            return
        runs = self.random.permutation(np.arange(0, len(examples), RUN))
        size = next(examples.block_rows()).stop
        for chosen in np.array_split(runs, max(1, -(-len(examples) // size))):
            rows = (np.sort(chosen)[:, np.newaxis] + np.arange(RUN)).ravel()
            yield examples.take(rows[rows < len(examples)])

    def _find_slopes(self, values: np.ndarray, batch: Examples) -> list[np.ndarray]:
        """Return the gradient of the mean loss by each parameter."""
        inputs, kept = [], []
        matrices, vectors = self.parameters[::2], self.parameters[1::2]
        for number, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True)):
            mask = self._draw_mask(values.shape)
            values = values * mask
            inputs.append(values)
            kept.append(mask * (values > 0) if number else mask)
            values = values @ matrix.T + vector
            if number + 1 < len(matrices):
                values = np.maximum(values, 0)
        if batch.task == "multi":
            errors = (Sigmoid()(values) - batch.targets) / np.float32(batch.num_classes)
        else:
            errors = Softmax()(values)
            errors[np.arange(len(batch)), batch.targets] -= 1
        counts = batch.counts.astype(np.float32)
        errors *= (counts / counts.sum())[:, np.newaxis]
        slopes: list[np.ndarray] = []
        for number in reversed(range(len(matrices))):
            slopes = [errors.T @ inputs[number], errors.sum(axis=0), *slopes]
            if number:
                errors = (errors @ matrices[number]) * kept[number]
        return slopes

    def _draw_mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return 0 for what is dropped, and for the rest what keeps the mean (N, D)."""
        if not self.dropout:
            return np.ones(shape, np.float32)
        drawn = self.random.random(shape, dtype=np.float32) >= self.dropout
        return np.asarray(drawn, np.float32) / np.float32(1 - self.dropout)

    def _update(self, slopes: list[np.ndarray]) -> None:
        """Make one step of Adam."""
        self.step += 1
        rate = RATE * np.sqrt(1 - DECAY_2**self.step) / (1 - DECAY_1**self.step)
        for one, slope, (first, second) in zip(self.parameters, slopes, self.moments, strict=True):
            first *= DECAY_1
            first += (1 - DECAY_1) * slope
            second *= DECAY_2
            second += (1 - DECAY_2) * np.square(slope)
            if one.ndim == 2:
                one *= 1 - RATE * WEIGHT_DECAY
            one -= np.asarray(rate * first / (np.sqrt(second) + EPSILON), np.float32)
