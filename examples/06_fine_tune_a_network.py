"""Fine-tune InceptionV3 on new classes, by the recipe of Keras's documentation.

    python examples/06_fine_tune_a_network.py PHOTOS

A new top of 1,024 values and as many classes as there are folders is trained first, with RMSprop;
then the last two inception blocks as well, with SGD, a rate of 0.0001 and a momentum of 0.9. The
first 249 layers stay as they are. Without these options, featx trains all layers, with Adam.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:InceptionV3")
    parser.add_argument("--freeze", default="0:249", help="layers that are not trained")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path("fine-tuned"))
    arguments = parser.parse_args()

    # Which layers are there? Their numbers are those of `--freeze`.
    print(featx.layers(arguments.model))

    report = featx.fine_tune(
        arguments.images,
        model=arguments.model,
        kind="mlp",
        hidden=(1024,),
        freeze=arguments.freeze,
        top_epochs=2,
        optimizer="sgd",
        learning_rate=1e-4,
        epochs=arguments.epochs,
        output=arguments.output,
    )
    print(f"accuracy {report.before.accuracy:.3f} with frozen features")
    print(f"accuracy {report.after.accuracy:.3f} on {report.comparison.count}: {report.model}")


if __name__ == "__main__":
    main()
