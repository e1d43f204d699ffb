"""What do bfloat16, mixed precision and the quick decoding of large JPEGs change?

Real networks, real photographs:

    python benchmarks/precision.py DATA

DATA holds `weights/`, `models/` and `images/` with flowers12, imagenette and clothing. Prints two
tables. In both, features of one setting are compared with those of the other, image by image:

- the lowest and the mean cosine between the two rows of an image, as the network gives them;
- how many of its ten nearest neighbours are the same, and whether the nearest one is: by cosine of
  features averaged over space, each photograph against all others of its set;
- precision@10: the share of the ten that have its class, by both settings.

The first table compares bfloat16 and mixed precision with float32 at an early, a middle and the
last layer, and says whether ``--precision auto``, which sees the first photographs and some from
all over the folder, would take them for that layer.
The second compares ``--decode fast`` with ``exact`` on photographs of clothing/test enlarged to a
short side of 1600 pixels, with noise, in float32.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from featx.engines.engines import ENGINES
from featx.images.decode import decode_image
from featx.images.reading import spread_positions
from featx.index.projection import normalize_rows
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.inference.agreement import LOWEST_COSINE
from featx.inference.request import FAST
from featx.inference.trial import FIRST_BATCH
from featx.input_spec import Decode, InputSpec
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.options import InputOptions
from featx.poolings import pool_features

BATCH = 32
LARGE = 1600
"""Short side of enlarged photographs."""

TF = InputOptions(preprocess="tf")
KERAS_V1 = "mobilenet_2_5_224_tf_no_top.h5"
KERAS_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
KERAS_V2_FULL = "mobilenet_v2_1.0_224_dequantized_from_coral_tf2_ptq_no_top.h5"
SAVED = "models/teachable_machine_savedmodel/model.savedmodel"
GRAPH = "models/mobilenet_v1_025_graphdef/mobilenet_v1_0.25_224_frozen_graph.pb"

Load = Callable[[Path], Backbone]


def keras(reference: str, weights: str) -> Load:
    return lambda data: load_model(reference, weights=str(data / "weights" / weights))


def own(path: str) -> Load:
    return lambda data: load_model(str(data / path), input=TF)


def mini(data: Path) -> Backbone:
    return load_model("builtin:mini")


NETWORKS: dict[str, tuple[Load, tuple[str, str, str]]] = {
    "builtin:mini": (mini, ("block1_conv1", "block3_conv3", "embedding")),
    "MobileNet 0.25": (
        keras("keras:MobileNet,alpha=0.25", KERAS_V1),
        ("conv1_relu", "conv_pw_6_relu", "conv_pw_13_relu"),
    ),
    "MobileNetV2 0.35": (
        keras("keras:MobileNetV2,alpha=0.35", KERAS_V2),
        ("Conv1_relu", "block_6_expand_relu", "out_relu"),
    ),
    "MobileNetV2 1.0": (
        keras("keras:MobileNetV2", KERAS_V2_FULL),
        ("Conv1_relu", "block_6_expand_relu", "out_relu"),
    ),
    "Teachable Machine (SavedModel)": (own(SAVED), ("", "", "")),
    "MobileNet 0.25 (frozen graph)": (own(GRAPH), ("", "", "")),
}
"""How each is loaded, and its early, middle and last layer; by their place where not named."""


@dataclass
class Comparison:
    """Features of the same photographs in two settings."""

    cosines: list[np.ndarray] = field(default_factory=list)
    first: list[np.ndarray] = field(default_factory=list)
    second: list[np.ndarray] = field(default_factory=list)

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Take the features of a batch."""
        one, two = (normalize_rows(values.reshape(len(values), -1)) for values in (first, second))
        self.cosines.append((one.astype(np.float64) * two).sum(axis=1))
        for values, rows in ((first, self.first), (second, self.second)):
            pooled = pool_features(values, "avg" if values.ndim > 2 else "none")
            rows.append(pooled.reshape(len(values), -1))

    def cells(self, classes: np.ndarray) -> list[str]:
        """Return what both tables say of it."""
        cosines = np.concatenate(self.cosines)
        before, after = (nearest(np.concatenate(rows)) for rows in (self.first, self.second))
        shared = [len(set(a) & set(b)) / len(a) for a, b in zip(before, after, strict=True)]
        precision = [(classes[found] == classes[:, None]).mean() for found in (before, after)]
        return [
            f"{cosines.min():.6f}",
            f"{cosines.mean():.6f}",
            f"{np.mean(shared):.1%}",
            f"{(before[:, 0] == after[:, 0]).mean():.1%}",
            f"{precision[0]:.4f} / {precision[1]:.4f}",
        ]


