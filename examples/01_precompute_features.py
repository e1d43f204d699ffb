"""Precompute features of a folder of images in a batch job, and use them.

    python examples/01_precompute_features.py PHOTOS --model keras:MobileNetV2 --pool avg

Run it again after adding images, or after it was interrupted: only what is missing is computed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with one folder for each class")
    parser.add_argument("--model", default="keras:MobileNetV2")
    parser.add_argument("--weights", help="imagenet, random or a file")
    parser.add_argument("--layer", action="append", default=[], help="repeat for several")
    parser.add_argument("--pool", default="avg")
    parser.add_argument("--output", type=Path, default=Path("features.h5"))
    arguments = parser.parse_args()

    # 1. Run the network once over every image that the store does not have yet.
    report = featx.extract(
        arguments.images,
        model=arguments.model,
        weights=arguments.weights,
        layers=arguments.layer,
        pool=arguments.pool,
        output=arguments.output,
    )
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 2. Read the features: a table of keys, vectors and labels for one layer.
    with featx.open_store(arguments.output) as store:
        table = store.table()
        for failure in store.failures:
            print(f"could not use {failure.key}: {failure.reason}")
    print(f"{table.spec.name}: {table.values.shape[0]} vectors of {table.values.shape[1]} values")

    # 3. A classifier, measured on images that it has not seen.
    fitted = featx.fit_head(arguments.output, output=arguments.output.with_name("head"))
    if fitted.evaluation is not None:
        print(f"accuracy {fitted.evaluation.accuracy:.3f} on {fitted.evaluation.num_examples}")

    # 4. The nearest neighbours of the first image (the first match is the image itself).
    index = featx.build_index(arguments.output)
    for match in index.search(table.values[:1], k=4)[0]:
        print(f"{match.rank}  {match.score:.4f}  {match.label}  {match.key}")


if __name__ == "__main__":
    main()
