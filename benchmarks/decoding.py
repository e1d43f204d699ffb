"""What does decoding JPEGs at a fraction of their size change, and what does it save?

Real networks, real photographs:

    python -m benchmarks.decoding DATA

DATA holds `weights/` and `images/clothing/test`, as for `benchmarks/precision.py`. Photographs are
reduced or enlarged (with the noise of a sensor) to short sides from 300 pixels to 3000, that is
12 megapixels, and saved as JPEG. For each size of picture and of network input, and each margin
(how many times the input's size a fraction has at least), the table says how far features are from
those of exact decoding: the lowest and the mean cosine of the last feature map, and how many times
as fast pictures are decoded. ``=`` where nothing is decoded at a fraction.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.precision import KERAS_V1, KERAS_V2_FULL
from featx.images.decode import decode_image
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.inference.agreement import lowest_cosine
from featx.input_spec import InputSpec
from featx.models import load_model
from featx.models.backbone import Backbone

MARGINS = (2, 3, 4)
SHORT_SIDES = (300, 400, 640, 1024, 1600, 3000)
INPUTS = (32, 48, 64, 96, 128, 160, 224, 299)
SMALL_INPUTS = (28, 30, 48)
"""Below 32 pixels, MobileNets have nothing left at their end: their first 12 blocks are taken."""

NUM_PICTURES = 16


@dataclass(frozen=True)
class Case:
    """A network, with the sizes of its input and the layer that is compared."""

    title: str
    inputs: tuple[int, ...]
    layer: str
    load: Callable[[int], Backbone]


def list_networks(data: Path, folder: Path) -> list[Case]:
    """Return the built-in network, and two of Keras that take every size, as files."""
    import keras

    shape = (None, None, 3)
    first = keras.applications.MobileNet(
        shape, alpha=0.25, include_top=False, weights=str(data / "weights" / KERAS_V1)
    )
    second = keras.applications.MobileNetV2(
        shape, include_top=False, weights=str(data / "weights" / KERAS_V2_FULL)
    )
    begun = keras.Model(second.input, second.get_layer("block_12_add").output)
    nets = [
        ("MobileNetV2 1.0, 12 blocks", begun, SMALL_INPUTS),
        ("MobileNetV2 1.0", second, INPUTS),
        ("MobileNet 0.25", first, INPUTS),
    ]
    mini = Case("builtin:mini", (128,), "embedding", lambda size: load_model("builtin:mini"))
    cases = [mini]
    for title, net, sizes in nets:
        path = folder / f"{title}.keras"
        net.save(path)
        cases.append(Case(title, sizes, net.layers[-1].name, partial(load, path)))
    return cases


def load(path: Path, size: int) -> Backbone:
    return load_model(str(path), img_size=(size, size), preprocess="tf")


def make_pictures(data: Path, short_side: int) -> list[bytes]:
    """Return photographs of one size as JPEG files."""
    random = np.random.default_rng(short_side)
    paths = sorted((data / "images/clothing/test").glob("*/*.jpg"))
    return [resize(path, short_side, random) for path in paths[:: len(paths) // NUM_PICTURES]][
        :NUM_PICTURES
    ]


def resize(path: Path, short_side: int, random: np.random.Generator) -> bytes:
    with Image.open(path) as image:
        scale = short_side / min(image.size)
        if scale == 1:
            return path.read_bytes()
        size = round(image.width * scale), round(image.height * scale)
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    if scale > 1:
        noise = random.normal(0, 4, pixels.shape).astype(np.float32)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def decode(files: Sequence[bytes], contract: InputSpec) -> tuple[np.ndarray, float]:
    """Return pixels, and the seconds that they took."""
    began = time.thread_time()
    pixels = np.stack([decode_image(file, contract) for file in files])
    return pixels, time.thread_time() - began


def compare(
    run: AcceleratedBackbone, layer: str, files: Sequence[bytes], margins: Sequence[int]
) -> list[str]:
    """Return one cell for each margin."""
    contract = run.spec.input
    exact, exact_seconds = decode(files, replace(contract, decode="exact"))
    expected = run(exact, [layer])[layer]
    cells = []
    for margin in margins:
        fast = replace(contract, decode="fast", decode_margin=margin)
        pixels, seconds = decode(files, fast)
        if np.array_equal(pixels, exact):
            cells.append("=")
            continue
        received = run(pixels, [layer])[layer]
        rows = [lowest_cosine(a[None], b[None]) for a, b in zip(expected, received, strict=True)]
        cells.append(f"{min(rows):.4f} {np.mean(rows):.4f} {exact_seconds / seconds:.1f}x")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    console = Console(width=160)
    pictures = {side: make_pictures(data, side) for side in SHORT_SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for case in list_networks(data, Path(folder)):
            table = Table(
                "input", "picture", *(f"margin {margin}" for margin in MARGINS),
                title=f"{case.title}: lowest and mean cosine to exact decoding; its speed",
            )  # fmt: skip
            for size in case.inputs:
                run = AcceleratedBackbone(case.load(size), EngineRequest("openvino", "float32"))
                for side, files in pictures.items():
                    cells = compare(run, case.layer, files, MARGINS)
                    table.add_row(f"{size} px", f"{side} px", *cells)
            console.print(table)


if __name__ == "__main__":
    main()
