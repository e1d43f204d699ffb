"""Keras as people write it: `image_dataset_from_directory`, batches of 32, `model.predict`."""

from __future__ import annotations

import time

from benchmarks.speeds.child import BATCH_SIZE, read_task, report
from benchmarks.speeds.keras_networks import build, preprocessing


def main() -> None:
    task = read_task()
    network = task.described

    import keras
    import tensorflow as tf

    model = build(network, task.weights)
    preprocess = preprocessing(network)

    def load() -> tf.data.Dataset:
        images = keras.utils.image_dataset_from_directory(
            task.folder,
            labels=None,
            batch_size=BATCH_SIZE,
            image_size=(network.size, network.size),
            shuffle=False,
            verbose=False,
        )
        return images.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
            tf.data.AUTOTUNE
        )

    model.predict(load().take(1), verbose=0)
    began = time.perf_counter()
    features = model.predict(load(), verbose=0)
    report(len(features), time.perf_counter() - began)


if __name__ == "__main__":
    main()
