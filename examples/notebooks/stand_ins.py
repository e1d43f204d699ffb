"""Small stand-ins, made offline, for what the notebooks would otherwise download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from featx.engines.tensorflow import import_tensorflow


def write_photograph(path: str = "photograph.jpg") -> str:
    """Write one real photograph, of a flower."""
    Image.fromarray(load_sample_image("flower.jpg")).save(path)
    return path


def load_arrays() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return handwritten digits as `keras.datasets` returns them: (x, y) to train, (x, y) to test.

    x is uint8 (N, 8, 8), y is (N,).
    """
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    return (images[:400], digits[:400]), (images[400:500], digits[400:500])


def write_photos(folder: str = "photos", classes: int = 5) -> str:
    """Write handwritten digits as pictures, in one folder for each class."""
    (images, digits), _ = load_arrays()
    for number, (image, digit) in enumerate(zip(images, digits, strict=True)):
        if digit < classes:
            path = Path(folder, str(digit), f"{number:03d}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((64, 64)).save(path)
    return folder


def make_network() -> object:
    """Return a Keras network that has learned the digits: two layers and a classifier."""
    tensorflow = import_tensorflow()  # Without its lines on stderr; featx imports it anyway.
    tensorflow.get_logger().setLevel("ERROR")
    import keras

    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    (pixels, digits), _ = load_arrays()
    seen = np.asarray(keras.Model(images, x)(pixels[..., np.newaxis]))
    with threadpool_limits(1):  # Threads take longer to start than so little takes to compute.
        fitted = LogisticRegression(max_iter=1000).fit(seen, digits)
    classifier = keras.layers.Dense(10, activation="softmax", name="classifier")
    network = keras.Model(images, classifier(x))
    classifier.set_weights([fitted.coef_.T, fitted.intercept_])
    return network


def write_network(path: str = "digits.keras") -> str:
    """Write that network as a file."""
    if not Path(path).exists():
        make_network().save(path)  # type: ignore[attr-defined]
    return path


def write_module(folder: str = "module") -> str:
    """Write that network as a SavedModel, which is what a Hub module is."""
    if not Path(folder).exists():
        make_network().export(folder, verbose=False)  # type: ignore[attr-defined]
    return folder
