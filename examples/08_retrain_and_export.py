"""A new top on a pretrained network, saved with it as one model that needs no featx.

    python examples/08_retrain_and_export.py PHOTOS \
        --model https://tfhub.dev/google/tf2-preview/mobilenet_v2/feature_vector/2

This is what "TensorFlow Hub with Keras" does with hub.KerasLayer, a Dense layer and two epochs. A
module of TensorFlow Hub becomes a SavedModel, a network of Keras a .keras file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:MobileNetV2")
    parser.add_argument("--output", type=Path, default=Path("photos.h5"))
    arguments = parser.parse_args()

    # 1. The feature vectors of the photos, once.
    report = featx.extract(
        arguments.images, model=arguments.model, pool="avg", output=arguments.output
    )
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 2. The new top.
    fitted = featx.fit_head(arguments.output, output=arguments.output.with_name("new-top"))
    if fitted.evaluation is not None:
        print(f"accuracy {fitted.evaluation.accuracy:.3f} on {fitted.evaluation.num_examples}")

    # 3. What it says of the photos.
    for one in featx.predict(arguments.images, head=fitted.output).predictions[:5]:
        print(f"{one.path}: {one.classes[0].title()} ({one.probabilities[0]:.2f})")

    # 4. One model of both, loaded again in a new process and compared.
    is_graph = featx.load_head(fitted.output).model.source not in ("builtin", "keras", "file")
    exported = featx.export_head(
        fitted.output, output=arguments.output.with_name("new" if is_graph else "new.keras")
    )
    print(f"{exported.output}: difference {exported.comparison.reload_difference} after loading")


if __name__ == "__main__":
    main()
