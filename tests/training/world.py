"""Pictures of three classes and small networks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")
SIZE = 16


def write_pictures(
    folder: Path, count: int = 18, *, classes: tuple[str, ...] = CLASSES, channels: int = 3
) -> Path:
    """Write noisy pictures, in which a bright column says the class."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for picture in range(count):
            pixels = random.integers(0, 160, (SIZE, SIZE, channels))
            pixels[:, number : number + 2] += 60
            pixels[..., number % channels] += 10
            image = Image.fromarray(pixels.squeeze().astype(np.uint8))
            image.save(folder / name / f"{picture}.png")
    return folder


def make_network(path: Path, *, channels: int = 3, nested: bool = False, classes: int = 7) -> Path:
    """Write a small network with its own classifier, a batch normalisation and a dropout."""
    import keras

    from featx.models.keras_settings import build_apart

    def build() -> Any:
        keras.utils.set_random_seed(3)
        layers = [
            keras.layers.Conv2D(6, 3, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.Dropout(0.2, name="drop"),
            keras.layers.Conv2D(6, 3, strides=2, name="second"),
        ]
        shape = (SIZE, SIZE, channels)
        body = [keras.Sequential([keras.Input(shape), *layers], name="body")] if nested else layers
        return keras.Sequential(
            [
                keras.Input(shape, name="images"),
                keras.layers.Rescaling(1 / 255, name="scale"),
                *body,
                keras.layers.Flatten(name="flat"),
                keras.layers.Dense(8, activation="relu", name="hidden"),
                keras.layers.Dense(classes, activation="softmax", name="old"),
            ]
        )

    build_apart(build).save(path)
    return path
