"""The mean of each class, and the nearest of them, computed with pandas frame by frame.

    python examples/13_train_on_data_frames.py PHOTOS --model keras:MobileNetV2

One frame is in memory at a time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:MobileNetV2")
    parser.add_argument("--output", type=Path, default=Path("features.h5"))
    arguments = parser.parse_args()
    report = featx.extract(arguments.images, model=arguments.model, output=arguments.output)
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    data = featx.open_dataset(arguments.output, target="label")
    sums, counts = [], []
    for frame in data.to("pandas", batch_size=4096):
        groups = frame.groupby("label")
        sums.append(groups.sum())
        counts.append(groups.size())
    count = pandas.concat(counts).groupby(level=0).sum()
    means = pandas.concat(sums).groupby(level=0).sum().div(count, axis=0)

    correct = 0
    for frame in data.to("pandas", batch_size=4096):
        vectors = frame.drop(columns="label")
        distances = pandas.DataFrame(
            {name: ((vectors - mean) ** 2).sum(axis=1) for name, mean in means.iterrows()}
        )
        correct += int((distances.idxmin(axis=1) == frame["label"]).sum())
    print(f"accuracy {correct / len(data):.3f} on {len(data)} pictures that it was trained on")


if __name__ == "__main__":
    main()
