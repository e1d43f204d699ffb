"""Features of CIFAR-10 (or any other pictures) in an archive or array file, and a head on them.

    python examples/02_cifar10_from_an_archive.py cifar10_test_jpeg.tar
    python examples/02_cifar10_from_an_archive.py cifar10.npz --split test

Nothing is unpacked. The arrays that Keras downloads work without any file:

    (x, y), _ = keras.datasets.cifar10.load_data()
    featx.extract((x, y), output="cifar10.h5")
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="a .tar, .zip or .npz, a folder, a manifest, a URL")
    parser.add_argument("--split", help="of an .npz file or a manifest, such as 'test'")
    parser.add_argument("--model", help="default: the built-in network")
    parser.add_argument("--output", type=Path, default=Path("cifar10.h5"))
    arguments = parser.parse_args()

    # 1. Labels come from the folders in the archive, or from y_train and y_test in an .npz.
    report = featx.extract(
        arguments.images, split=arguments.split, model=arguments.model, output=arguments.output
    )
    print(f"{report.done} computed, {report.skipped} already there, {report.failed} failed")

    # 2. A classifier, measured on a fifth of the pictures.
    fitted = featx.fit_head(arguments.output, output=arguments.output.with_suffix(".head"))
    assert fitted.evaluation is not None
    print(f"accuracy {fitted.evaluation.accuracy:.3f} on {fitted.evaluation.num_examples}")

    # 3. New pictures need not be files: here is a grey one, as an array.
    import numpy as np

    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    (prediction,) = featx.predict(grey, head=arguments.output.with_suffix(".head")).predictions
    print(f"a grey square looks like {prediction.classes[0]}")


if __name__ == "__main__":
    main()
