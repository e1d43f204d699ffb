"""Training of a Keras network, step by step, in a way that can be stopped and continued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow
from featx.errors import TrainingError
from featx.models.keras_settings import build_apart
from featx.training.goals import Goal
from featx.training.keras_augmentation import find_seeds, make_augmentation, set_seeds, vary
from featx.training.keras_network import TrainableNetwork
from featx.training.lessons import Batch, epoch_order
from featx.training.options import TrainingOptions
from featx.training.schedule import Phase
from featx.wording import option

MOMENTUM = 0.9

CLIP_NORM = 1.0
"""Largest norm of the gradient of all weights in a step of SGD.

A head that was fitted on frozen features divides by their scale, so gradients of the network
below it are large: at 24 in the median, the recipe's rate made MobileNetV2 worse than its frozen
features.
"""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a network is trained.

    Attributes:
        options: Optimiser, rates and the rest.
        trained: Paths of the layers that are trained in the second phase.
        train_batch_norm: Whether batch normalisation is among them.
        augmentations: Names of the changes to pictures.
        seed: For the order of the pictures and everything else at random.
    """

    options: TrainingOptions
    trained: frozenset[str]
    train_batch_norm: bool
    augmentations: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What is right for the N pictures of a lesson.

    Attributes:
        goal: What is learned.
        targets: Of the pictures, as in a lesson, (N,) or (N, C).
        weights: How much each counts, (N,).
    """

    goal: Goal
    targets: np.ndarray
    weights: np.ndarray


class KerasTrainer:
    """A network in training.

    Args:
        network: The network; its weights change.
        plan: How it is trained.
        answers: What it is to learn.
    """

    def __init__(self, network: TrainableNetwork, plan: TrainingPlan, answers: Answers) -> None:
        self._network, self._plan, self._answers = network, plan, answers
        self._augmentation = build_apart(lambda: make_augmentation(plan.augmentations))
        self._seeds = find_seeds([*self._augmentation, network.model])
        self._phase: str = ""
        self._optimizer: Any = None
        self._step: Callable[..., Any] | None = None
        self._predict = self._compile_prediction()
        if plan.options.mixed_precision:
            network.set_policy("mixed_bfloat16")

    def enter(self, phase: Phase) -> None:
        """Begin to train what a phase trains, with an optimiser that knows of no step yet."""
        if self._phase == phase.name:
            return
        self._phase = phase.name
        self._network.freeze(
            self._plan.trained if phase.name == "network" else frozenset(),
            train_batch_norm=self._plan.train_batch_norm,
        )
        self._optimizer = build_apart(lambda: self._make_optimizer(phase))
        self._step = self._compile_step()

    def run_epoch(
        self,
        number: int,
        rows: np.ndarray,
        read: Callable[[np.ndarray], Iterator[Batch]],
        rates: Iterable[float],
        advance: Callable[[int], None],
    ) -> tuple[float, float]:
        """Show the network all pictures once.

        Args:
            number: The epoch, by which order and chance are decided.
            rows: The rows of the pictures.
            read: Yields batches of rows.
            rates: The learning rate of each step.
            advance: Is told how many pictures were shown.

        Returns:
            Means of `Goal.loss` and `Goal.figure` while learning.

        Raises:
            TrainingError: If the loss is no number any more.
        """
        assert self._step is not None
        set_seeds(self._seeds, self._plan.seed, number)
        total = figures = 0.0
        order = epoch_order(rows, self._plan.seed, number)
        for batch, rate in zip(read(order), rates, strict=False):
            self._optimizer.learning_rate.assign(rate)
            loss, figure = self._step(
                batch.pixels,
                self._answers.goal.encode(self._answers.targets[batch.rows]),
                self._answers.weights[batch.rows].astype(np.float32),
            )
            if not np.isfinite(loss):
                raise TrainingError(
                    f"The loss became {float(loss)} in epoch {number}, at a learning rate of "
                    f"{rate:g}. Take a smaller one with {option(self._rate_keyword)}."
                )
            total += float(loss) * len(batch.rows)
            figures += float(figure)
            advance(len(batch.rows))
        return total / len(rows), figures / len(rows)

    def predict(self, batches: Iterable[Batch]) -> np.ndarray:
        """Return outputs, float32 (n, K), of the pictures of some batches."""
        found = [np.asarray(self._predict(batch.pixels)) for batch in batches]
        return np.concatenate([np.zeros((0, self._network.num_outputs), np.float32), *found])

    def read_state(self) -> dict[str, np.ndarray]:
        """Return all that training has changed: of the network and of the optimiser."""
        variables = {} if self._optimizer is None else self._optimizer_variables()
        return {**self.read_weights(), **{name: np.asarray(v) for name, v in variables.items()}}

    def read_weights(self) -> dict[str, np.ndarray]:
        """Return what training changes of the network."""
        return {name: np.asarray(v) for name, v in self._network_variables().items()}

    def write_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of the phase that was entered.

        Raises:
            TrainingError: If it is that of another network.
        """
        variables = self._network_variables() | self._optimizer_variables()
        _assign(variables, state)

    def write_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take over the network's weights of an epoch."""
        _assign(self._network_variables(), weights)

    def finish(self) -> None:
        """Leave the network as it is to be saved: in float32, all of its layers trainable."""
        self._network.set_policy("float32")
        self._network.release()

    @property
    def _rate_keyword(self) -> str:
        return "top_learning_rate" if self._phase == "top" else "learning_rate"

    def _network_variables(self) -> dict[str, Any]:
        variables = self._network.changing(self._plan.trained)
        return {f"network_{number}": each for number, each in enumerate(variables)}

    def _optimizer_variables(self) -> dict[str, Any]:
        return {f"optimizer_{number}": v for number, v in enumerate(self._optimizer.variables)}

    def _make_optimizer(self, phase: Phase) -> Any:
        from keras import optimizers

        kinds = {
            "sgd": optimizers.SGD,
            "rmsprop": optimizers.RMSprop,
            "adam": optimizers.Adam,
            "adamw": optimizers.AdamW,
        }
        more: dict[str, Any] = {}
        if phase.optimizer == "sgd":
            more = {"momentum": MOMENTUM, "global_clipnorm": CLIP_NORM}
        decay = self._plan.options.weight_decay
        if decay or phase.optimizer == "adamw":
            more["weight_decay"] = decay
        optimizer = kinds[phase.optimizer](learning_rate=phase.learning_rate, **more)
        optimizer.build(self._network.model.trainable_variables)
        return optimizer

    def _compile_step(self) -> Callable[..., Any]:
        tensorflow = import_tensorflow()
        model, optimizer, goal = self._network.model, self._optimizer, self._answers.goal
        variables, smoothing = model.trainable_variables, self._plan.options.label_smoothing
        smoothing = goal.smoothing if smoothing is None else smoothing

        def step(pixels: Any, wanted: Any, weights: Any) -> tuple[Any, Any]:
            pictures = vary(tensorflow.cast(pixels, tensorflow.float32), self._augmentation)
            with tensorflow.GradientTape() as tape:
                outputs = tensorflow.cast(model(pictures, training=True), tensorflow.float32)
                losses = goal.loss(outputs, wanted, smoothing)
                loss = tensorflow.reduce_mean(weights * losses)
                if model.losses:
                    loss += tensorflow.add_n(model.losses)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            optimizer.apply(gradients, variables)
            return loss, tensorflow.reduce_sum(goal.figure(outputs, wanted))

        signature = [
            tensorflow.TensorSpec((None, *self._network.input_shape), tensorflow.uint8),
            tensorflow.TensorSpec((None, self._network.num_outputs), tensorflow.float32),
            tensorflow.TensorSpec((None,), tensorflow.float32),
        ]
        compiled: Callable[..., Any] = tensorflow.function(step, input_signature=signature)
        return compiled

    def _compile_prediction(self) -> Callable[..., Any]:
        tensorflow = import_tensorflow()
        model = self._network.model

        def predict(pixels: Any) -> Any:
            pictures = tensorflow.cast(pixels, tensorflow.float32)
            return tensorflow.cast(model(pictures, training=False), tensorflow.float32)

        signature = [tensorflow.TensorSpec((None, *self._network.input_shape), tensorflow.uint8)]
        compiled: Callable[..., Any] = tensorflow.function(predict, input_signature=signature)
        return compiled


def _assign(variables: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> None:
    for name, variable in variables.items():
        value = values.get(name)
        if value is None or value.shape != tuple(variable.shape):
            raise TrainingError(
                "What is kept of the run does not fit the network any more. Begin it again: "
                f"{option('overwrite', True)}."
            )
        variable.assign(value)
