"""The model card of an exported head: what it is, how good, and how it is called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from featx.deploy.checking import ExportComparison
from featx.deploy.forms import FORMS
from featx.heads.head import Head
from featx.units import format_count, format_number
from featx.version import __version__

_CALLS = {
    "keras": """import keras, numpy as np
from PIL import Image
model = keras.saving.load_model({name!r})
picture = np.asarray(Image.open("photo.jpg").convert("RGB"))
print(model(picture[np.newaxis]).numpy()[0])""",
    "savedmodel": """import tensorflow as tf
model = tf.saved_model.load({name!r})
picture = tf.io.decode_image(tf.io.read_file("photo.jpg"), channels=3)
for name, value in model.signatures["serving_default"](images=picture[tf.newaxis]).items():
    print(name, value.numpy()[0])""",
    "tflite": """import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
model = Interpreter({name!r}).get_signature_runner()
picture = Image.open("photo.jpg").convert("RGB").resize({size}, Image.Resampling.{filter})
print(list(model(images=np.asarray(picture)[np.newaxis]).values())[0][0])""",
    "onnx": """import numpy as np, onnxruntime
from PIL import Image
model = onnxruntime.InferenceSession({name!r})
picture = Image.open("photo.jpg").convert("RGB").resize({size}, Image.Resampling.{filter})
print(model.run(None, {{"images": np.asarray(picture)[np.newaxis]}})[0][0])""",
}
"""Form → the lines that call it."""


def write_card(
    head: Head, form: str, name: str, quantize: str, comparison: ExportComparison
) -> str:
    """Return a model card in Markdown.

    Args:
        head: The head.
        form: A name in `FORMS`.
        name: Of the file or folder.
        quantize: How it was made smaller.
        comparison: How it compares with featx.
    """
    contract = head.model.input
    call = _CALLS[form].format(
        name=name, size=(contract.width, contract.height), filter=contract.interpolation.upper()
    )
    small = "" if quantize == "none" else f", quantised to {quantize}"
    sections = [
        f"# {_plain(name)}",
        f"A head of featx, of the kind {head.kind}, on {_plain(head.model.reference)}, layer "
        f"{_plain(head.feature.name)}, pooling {head.feature.pool}, as {FORMS[form].title}"
        f"{small}. Written by featx {__version__}.",
        "## What it predicts",
        _describe_task(head),
        "## How good it is",
        *_describe_quality(head, comparison),
        "## How to call it",
        f"```python\n{call}\n```",
        "## What is inside, and what is not",
        _describe_inside(head, form),
        "## Identity",
        f"Fingerprint of model, input, layer and pooling: `{head.fingerprint}`",
        f"Input contract: `{json.dumps(contract.to_dict())}`",
    ]
    return "\n\n".join(sections) + "\n"


def _describe_task(head: Head) -> str:
    if head.task == "regression":
        return f"A number: {_plain(head.columns[0])}."
    if head.task == "multi":
        lines = [
            f"- {_plain(name)} (applies from {threshold:g})"
            for name, threshold in zip(head.classes, head.thresholds, strict=True)
        ]
        intro = "Independent probabilities of labels, several of which may apply:"
    else:
        lines = [f"- {_plain(name)}" for name in head.classes]
        intro = "One of these classes; the probabilities are in this order, and sum to 1:"
    return "\n".join([intro, "", *lines])


def _plain(name: str) -> str:
    """Return a name of which Markdown makes nothing else."""
    text = "".join(f"\\{sign}" if sign in r"\`*_{}[]<>#|!&" else sign for sign in name)
    return " ".join(text.split())


def _describe_quality(head: Head, comparison: ExportComparison) -> list[str]:
    measured: Mapping[str, Any] = head.report.get("evaluation") or {}
    said = []
    if measured.get("accuracy") is not None:
        interval = measured.get("interval")
        between = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        pictures = format_count(measured["num_examples"], "held-out picture")
        said.append(f"Accuracy of the head on {pictures}: {measured['accuracy']:.4f}{between}.")
    elif measured.get("mae") is not None:
        said.append(f"Mean absolute error on held-out pictures: {format_number(measured['mae'])}.")
    elif measured.get("mean_average_precision") is not None:
        precision = measured["mean_average_precision"]
        said.append(f"Mean average precision on held-out pictures: {precision:.4f}.")
    return [*said, describe_comparison(comparison)]


def describe_comparison(comparison: ExportComparison) -> str:
    """Say in a few sentences how an exported file compares with `featx predict`."""
    name = "drawn picture" if comparison.source == "drawn" else "photograph"
    whose = " of its store" if comparison.source == "store" else ""
    said = [
        f"Compared with featx predict on {format_count(comparison.pictures, name)}{whose}: "
        f"largest difference {comparison.difference:.2g}, "
        f"{format_count(comparison.changed, 'changed answer')}."
    ]
    if comparison.reload_difference is not None:
        said.append(
            "Loaded again in a new process, it differs from the model in memory by "
            f"{comparison.reload_difference:.2g}."
        )
    if comparison.accuracy is not None and comparison.accuracy_before is not None:
        seen = ", all of which the head was" if comparison.is_fitted else " that the head was not"
        said.append(
            f"Accuracy on {comparison.labelled:,} of them{seen} fitted on: "
            f"{comparison.accuracy:.4f}; featx predict {comparison.accuracy_before:.4f}."
        )
    if comparison.fast_difference is not None:
        said.append(
            "featx predict decodes large JPEGs at a fraction of their size; with that, the "
            f"difference is {comparison.fast_difference:.2g}."
        )
    return " ".join(said)


def _describe_inside(head: Head, form: str) -> str:
    contract = head.model.input
    lines = [f"- Scaling of pixels ({contract.scaling}), network, pooling and head are inside."]
    if FORMS[form].takes_any_size:
        lines.append(
            "- It takes RGB in [0, 255] of any size, uint8, and resizes it as Pillow does "
            f"({contract.resize}, {contract.interpolation}), bit for bit. The cost grows with the "
            "picture: make pictures of many megapixels smaller first."
        )
    else:
        lines.append(
            f"- It takes RGB in [0, 255], uint8, of {contract.height} x {contract.width} pixels "
            f"(height x width). Resize before: {contract.resize}, {contract.interpolation}."
        )
    if form == "savedmodel":
        lines.append(
            "- The signature serving_bytes takes the bytes of JPEG and PNG files. It turns a JPEG "
            "as its Exif data say; it applies no colour profile, and reads no CMYK."
        )
    lines.append("- Pixels say nothing of a camera's orientation: turn pictures before.")
    if contract.icc == "apply":
        lines.append("- featx converts pictures to sRGB by their colour profiles; this does not.")
    return "\n".join(lines)
