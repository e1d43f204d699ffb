"""Options of fine-tuning, and what is refused before anything is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from featx.errors import InvalidValue, UnknownName
from featx.training.goals.classes import ClassGoal
from featx.training.goals.labels import LabelGoal
from featx.training.goals.numbers import NumberGoal
from featx.training.options import (
    ClassifierOptions,
    FreezingOptions,
    LessonOptions,
    TrainingOptions,
)
from featx.training.schedule import list_phases


@pytest.mark.parametrize(
    ("group", "options", "message"),
    [
        (TrainingOptions, {"learning_rate": 0}, "learning_rate= is above 0"),
        (TrainingOptions, {"epochs": 0, "top_epochs": 0}, "Nothing would be trained"),
        (TrainingOptions, {"optimizer": "lion"}, "lion"),
        (TrainingOptions, {"label_smoothing": 1}, r"in \[0, 1\)"),
        (TrainingOptions, {"weight_decay": -1}, "at least 0"),
        (TrainingOptions, {"patience": 0}, "patience"),
        (LessonOptions, {"test_size": 0}, "above 0"),
        (LessonOptions, {"val_size": 1}, r"in \[0, 1\)"),
        (TrainingOptions, {"augment": "blur"}, "blur"),
        (TrainingOptions, {"augment": "flip,flip"}, "each kind once"),
        (TrainingOptions, {"augment": "flip,none"}, "or none"),
        (ClassifierOptions, {"hidden": (0,)}, "at least 1"),
        (FreezingOptions, {"unfreeze": " "}, "names layers, or is all or none"),
    ],
)
def test_wrong_values_are_refused(group: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidValue, UnknownName), match=message):
        group(**options)


def test_pictures_without_colour_are_not_mirrored_unless_asked() -> None:
    assert TrainingOptions().augmentations(3, 224) == ("flip", "crop")
    assert TrainingOptions().augmentations(1, 28) == ("crop",)
    assert TrainingOptions().augmentations(1, 8) == ()
    assert TrainingOptions().augmentations(3, 8) == ("flip",)
    assert TrainingOptions(augment="flip,crop").augmentations(1, 8) == ("flip", "crop")
    assert TrainingOptions(augment="none").augmentations(3, 224) == ()
    with pytest.raises(InvalidValue, match="is for colour images"):
        TrainingOptions(augment="randaugment").augmentations(1, 28)


def test_default_trains_the_network_from_the_first_step_with_a_rate_that_rises_and_falls() -> None:
    (only,) = list_phases(TrainingOptions())
    assert (only.name, only.optimizer, only.learning_rate) == ("network", "adam", 1e-3)
    rates = [rate for epoch in range(1, 11) for rate in only.rates(epoch, 20)]
    assert len(rates) == 200
    assert rates[0] == pytest.approx(1e-3 / 20)
    assert rates.index(max(rates)) in (19, 20)
    assert all(np.diff(rates[:20]) > 0)
    assert all(np.diff(rates[20:]) < 0)
    assert rates[-1] < 1e-6


def test_the_recipe_of_keras_is_two_phases() -> None:
    recipe = TrainingOptions(top_epochs=2, optimizer="sgd", learning_rate=1e-4)
    top, network = list_phases(recipe)
    assert (top.name, top.optimizer, top.learning_rate) == ("top", "rmsprop", 1e-4)
    assert (network.name, network.optimizer, network.learning_rate) == ("network", "sgd", 1e-4)


def test_classes_alone_are_smoothed_unasked() -> None:
    goals = (ClassGoal(3), LabelGoal(), NumberGoal.of(np.arange(3)))
    assert [goal.smoothing for goal in goals] == [0.1, 0.0, 0.0]


def test_phases_without_epochs_are_left_out() -> None:
    (only,) = list_phases(TrainingOptions(top_epochs=0, epochs=3))
    assert (only.name, only.first, only.last) == ("network", 1, 3)
