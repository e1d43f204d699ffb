"""A classifier of scikit-learn that learns from stored features batch by batch, through Arrow.

    python examples/12_train_on_arrow_batches.py PHOTOS --model keras:MobileNetV2

One batch is in memory at a time. DuckDB, polars and others read the same batches.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

import featx


def to_arrays(batch: pyarrow.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors, (n, D), and class names, (n,)."""
    vectors = batch.column(batch.num_columns - 1)
    values = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    return values, batch.column("label").to_numpy(zero_copy_only=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:MobileNetV2")
    parser.add_argument("--output", type=Path, default=Path("features.h5"))
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    report = featx.extract(arguments.images, model=arguments.model, output=arguments.output)
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    data = featx.open_dataset(arguments.output, target="label")
    scaler = StandardScaler()
    for batch in data.to("arrow", batch_size=1024):
        scaler.partial_fit(to_arrays(batch)[0])
    classifier = SGDClassifier(loss="log_loss", random_state=0)
    for epoch in range(arguments.epochs):
        for batch in data.to("arrow", batch_size=1024, shuffle=True, seed=epoch):
            vectors, labels = to_arrays(batch)
            classifier.partial_fit(scaler.transform(vectors), labels, classes=data.classes)

    correct = 0
    for batch in data.to("arrow", batch_size=1024):
        vectors, labels = to_arrays(batch)
        correct += int((classifier.predict(scaler.transform(vectors)) == labels).sum())
    print(f"accuracy {correct / len(data):.3f} on {len(data)} pictures that it was trained on")


if __name__ == "__main__":
    main()
