"""Running an exported file in a process of its own, with nothing but the library that reads it.

This module is also a script, and imports nothing of featx.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]
"""From a batch of pictures, uint8 (B, h, w, 3), to (B, K)."""


def open_keras(path: str) -> Predict:
    """Open a ``.keras`` file with Keras."""
    import keras

    model = compile_keras(keras.saving.load_model(path))
    return lambda images: np.asarray(model(images))


def compile_keras(model: Any) -> Callable[[np.ndarray], Any]:
    """Return a Keras model as one graph for pictures of all sizes.

    Layer by layer, it takes some 20 times as long; `predict` compiles for each size anew.
    """
    import tensorflow

    pictures = tensorflow.TensorSpec(model.inputs[0].shape, tensorflow.uint8)
    graph: Callable[[np.ndarray], Any] = tensorflow.function(model, input_signature=[pictures])
    return graph


def open_saved_model(path: str) -> Predict:
    """Open a SavedModel with TensorFlow, at its signature for pixels."""
    import tensorflow

    loaded = tensorflow.saved_model.load(path)
    signature = loaded.signatures["serving_default"]

    def predict(images: np.ndarray) -> np.ndarray:
        results = signature(images=tensorflow.constant(images))
        values = results["probabilities"] if "probabilities" in results else results["number"]
        return np.asarray(values).reshape(len(images), -1)

    predict.loaded = loaded  # type: ignore[attr-defined]  # Its variables live as long as it does.
    return predict


def open_tflite(path: str) -> Predict:
    """Open a ``.tflite`` file with LiteRT, or with TensorFlow where that is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow

        Interpreter = tensorflow.lite.Interpreter  # No module that can be imported.
    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()

    def predict(images: np.ndarray) -> np.ndarray:
        results = []
        for image in images:
            interpreter.set_tensor(takes["index"], image[np.newaxis])
            interpreter.invoke()
            results.append(interpreter.get_tensor(gives["index"])[0])
        return np.stack(results)

    return predict


def open_onnx(path: str) -> Predict:
    """Open an ``.onnx`` file with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


OPEN: dict[str, Callable[[str], Predict]] = {
    "keras": open_keras,
    "savedmodel": open_saved_model,
    "tflite": open_tflite,
    "onnx": open_onnx,
}
"""Form of an export → what opens it."""


def main(arguments: list[str]) -> None:
    """Predict of pictures one by one, and write what comes out.

    Args:
        arguments: The form, the path of the export, that of the pictures (``.npz``), and that of
            the results (``.npy``).
    """
    form, path, pictures, results = arguments
    predict = OPEN[form](path)
    with np.load(pictures, allow_pickle=False) as arrays:
        rows: list[Any] = [predict(arrays[name][np.newaxis])[0] for name in arrays.files]
    np.save(results, np.stack(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
