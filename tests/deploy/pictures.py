"""Pictures and a head that tests of exports begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from featx.heads.head import Head
from featx.models.loading import load_model
from featx.specs import FeatureSpec


def write_noise(folder: Path) -> Path:
    """Write twelve pictures of two classes and several sizes."""
    generator = np.random.default_rng(5)
    for number in range(12):
        name = ("dark", "light")[number % 2]
        height, width = 90 + 17 * number, 260 - 11 * number
        noise = generator.integers(0, 128, (height, width, 3)) + 127 * (number % 2)
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def make_head(classes: tuple[str, ...] = ("dark", "light"), location: str | None = None) -> Head:
    """Make a linear head on the built-in network, or on a file, without fitting it."""
    model = load_model("builtin:mini").spec
    if location is not None:
        model = replace(model, source="file", location=location)
    weights = {
        "mean": np.zeros(256, np.float32),
        "scale": np.ones(256, np.float32),
        "coefficients": np.ones((len(classes), 256), np.float32),
        "intercepts": np.zeros(len(classes), np.float32),
    }
    feature = FeatureSpec("embedding", "layer", "none", (256,))
    return Head("linear", classes, feature, model, weights, np.zeros((0, 16), np.uint8))
