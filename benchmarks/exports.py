"""What do exported heads answer, how large are they, and how fast beside `featx predict`?

    python -m benchmarks.exports DATA

DATA holds `weights/`, `models/` and `images/flowers12`. Linear, LDA and MLP heads on several
networks, in every form that can be written of them. Prints a table for LOG.md: the largest
difference of a probability from `featx predict` and the changed answers on 64 photographs, bytes,
and photographs per second, one at a time, as decoded pixels; of `featx predict` from files.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import featx
from featx.deploy.fresh import OPEN
from featx.errors import FeatxError

KINDS = ("linear", "lda", "mlp")
FORMS = {"keras": "m.keras", "savedmodel": "m", "tflite": "m.tflite", "onnx": "m.onnx"}
QUANTISED = ("float16", "int8")
PER_CLASS = 12
TIMED = 48


WEIGHTS = {
    1.0: "mobilenet_v2_1.0_224_dequantized_from_coral_tf2_ptq_no_top.h5",
    0.35: "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
}
"""Width of a MobileNetV2 → its weights."""


def list_networks(data: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is extracted with, by the names in the table; a Hub module is in `folder`."""
    weights = data / "weights" / WEIGHTS[1.0]
    models = data / "models"
    teachable = models / "teachable_machine_savedmodel"
    return {
        "built-in": {"model": "builtin:mini"},
        "MobileNetV2 1.0": {"model": "keras:MobileNetV2", "weights": weights},
        "own .keras": {"model": models / "efficientnet_lite0.keras", "preprocess": "torch"},
        "Hub module": {"model": f"hub:{folder}", "preprocess": "unit"},
        "TF1 SavedModel": {
            "model": f"savedmodel:{teachable / 'model.savedmodel'}",
            "preprocess": "tf",
        },
        "Keras 2 .h5": {"model": teachable / "keras_model.h5", "preprocess": "tf"},
        "frozen graph": {
            "model": next((models / "mobilenet_v1_025_graphdef").glob("*.pb")),
            "preprocess": "tf",
        },
    }


def write_module(weights: Path, folder: Path) -> None:
    """Write MobileNetV2 0.35 as TensorFlow Hub has it: called with pictures in [0, 1]."""
    import keras
    import tensorflow

    network = keras.applications.MobileNetV2(
        (224, 224, 3), alpha=0.35, include_top=False, weights=str(weights), pooling="avg"
    )
    module = tensorflow.Module()
    module.network = network
    pictures = tensorflow.TensorSpec((None, 224, 224, 3), tensorflow.float32)
    module.__call__ = tensorflow.function(
        lambda images: network(2 * images - 1, training=False),
        input_signature=[pictures],
        autograph=False,
    )
    tensorflow.saved_model.save(module, str(folder))


def measure(
    name: str, options: dict[str, Any], kinds: Sequence[str], places: tuple[Path, Path]
) -> Iterator[str]:
    """Yield the rows of one network, with heads of some kinds; `places`: DATA and a folder."""
    data, folder = places
    images = [
        file
        for label in sorted((data / "images/flowers12/train").iterdir())
        for file in sorted(label.iterdir())[:PER_CLASS]
    ]
    held_out = data / "images/flowers12/test"
    table = folder / "photos.csv"
    lines = [f"{file},{file.parent.name}" for file in images]
    table.write_text("\n".join(["path,label", *lines]) + "\n", encoding="utf-8")
    store = folder / "f.h5"
    featx.extract(table, pool="avg", output=store, progress=False, **options)
    for kind in kinds:
        featx.fit_head(store, output=folder / kind, kind=kind)
        timed = [str(file) for file in sorted(held_out.rglob("*.jpg"))[:TIMED]]
        weights = options.get("weights")
        featx.predict(timed, head=folder / kind, weights=weights)
        begin = time.perf_counter()
        featx.predict(timed, head=folder / kind, weights=weights)
        rate = TIMED / (time.perf_counter() - begin)
        yield f"| {name} | {kind} | featx predict | | | | {rate:.0f} |"
        for form, quantize in [*((f, "none") for f in FORMS), *(("tflite", q) for q in QUANTISED)]:
            if quantize != "none" and kind != "lda":
                continue
            row = f"| {name} | {kind} | {form}{'' if quantize == 'none' else ' ' + quantize} "
            try:
                report = featx.export_head(
                    folder / kind,
                    output=folder / kind / FORMS[form],
                    quantize=quantize,  # type: ignore[arg-type]
                    check=held_out,
                    overwrite=True,
                )
            except FeatxError:  # Of what is no model of Keras.
                yield f"{row}| refused | | | |"
                continue
            found = report.comparison
            rate = time_form(form, report.output, timed, featx.load_head(folder / kind))
            yield (
                f"{row}| {found.difference:.1e} | {found.changed} of {found.pictures} "
                f"| {report.bytes:,} | {rate:.0f} |"
            )


def time_form(form: str, path: str, files: list[str], head: featx.Head) -> float:
    """Return photographs per second, one at a time."""
    contract = head.model.input
    pictures = [Image.open(file).convert("RGB") for file in files]
    if form in ("tflite", "onnx"):
        pictures = [one.resize((contract.width, contract.height)) for one in pictures]
    arrays = [np.asarray(one)[np.newaxis] for one in pictures]
    predict = OPEN[form](path)
    predict(arrays[0])
    begin = time.perf_counter()
    for one in arrays:
        predict(one)
    return len(arrays) / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--network", action="append", help="only these rows")
    parser.add_argument("--kind", action="append", help=f"instead of {', '.join(KINDS)}")
    arguments = parser.parse_args()
    print("| network | head | form | difference | changed | bytes | images/s |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        module = Path(temporary) / "module"
        for name, options in list_networks(arguments.data, module).items():
            if arguments.network and name not in arguments.network:
                continue
            if name == "Hub module":
                write_module(arguments.data / "weights" / WEIGHTS[0.35], module)
            with tempfile.TemporaryDirectory() as folder:
                for row in measure(
                    name, options, arguments.kind or KINDS, (arguments.data, Path(folder))
                ):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
