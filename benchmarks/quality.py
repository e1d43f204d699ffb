"""How good are the features? Retrieval, a linear head and ImageNet classification.

    python benchmarks/quality.py DATA

DATA holds `weights/`, `labels/` and `images/` with flowers12 and imagenette. Prints one table.

- Nearest neighbour, precision@10 and mean average precision: MobileNetV2 0.35, last map,
  average pooling, cosine; each of the 960 photographs of flowers12 is a query against all others
  (plain NumPy, no index).
- Linear head: fitted on flowers12/train, accuracy on flowers12/test.
- ImageNet top-1: MobileNet 0.25 with its classifier on imagenette/val, best of 1000 classes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import featx
from featx.index.projection import normalize_rows

V2 = (
    "keras:MobileNetV2,alpha=0.35",
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
)
V1 = ("keras:MobileNet,alpha=0.25", "mobilenet_2_5_224_tf.h5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    table = Table("measure", "featx", "by other code")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, value, other in [*retrieval(data, work), *head(data, work), *top1(data, work)]:
            table.add_row(name, f"{value:.4f}", other)
    Console().print(table)


def retrieval(data: Path, work: Path) -> list[tuple[str, float, str]]:
    values, keys = features(data, data / "images/flowers12", V2, "out_relu", work / "all.h5")
    classes = np.array([key.split("/")[1] for key in keys])
    unit = normalize_rows(values)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1)[:, :-1]
    relevant = classes[order] == classes[:, np.newaxis]
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = relevant.cumsum(axis=1) / ranks
    average_precision = (precision * relevant).sum(axis=1) / relevant.sum(axis=1)
    return [
        (f"flowers12, {len(keys)} queries: nearest neighbour", relevant[:, 0].mean(), ".952"),
        ("precision@10", relevant[:, :10].mean(), ".904"),
        ("mean average precision", average_precision.mean(), ".680"),
    ]


def head(data: Path, work: Path) -> list[tuple[str, float, str]]:
    features(data, data / "images/flowers12/train", V2, "out_relu", work / "train.h5")
    featx.fit_head(work / "train.h5", output=work / "head")
    report = featx.predict(data / "images/flowers12/test", head=work / "head")
    assert report.accuracy is not None
    name = f"linear head, flowers12/test ({report.num_labelled} images)"
    return [(name, report.accuracy, "0.93 or more expected")]


def top1(data: Path, work: Path) -> list[tuple[str, float, str]]:
    folder = data / "images/imagenette/val"
    values, keys = features(data, folder, V1, "predictions", work / "top1.h5")
    index = json.loads((data / "labels/imagenet_class_index.json").read_text())
    names = np.array([_plain(index[str(number)][1]) for number in range(len(index))])
    truth = np.array([_plain(key.split("/")[0]) for key in keys])
    unknown = set(truth) - set(names)
    assert not unknown, f"class folders without an ImageNet class: {unknown}"
    right = names[values.argmax(axis=1)] == truth
    return [(f"ImageNet top-1, imagenette/val ({len(keys)} images)", right.mean(), "about .49")]


def features(
    data: Path, images: Path, model: tuple[str, str], layer: str, output: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Extract one layer, averaged over space."""
    featx.extract(
        images,
        model=model[0],
        weights=str(data / "weights" / model[1]),
        layers=[layer],
        pool="avg",
        output=output,
    )
    with featx.open_store(output) as store:
        table = store.table(layer)
    return table.values, table.keys


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")


if __name__ == "__main__":
    main()
