"""A new last layer on a network of your own, for 10 or 15 classes, and training of the rest.

    python examples/07_new_last_layer.py PHOTOS --model digits.keras --freeze 0:5

The layer before the network's own last dense layer is found, and gets a new one, with an output for
each folder. `--freeze 0:5` leaves the first five layers as they are, `--unfreeze none` all of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", required=True, help="your .keras or .h5 file")
    parser.add_argument("--freeze", default="", help="layers that are not trained")
    parser.add_argument("--unfreeze", default="all", help="layers that are trained")
    parser.add_argument("--output", type=Path, default=Path("new-last-layer"))
    arguments = parser.parse_args()

    report = featx.fine_tune(
        arguments.images,
        model=arguments.model,
        freeze=arguments.freeze,
        unfreeze=arguments.unfreeze,
        epochs=3,
        output=arguments.output,
    )
    print(f"{len(report.classes)} classes on {report.layer}; trained: {', '.join(report.trained)}")
    print(f"accuracy {report.after.accuracy:.3f} on {report.comparison.count}: {report.model}")

    # The network is a model like any other.
    predicted = featx.predict(arguments.images, model=report.model, labels=report.labels, top=1)
    for prediction in predicted.predictions[:3]:
        print(f"{prediction.path}: {prediction.classes[0]} {prediction.probabilities[0]:.3f}")


if __name__ == "__main__":
    main()
