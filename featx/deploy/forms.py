"""The forms in which a head is exported with its model, and how each is written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.deploy.encoded import decode
from featx.deploy.fresh import compile_keras
from featx.deploy.keras_model import build_keras_model
from featx.deploy.onnx_files import convert
from featx.deploy.parts import Parts
from featx.deploy.pixels import fit
from featx.engines.tensorflow import import_tensorflow
from featx.errors import HeadError, InvalidValue, join_names
from featx.host import stderr_without
from featx.models.backbone import Backbone
from featx.scratch import scratch_folder
from featx.specs import Quantize
from featx.wording import option

_CONVERTER_LINE = re.compile(rb"fully_quantize: |[WI]\d{4} |WARNING: All log messages before absl")
"""What the converter writes to the file descriptor itself, whatever its settings."""

Predict = Callable[[np.ndarray], np.ndarray]
"""From a batch of pictures, uint8 (B, h, w, 3), to (B, K)."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is written.

    Attributes:
        parts: The model.
        backbone: Its network.
        quantize: How numbers are made smaller; ``tflite`` only.
        calibration: Pictures of the network's size that show which values occur, for ``int8``.
    """

    parts: Parts
    backbone: Backbone
    quantize: Quantize = "none"
    calibration: Sequence[np.ndarray] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A form of an export.

    Attributes:
        ending: Of its file's name; empty for a folder.
        title: What a sentence calls it.
        write: Writes it; returns the same model in memory, if there is one to compare with.
        takes_any_size: Whether pictures are resized inside.
        bound: The largest difference of a probability from that of `predict`; of a number, as a
            share of the largest one.
    """

    ending: str
    title: str
    write: Callable[[Job, Path], Predict | None]
    takes_any_size: bool
    bound: float


def write_keras(job: Job, path: Path) -> Predict:
    """Write a ``.keras`` file.

    Raises:
        HeadError: If the network is not made of layers of Keras.
    """
    if job.parts.not_keras:
        raise HeadError(
            f"{job.parts.not_keras} It cannot be in a .keras file; a folder, for a SavedModel, can "
            f"be written: {option('output', 'DIR')}."
        )
    model = build_keras_model(job.parts.head, job.backbone)
    model.save(path)
    compiled = compile_keras(model)
    return lambda images: np.asarray(compiled(images))


def write_saved_model(job: Job, folder: Path) -> Predict:
    """Write a SavedModel of two signatures: pixels, and the bytes of files."""
    tensorflow = import_tensorflow()
    parts = job.parts
    pixels = tensorflow.TensorSpec((None, None, None, 3), tensorflow.uint8, name="images")
    files = tensorflow.TensorSpec((None,), tensorflow.string, name="image_bytes")

    def of_pixels(images: Any) -> dict[str, Any]:
        return name_outputs(parts, parts(images))

    def of_files(image_bytes: Any) -> dict[str, Any]:
        contract = parts.contract

        def prepare(data: Any) -> Any:
            return fit(decode(data, contract)[None], contract)[0]

        shape = (contract.height, contract.width, contract.channels)
        spec = tensorflow.TensorSpec(shape, tensorflow.float32)
        pixels = tensorflow.map_fn(prepare, image_bytes, fn_output_signature=spec)
        return name_outputs(parts, parts.of_fitted(pixels))

    def trace(function: Callable[[Any], Any], takes: Any) -> Any:
        compiled = tensorflow.function(function, input_signature=[takes], autograph=False)
        return compiled.get_concrete_function()

    # Functions that the module held would be traced once more, and all constants be stored twice.
    module = tensorflow.Module()
    module.weights = list(parts.variables)
    whole = trace(of_pixels, pixels)
    signatures = {"serving_default": whole, "serving_bytes": trace(of_files, files)}
    tensorflow.saved_model.save(module, str(folder), signatures=signatures)

    def predict(images: np.ndarray) -> np.ndarray:
        results = whole(tensorflow.constant(images))
        values = results["probabilities"] if "probabilities" in results else results["number"]
        return np.asarray(values).reshape(len(images), -1)

    return predict


