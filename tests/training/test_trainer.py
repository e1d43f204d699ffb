"""Each option of training does something: one epoch of a small network, with it and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from featx.models.keras_settings import build_apart
from featx.training.freezing import LayerPlace
from featx.training.goals.classes import ClassGoal
from featx.training.keras_augmentation import find_seeds, make_augmentation, set_seeds, vary
from featx.training.keras_network import TrainableNetwork
from featx.training.keras_trainer import Answers, KerasTrainer, TrainingPlan
from featx.training.lessons import Batch
from featx.training.options import TrainingOptions
from featx.training.schedule import list_phases

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

COUNT, SIZE = 24, 6
PLAIN: dict[str, Any] = {
    "epochs": 1,
    "optimizer": "sgd",
    "schedule": "constant",
    "learning_rate": 0.1,
    "label_smoothing": 0,
    "augment": "none",
}


def make_network() -> TrainableNetwork:
    import keras

    def build() -> Any:
        keras.utils.set_random_seed(1)
        pixels = keras.Input((SIZE, SIZE, 3))
        values = keras.layers.Rescaling(1 / 255)(pixels)
        conv, norm = keras.layers.Conv2D(4, 3, name="conv"), keras.layers.BatchNormalization()
        vectors = keras.layers.Flatten()(norm(conv(values)))
        return keras.Model(pixels, keras.layers.Dense(3)(vectors)), {"conv": conv, "norm": norm}

    model, layers = build_apart(build)
    return TrainableNetwork(model, layers, [LayerPlace("conv", 0), LayerPlace("norm", 1)])


def train(
    *,
    trained: tuple[str, ...] = ("conv", "norm"),
    train_batch_norm: bool = False,
    weights: np.ndarray | None = None,
    augmentations: tuple[str, ...] = (),
    **options: Any,
) -> tuple[dict[str, np.ndarray], float]:
    """Return the weights after an epoch, by names, and its loss."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (COUNT, SIZE, SIZE, 3)).astype(np.uint8)
    weights = np.ones(COUNT) if weights is None else weights
    network, chosen = make_network(), TrainingOptions(**PLAIN | options)
    plan = TrainingPlan(chosen, frozenset(trained), train_batch_norm, augmentations, 0)
    trainer = KerasTrainer(network, plan, Answers(ClassGoal(3), np.arange(COUNT) % 3, weights))
    (phase,) = list_phases(chosen)

    def read(rows: np.ndarray) -> Iterator[Batch]:
        for part in np.split(rows, 3):
            yield Batch(part, pixels[part])

    trainer.enter(phase)
    loss, _ = trainer.run_epoch(1, np.arange(COUNT), read, phase.rates(1, 3), lambda _: None)
    trainer.finish()
    names = ("conv", "conv_bias", "gamma", "beta", "mean", "variance", "top", "top_bias")
    return dict(zip(names, network.model.get_weights(), strict=True)), loss


@pytest.fixture(scope="module")
def plain() -> tuple[dict[str, np.ndarray], float]:
    return train()


def differ(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> set[str]:
    return {name for name in one if not np.array_equal(one[name], other[name])}


def test_an_epoch_is_the_same_again(plain: tuple[dict[str, np.ndarray], float]) -> None:
    again, loss = train()
    assert not differ(plain[0], again)
    assert loss == plain[1]


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw"},
        {"optimizer": "rmsprop"},
        {"learning_rate": 0.05},
        {"schedule": "cosine"},
        {"weight_decay": 0.1},
        {"label_smoothing": 0.2},
        {"mixed_precision": True},
        {"augmentations": ("flip",)},
        {"augmentations": ("crop",)},
        {"augmentations": ("colour",)},
        {"augmentations": ("randaugment",)},
        {"weights": np.repeat([1.0, 3.0], COUNT // 2)},
    ],
    ids=lambda options: "-".join(f"{name}" for name in options),
)
def test_an_option_changes_what_is_learned(
    plain: tuple[dict[str, np.ndarray], float], options: dict[str, Any]
) -> None:
    changed, _ = train(**options)
    assert differ(plain[0], changed) == {"conv", "conv_bias", "top", "top_bias"}
    assert all(array.dtype == np.float32 for array in changed.values())


def test_frozen_layers_and_batch_normalisation_stay(
    plain: tuple[dict[str, np.ndarray], float],
) -> None:
    begun = dict(zip(plain[0], make_network().model.get_weights(), strict=True))
    assert differ(begun, plain[0]) == {"conv", "conv_bias", "top", "top_bias"}
    assert differ(begun, train(trained=())[0]) == {"top", "top_bias"}
    assert differ(begun, train(train_batch_norm=True)[0]) == set(begun)


def test_pictures_that_do_not_count_teach_nothing() -> None:
    begun = dict(zip(train()[0], make_network().model.get_weights(), strict=True))
    assert not differ(begun, train(weights=np.zeros(COUNT))[0])


def test_weight_decay_shrinks_and_smoothing_costs(
    plain: tuple[dict[str, np.ndarray], float],
) -> None:
    decayed = train(weight_decay=0.5)[0]
    assert np.linalg.norm(decayed["conv"]) < 0.95 * np.linalg.norm(plain[0]["conv"])
    assert train(label_smoothing=0.9, learning_rate=1e-9)[1] != pytest.approx(
        train(learning_rate=1e-9)[1], abs=1e-3
    )


@pytest.mark.parametrize("name", ["flip", "crop", "colour", "randaugment"])
def test_pictures_are_varied_anew_in_each_epoch(name: str) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype(np.float32)
    layers = build_apart(lambda: make_augmentation([name]))

    def show(epoch: int) -> np.ndarray:
        set_seeds(find_seeds(layers), 0, epoch)
        return np.asarray(vary(pictures, layers))

    first, second, again = show(1), show(2), show(1)

    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert first.shape == pictures.shape
    assert first.min() >= 0
    assert first.max() <= 255
    if name == "flip":
        was_flipped = [
            bool(np.array_equal(one, picture[:, ::-1]))
            for one, picture in zip(first, pictures, strict=True)
        ]
        assert 2 < sum(was_flipped) < 14
        rest = ~np.array(was_flipped)
        np.testing.assert_array_equal(first[rest], pictures[rest])
