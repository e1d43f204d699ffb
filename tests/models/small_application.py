"""A small network in the place of a Keras application, for tests of how featx treats those."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from featx.engines.tensorflow import import_tensorflow


def replace_mobilenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Keras build a MobileNet of two layers and a classifier, with the same arguments."""
    import_tensorflow()
    import keras

    layers = keras.layers

    @functools.wraps(keras.applications.MobileNet)
    def build(
        input_shape: Any = None,
        alpha: float = 1.0,
        include_top: bool = True,
        classes: int = 1000,
        **others: Any,
    ) -> Any:
        images = keras.Input(input_shape or (224, 224, 3))
        x = layers.Conv2D(int(32 * alpha), 3, strides=2, name="conv1")(images)
        x = layers.ReLU(6.0, name="conv1_relu")(x)
        if include_top:
            x = layers.GlobalAveragePooling2D(name="mean")(x)
            x = layers.Dense(classes, activation="softmax", name="predictions")(x)
        return keras.Model(images, x, name="mobilenet")

    monkeypatch.setattr(keras.applications, "MobileNet", build)