def nearest(rows: np.ndarray, k: int = 10) -> np.ndarray:
    """Return the k nearest of all others for each row, nearest first."""
    unit = normalize_rows(rows).astype(np.float64)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


def photographs(data: Path) -> dict[str, list[Path]]:
    flowers = sorted((data / "images/flowers12/test").glob("*/*"))
    return {
        f"flowers12/test ({len(flowers)})": flowers,
        "imagenette/val (300)": sorted((data / "images/imagenette/val").glob("*/*"))[::5],
    }


def batches(paths: Sequence[Path], contract: InputSpec) -> Iterator[np.ndarray]:
    for start in range(0, len(paths), BATCH):
        yield np.stack(
            [decode_image(path.read_bytes(), contract) for path in paths[start : start + BATCH]]
        )


def choose_layers(backbone: Backbone, named: tuple[str, str, str]) -> list[str]:
    if all(named):
        return list(named)
    layers = [
        layer for layer in backbone.features() if not layer.is_detail and None not in layer.shape
    ]
    maps = [layer.name for layer in layers if len(layer.shape) == 3 and layer.shape[0] != 1]
    return [maps[0], maps[len(maps) // 2], maps[-1]]


def compare_precisions(data: Path) -> Table:
    table = Table(
        "network", "photographs", "layer", "precision", "lowest cosine", "mean", "same top-10",
        "same nearest", "precision@10 of float32 / of it", "good enough for auto",
        title="bfloat16 and mixed precision against float32",
    )  # fmt: skip
    for title, (load, named) in NETWORKS.items():
        backbone = load(data)
        layers = choose_layers(backbone, named)
        exact = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
        others = {
            precision: AcceleratedBackbone(backbone, EngineRequest("openvino", precision))
            for precision in FAST
        }
        for place, paths in photographs(data).items():
            found = {(layer, other): Comparison() for layer in layers for other in others}
            for pixels in batches(paths, backbone.spec.input):
                expected = exact(pixels, layers)
                for other, run in others.items():
                    received = run(pixels, layers)
                    for layer in layers:
                        found[layer, other].add(expected[layer], received[layer])
            classes = np.array([path.parent.name for path in paths])
            seen = [*range(FIRST_BATCH), *spread_positions(len(paths))]
            for (layer, other), comparison in found.items():
                is_good = np.concatenate(comparison.cosines)[seen].min() >= LOWEST_COSINE
                name = "/".join(layer.split("/")[-2:])
                cells = comparison.cells(classes)
                table.add_row(title, place, name, other, *cells, "yes" if is_good else "no")
        for run in (exact, *others.values()):
            assert run.run_facts["engine"] == "openvino"
    return table


def compare_decoding(data: Path) -> Table:
    table = Table(
        "network", "photographs", "layer", "lowest cosine", "mean", "same top-10",
        "same nearest", "precision@10 exact / fast", "ms per image exact / fast",
        title="--decode fast against exact",
    )  # fmt: skip
    paths = sorted((data / "images/clothing/test").glob("*/*.jpg"))
    random = np.random.default_rng(0)
    files = [enlarge(path, random) for path in paths]
    classes = np.array([path.parent.name for path in paths])
    for title in ("builtin:mini", "MobileNetV2 1.0"):
        load, named = NETWORKS[title]
        backbone = load(data)
        run = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
        layer = named[2]
        found = Comparison()
        seconds: dict[Decode, float] = {"exact": 0.0, "fast": 0.0}
        for start in range(0, len(files), BATCH):
            values = []
            for decode in seconds:
                contract = replace(backbone.spec.input, decode=decode)
                began = time.perf_counter()
                images = [decode_image(file, contract) for file in files[start : start + BATCH]]
                seconds[decode] += time.perf_counter() - began
                values.append(run(np.stack(images), [layer])[layer])
            found.add(*values)
        times = " / ".join(f"{1000 * spent / len(files):.1f}" for spent in seconds.values())
        place = f"clothing/test, enlarged ({len(files)})"
        table.add_row(title, place, layer, *found.cells(classes), times)
    return table


def enlarge(path: Path, random: np.random.Generator) -> bytes:
    """Make a large JPEG of a small one, with the noise that the sensor of a camera has."""
    with Image.open(path) as image:
        scale = LARGE / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    noise = random.normal(0, 4, pixels.shape).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    console = Console(width=210)
    if ENGINES["openvino"].has_precision("bfloat16"):
        console.print(compare_precisions(data))
    else:
        console.print("This processor has no instructions for bfloat16.")
    console.print(compare_decoding(data))


if __name__ == "__main__":
    main()
