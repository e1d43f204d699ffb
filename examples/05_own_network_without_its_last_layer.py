"""A network of your own without its last layer: its features, and a new last layer on them.

    python examples/05_own_network_without_its_last_layer.py PHOTOS --model digits.keras

Transfer learning from a network that you have trained before (on MNIST, say) reads in Keras:

    model = keras.models.load_model("digits.keras")
    base = keras.Model(model.layers[0].input, model.layers[-2].output)
    outputs = keras.layers.Dense(10)(base.output)
    new_model = keras.Model(base.input, outputs)
    new_model.compile(...), new_model.fit(...)  # with base.trainable = False

A frozen base gives the same numbers in every epoch. Here they are computed once, as `--layer -2`,
and the new last layer is fitted on them within a second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def write_network(path: Path) -> Path:
    """Write a small, untrained network for MNIST, if you have none at hand."""
    if path.exists():  # Saved again, it would be another file with other features.
        return path
    import keras

    keras.utils.set_random_seed(0)
    keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    ).save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", help="your .keras or .h5 file; default: an untrained network")
    parser.add_argument("--layer", default="-2", help="as in model.layers; or the layer's name")
    parser.add_argument("--output", type=Path, default=Path("own.h5"))
    arguments = parser.parse_args()
    model = arguments.model or str(write_network(arguments.output.with_suffix(".keras")))

    # 1. The layers by number and name, as in `model.summary()`.
    backbone = featx.load_model(model)
    for layer in backbone.features():
        print(f"{layer.index if layer.index is not None else '':>3} {layer.name:<24} {layer.shape}")

    # 2. Run everything up to the layer before the last, once over the images. Pictures become what
    #    the network takes: grey for one channel, and as large as its input.
    report = featx.extract(
        arguments.images, model=model, layers=[arguments.layer], output=arguments.output
    )
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 3. The new last layer, for as many classes as there are folders.
    head = arguments.output.with_name("own-head")
    fitted = featx.fit_head(arguments.output, output=head)
    print(f"a layer of {fitted.width} to {len(fitted.classes)}: {', '.join(fitted.classes)}")
    if fitted.evaluation is not None:
        print(f"accuracy {fitted.evaluation.accuracy:.3f} on {fitted.evaluation.num_examples}")

    # 4. Base and new layer together, on pictures.
    for prediction in featx.predict(arguments.images, head=head, top=1).predictions[:3]:
        print(f"{prediction.path}: {prediction.classes[0]} {prediction.probabilities[0]:.3f}")


if __name__ == "__main__":
    main()
