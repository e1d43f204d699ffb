"""What people write otherwise, each in a process of its own.

    python -m benchmarks.heads.rivals sklearn|keras VALUES.npy TARGETS.npy TRAIN C

TRAIN is the number of rows, from the first, that are fitted on. Prints JSON: `seconds` of the fit
alone, held-out `loss` and `accuracy`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np


def fit_sklearn(values: np.ndarray, targets: np.ndarray, inverse: float) -> tuple[float, Any]:
    """Fit a standardised logistic regression once, at a known strength."""
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    head = LogisticRegression(C=inverse, max_iter=1000).fit(values, targets)
    return time.perf_counter() - started, head.predict_proba


def fit_keras(values: np.ndarray, targets: np.ndarray, inverse: float) -> tuple[float, Any]:
    """Fit a Dense layer for five epochs."""
    import keras

    num_classes = int(targets.max()) + 1
    layers = [keras.Input(values.shape[1:]), keras.layers.Dense(num_classes, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    started = time.perf_counter()
    model.fit(values, targets, batch_size=128, epochs=5, verbose=0)
    return time.perf_counter() - started, lambda some: model.predict(some, verbose=0)


def main() -> None:
    kind, values_path, targets_path, num_train, inverse = sys.argv[1:]
    values, targets = np.load(values_path), np.load(targets_path)
    train = slice(0, int(num_train))
    mean, scale = values[train].mean(axis=0), values[train].std(axis=0)
    values = (values - mean) / np.where(scale == 0, 1, scale)
    fit = {"sklearn": fit_sklearn, "keras": fit_keras}[kind]
    seconds, predict = fit(values[train], targets[train], float(inverse))
    test = slice(int(num_train), None)
    probabilities = np.asarray(predict(values[test]))
    own = probabilities[np.arange(len(probabilities)), targets[test]]
    right = probabilities.argmax(axis=1) == targets[test]
    loss = float(-np.log(np.maximum(own, 1e-12)).mean())
    print(json.dumps({"seconds": seconds, "loss": loss, "accuracy": float(right.mean())}))


if __name__ == "__main__":
    main()
