"""Random changes to pictures, by layers of Keras; their state is set anew for each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow

SECTION = 0.3
"""Share of each side that a section of a picture may lack."""

SHIFT = 0.1
"""Share of each side by which it may be off the centre; what is then missing is mirrored."""

COLOUR = 0.2
"""Largest change of brightness, contrast and saturation, as a share."""


def make_augmentation(names: Sequence[str]) -> list[Any]:
    """Return layers that change pictures in [0, 255], (B, H, W, C), each picture by itself.

    Args:
        names: What is changed; see `featx.training.options.TrainingOptions`.
    """
    import_tensorflow()
    from keras import layers

    found: list[Any] = []
    if "flip" in names:
        found.append(layers.RandomFlip("horizontal"))
    if "crop" in names:
        found.append(layers.RandomZoom((-SECTION, 0.0)))
        found.append(layers.RandomTranslation(SHIFT, SHIFT))
    if "colour" in names:
        found.append(
            layers.RandomColorJitter(
                value_range=(0, 255),
                brightness_factor=COLOUR,
                contrast_factor=COLOUR,
                saturation_factor=(0.5 - COLOUR / 2, 0.5 + COLOUR / 2),
            )
        )
    if "randaugment" in names:
        found.append(layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.3))
    return found


def vary(pictures: Any, layers: Iterable[Any]) -> Any:
    """Return pictures changed by layers, still in [0, 255].

    Keras's layers of colour do not all keep to it: a larger saturation leaves channels below 0.
    """
    tensorflow = import_tensorflow()
    for layer in layers:
        pictures = layer(pictures, training=True)
    return tensorflow.clip_by_value(pictures, 0.0, 255.0)


def find_seeds(layers: Iterable[Any]) -> list[Any]:
    """Return the variables that say what layers do next at random."""
    variables = {
        id(variable): variable
        for layer in layers
        for variable in layer.variables
        if "seed_generator_state" in variable.path
    }
    return list(variables.values())


def set_seeds(variables: Sequence[Any], seed: int, epoch: int) -> None:
    """Set these variables to what belongs to an epoch."""
    random = np.random.default_rng((seed, epoch, 1))
    for variable in variables:
        variable.assign(random.integers(0, 2**31, tuple(variable.shape)).astype(variable.dtype))
