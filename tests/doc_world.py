"""The folder in which the code of the documents runs: the files that its pages speak of."""

from __future__ import annotations

import contextlib
import csv
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from featx.demo import run_demo
from featx.testing import write_images
from tests.models.model_files import (
    SIZE,
    build_keras,
    write_graph,
    write_tf1_module,
    write_tf2_module,
)
from tests.models.onnx_files import Network


def write_world(folder: Path) -> None:
    """Write pictures, archives, tables, arrays and small models under the names of the pages."""
    photos = write_images(12, folder / "photos", classes=("cat", "dog"), size=(40, 30))
    write_images(14, folder / "new_photos", classes=("cat", "dog"), size=(30, 40))
    shutil.copy(photos / "dog" / "image_3.png", folder / "query.png")
    with Image.open(folder / "query.png") as picture:
        picture.save(folder / "query.jpg")
    shutil.make_archive(str(folder / "photos"), "tar", folder, "photos")
    _write_tables(folder)
    rng = np.random.default_rng(0)
    arrays = {
        f"{axis}_{split}": values
        for split, count in (("train", 20), ("test", 6))
        for axis, values in (
            ("x", rng.integers(0, 256, (count, 28, 28), np.uint8)),
            ("y", np.arange(count) % 2),
        )
    }
    np.savez(folder / "digits.npz", **arrays)


def write_models(folder: Path) -> None:
    """Write one small model of each kind; loads TensorFlow."""
    import keras

    images = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    keras.Model(images, keras.layers.GlobalAveragePooling2D(name="gap")(x)).save(
        folder / "net.keras"
    )
    build_keras(keras).export(folder / "exported", verbose=False)
    write_tf2_module(folder / "module", size=SIZE)
    write_tf1_module(folder / "module_tf1")
    write_graph(folder / "frozen_graph.pb")
    network = Network(("N", 3, 16, 16))
    network.residual()
    network.write(folder / "net.onnx")


def write_digits(folder: Path) -> None:
    """Write the pictures of `featx demo`, and nothing that it makes of them."""

    class Written(Exception):
        pass

    class Screen:
        def pictures(self, folder: Path, num_stored: int, num_queries: int) -> None:
            raise Written

    with contextlib.suppress(Written):
        run_demo(folder, Screen())  # type: ignore[arg-type]


def _write_tables(folder: Path) -> None:
    keys = sorted(path.relative_to(folder) for path in (folder / "photos").rglob("*.png"))
    rows = [(key, key.parent.name, "test" if i % 4 == 0 else "train") for i, key in enumerate(keys)]
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        names = {"cat": "light", "dog": "dark"}
        shown = [(key.relative_to("photos"), names[label], split) for key, label, split in rows]
        csv.writer(file).writerows([("path", "label", "split"), *shown])
    with open(folder / "tags.csv", "w", newline="", encoding="utf-8") as file:
        tags = []
        for number, key in enumerate(keys):
            label = f"{key.parent.name}|small" if number % 3 == 0 else key.parent.name
            price = "" if number == 1 else 2.5 + number
            tags.append((key.relative_to("photos"), label, number % 2, 1 - number % 2, price))
        csv.writer(file).writerows([("path", "tags", "indoors", "sunny", "price"), *tags])
    (folder / "names.txt").write_text("one\ntwo\nthree\nfour\n", encoding="utf-8")
