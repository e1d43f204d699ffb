"""A classifier in Keras on stored features, which `tf.data` reads while it trains.

    python examples/11_train_with_keras.py PHOTOS --model keras:MobileNetV2

The network runs once over the pictures; each epoch reads the store in another order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:MobileNetV2")
    parser.add_argument("--output", type=Path, default=Path("features.h5"))
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    report = featx.extract(arguments.images, model=arguments.model, output=arguments.output)
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    data = featx.open_dataset(arguments.output, target="label")
    batches = data.to("tensorflow", batch_size=64, shuffle=True, seed=0)
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential(
        [keras.layers.BatchNormalization(), keras.layers.Dense(len(data.classes))]
    )
    classifier.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    classifier.fit(batches, shuffle=False, epochs=arguments.epochs, verbose=0)
    accuracy = classifier.evaluate(batches, verbose=0, return_dict=True)["accuracy"]
    print(f"accuracy {accuracy:.3f} on {len(data)} pictures that it was trained on")


if __name__ == "__main__":
    main()