def name_outputs(parts: Parts, values: Any) -> dict[str, Any]:
    """Return what a head predicts under the names by which programs ask for it."""
    tensorflow = import_tensorflow()
    head = parts.head
    if head.task == "regression":
        return {"number": values[:, 0]}
    if head.task == "multi":
        applies = values >= tensorflow.constant(head.thresholds, tensorflow.float32)
        return {"probabilities": values, "applies": applies}
    best = tensorflow.argmax(values, axis=1, output_type=tensorflow.int32)
    names = tensorflow.constant([name.encode() for name in head.classes])
    return {"probabilities": values, "label_index": best, "label": tensorflow.gather(names, best)}


def _trace_prepared(job: Job) -> Any:
    """Return a function of TensorFlow for pictures of the network's size."""
    tensorflow = import_tensorflow()
    contract = job.parts.contract
    shape = (None, contract.height, contract.width, 3)
    spec = tensorflow.TensorSpec(shape, tensorflow.uint8, name="images")
    name = "number" if job.parts.head.task == "regression" else "probabilities"

    def predict(images: Any) -> dict[str, Any]:
        return {name: job.parts.of_prepared(images)}

    return tensorflow.function(predict, input_signature=[spec], autograph=False)


def write_tflite(job: Job, path: Path) -> None:
    """Write a ``.tflite`` file."""
    tensorflow = import_tensorflow()
    with scratch_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = tensorflow.Module()
        module.weights = list(job.parts.variables)
        module.predict = _trace_prepared(job)
        # Only what comes from a SavedModel has a signature, by which people call it.
        tensorflow.saved_model.save(module, str(folder), signatures=module.predict)
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder))
        if job.quantize != "none":
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        if job.quantize == "float16":
            converter.target_spec.supported_types = [tensorflow.float16]
        if job.quantize == "int8" and job.calibration:
            converter.representative_dataset = lambda: (
                {"images": image[np.newaxis]} for image in job.calibration
            )
        with stderr_without(_CONVERTER_LINE):
            path.write_bytes(converter.convert())


def write_onnx(job: Job, path: Path) -> None:
    """Write an ``.onnx`` file.

    Raises:
        HeadError: If tf2onnx is not installed.
    """
    path.write_bytes(convert(_trace_prepared(job)).SerializeToString())


FORMS: dict[str, Form] = {
    "keras": Form(".keras", "a Keras model", write_keras, True, 1e-5),
    "savedmodel": Form("", "a SavedModel", write_saved_model, True, 1e-5),
    "tflite": Form(".tflite", "a TFLite model", write_tflite, False, 1e-4),
    "onnx": Form(".onnx", "an ONNX model", write_onnx, False, 1e-4),
}
"""Name → form, as the ending of a path says it."""


def choose_form(output: Path, quantize: Quantize) -> str:
    """Return the name of the form that a path says.

    Raises:
        InvalidValue: If it ends otherwise, or the form cannot be quantised.

    Example:
        >>> choose_form(Path("flowers.tflite"), "int8"), choose_form(Path("flowers"), "none")
        ('tflite', 'savedmodel')
    """
    by_ending = {form.ending: name for name, form in FORMS.items()}
    name = by_ending.get(output.suffix.lower())
    if name is None:
        endings = join_names([ending for ending in by_ending if ending])
        raise InvalidValue(
            f"A model is exported to a file that ends in {endings}, or, without an ending, to a "
            f"folder, as a SavedModel. Received: {str(output)!r}. Choose such a name."
        )
    if quantize != "none" and name != "tflite":
        raise InvalidValue(
            f"Only .tflite files are quantised. Received: {option('quantize', quantize)} for "
            f"{FORMS[name].title}. Leave it out."
        )
    return name
