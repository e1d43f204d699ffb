"""What does ignoring colour profiles cost a search, and what does converting by them give?

    python -m benchmarks.profiles DATA

DATA holds `weights/` and `images/flowers12/test`, as for `benchmarks/precision.py`. Every second
photograph is rewritten in another colour space, with its profile: the same picture to whoever
reads the profile. Each is then searched among all others. For each network and profile, the table
says how near the rewritten ones stay to the originals (lowest and mean cosine), and precision@10,
with the profile ignored and applied; with all originals it is given once.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from rich.console import Console
from rich.table import Table

from benchmarks.precision import NETWORKS, nearest
from featx.images.decode import decode_image
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.input_spec import Icc
from featx.poolings import pool_features
from featx.specs import with_input
from tests.images.icc_profiles import DISPLAY_P3, grey_profile, rgb_profile

PROFILES = {
    "Adobe RGB": ("RGB", rgb_profile()),
    "Display P3": ("RGB", rgb_profile(DISPLAY_P3)),
    "grey, gamma 1.8": ("L", grey_profile(1.8)),
}
TITLES = ("builtin:mini", "MobileNetV2 0.35", "MobileNetV2 1.0")


def rewrite(image: Image.Image, mode: str, profile: bytes | None) -> bytes:
    """Return a picture as a PNG in another colour space; of mode L without one, in grey sRGB."""
    if profile is not None:
        srgb = ImageCms.createProfile("sRGB")
        target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        source = image.convert("L").convert("RGB") if mode == "L" else image
        converted = ImageCms.profileToProfile(source, srgb, target, outputMode=mode)
        assert converted is not None
        image = converted
    file = io.BytesIO()
    image.convert(mode).save(file, "PNG", icc_profile=profile)
    return file.getvalue()


def compute(run: AcceleratedBackbone, layer: str, files: Sequence[bytes], icc: Icc) -> np.ndarray:
    contract = with_input(run.spec, icc=icc).input
    rows = []
    for start in range(0, len(files), 16):
        pixels = np.stack([decode_image(file, contract) for file in files[start : start + 16]])
        values = run(pixels, [layer])[layer]
        rows.append(pool_features(values, "avg" if values.ndim > 2 else "none"))
    features = np.concatenate(rows)
    unit: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    paths = sorted((data / "images/flowers12/test").glob("*/*.jpg"))
    classes = np.array([path.parent.name for path in paths])
    images = [Image.open(path).convert("RGB") for path in paths]
    table = Table(
        "network", "profile", "cosine ignored", "cosine applied",
        "precision@10 originals / ignored / applied",
        title=f"colour profiles of every second of {len(paths)} photographs",
    )  # fmt: skip
    for title in TITLES:
        load, (_, _, layer) = NETWORKS[title]
        run = AcceleratedBackbone(load(data), EngineRequest("openvino", "float32"))
        for name, (mode, profile) in PROFILES.items():
            plain = [rewrite(image, mode, None) for image in images]
            other = [rewrite(image, mode, profile) for image in images]
            mixed = [(plain, other)[number % 2][number] for number in range(len(images))]
            original = compute(run, layer, plain, "ignore")
            ways = [compute(run, layer, mixed, icc) for icc in ("ignore", "apply")]
            cells = [(original * way).sum(axis=1)[1::2] for way in ways]
            precision = [
                (classes[nearest(rows)] == classes[:, None]).mean() for rows in (original, *ways)
            ]
            table.add_row(
                title, name, *(f"{cell.min():.4f} {cell.mean():.4f}" for cell in cells),
                " / ".join(f"{value:.4f}" for value in precision),
            )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
