"""Fine-tuning on real pictures, and under kills.

    python -m benchmarks.fine_tuning kills            # a tiny network, killed 20 times
    python -m benchmarks.fine_tuning kills -- --top-epochs 2 --optimizer rmsprop
    python -m benchmarks.fine_tuning gain FOLDER -- -m MODEL --weights WEIGHTS
    python -m benchmarks.fine_tuning digits           # a new last layer, of 10 and of 15 classes

`kills` compares the network of a run that was killed at random moments with that of an undisturbed
one, weight by weight. `gain` prints the accuracy before and after as JSON. `digits` trains a
network on half of scikit-learn's digits, and gives it a new last layer for the other half: for the
ten digits, and for these and five of them in a mirror. What was measured is in `benchmarks/LOG.md`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

KILLS = 20
EPOCHS = 60
SIZE = 16


def main(arguments: Sequence[str]) -> int:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.fine_tuning")
    commands = parser.add_subparsers(dest="command", required=True)
    kills = commands.add_parser("kills")
    kills.add_argument("--number", type=int, default=KILLS)
    kills.add_argument("--seed", type=int, default=0)
    kills.add_argument("options", nargs="*", help="Options of featx fine-tune, behind --.")
    gain = commands.add_parser("gain")
    gain.add_argument("images", type=Path)
    gain.add_argument("options", nargs="*", help="Options of featx fine-tune, behind --.")
    commands.add_parser("digits")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="featx-tuning-") as folder:
        if given.command == "kills":
            return measure_kills(Path(folder), given.number, given.seed, given.options)
        if given.command == "digits":
            return measure_digits(Path(folder))
        return measure_gain(Path(folder), given.images, given.options)


def measure_kills(folder: Path, number: int, seed: int, options: Sequence[str]) -> int:
    """Kill a run so many times; return 0 if it ends like an undisturbed one."""
    make_world(folder)
    undisturbed = start(folder, "undisturbed", options)
    if undisturbed.wait():
        return 1
    chance, killed = random.Random(seed), 0
    while killed < number:
        running = start(folder, "killed", options)
        wait_for_epoch(running)
        time.sleep(chance.uniform(0.0, 0.5))
        running.kill()
        killed += running.wait() < 0
        if running.returncode == 0:
            break  # It was finished before.
    start(folder, "killed", options).wait()
    largest = compare(folder / "undisturbed" / "model.keras", folder / "killed" / "model.keras")
    print(json.dumps({"kills": killed, "largest_difference": largest}))
    return int(largest != 0 or killed < number)


def make_world(folder: Path) -> None:
    """Write pictures of two classes and a tiny network."""
    import keras

    noise = np.random.default_rng(0)
    for name, column in (("left", 2), ("right", 11)):
        (folder / "pictures" / name).mkdir(parents=True)
        for picture in range(60):
            pixels = noise.integers(0, 160, (SIZE, SIZE, 3))
            pixels[:, column : column + 3] += 60
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / "pictures" / name / f"{picture}.png")
    keras.utils.set_random_seed(0)
    keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.2),
            keras.layers.Conv2D(8, 3, strides=2),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    ).save(folder / "net.keras")


def start(folder: Path, run: str, options: Sequence[str]) -> subprocess.Popen[str]:
    """Start a run of the command line, or go on with it."""
    words = ["fine-tune", "pictures", "-m", "net.keras", "-o", run, "--epochs", str(EPOCHS)]
    words += ["--engine", "tensorflow", "--precision", "float32", "--train-batch-norm", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "featx", *words, *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(running: subprocess.Popen[str]) -> None:
    """Wait until a run has finished an epoch, or has ended."""
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("epoch "):
            return


def compare(one: Path, other: Path) -> float:
    """Return the largest difference of two networks' weights."""
    import keras

    pairs = zip(
        *(keras.models.load_model(path).get_weights() for path in (one, other)), strict=True
    )
    return max(float(np.abs(first - second).max()) for first, second in pairs)


def measure_gain(folder: Path, images: Path, options: Sequence[str]) -> int:
    """Fine-tune on a folder of pictures, and print what it brought."""
    words = [sys.executable, "-m", "featx", "fine-tune", str(images.absolute()), *options]
    began = time.monotonic()
    done = subprocess.run([*words, "-o", "run", "--json"], cwd=folder, stdout=subprocess.PIPE)
    if done.returncode:
        return done.returncode
    report = json.loads(done.stdout)
    compared, epochs = report["comparison"], report["history"][1:]
    seconds = sum(epoch["seconds"] for epoch in epochs)
    waited = sum(epoch["seconds"] * epoch["input_share"] for epoch in epochs)
    print(
        json.dumps(
            {name: compared[name] for name in ("before", "after", "interval", "count", "p_value")}
            | {
                "epochs": len(epochs),
                "best": report["best"],
                "seconds": round(time.monotonic() - began),
                "seconds_of_an_epoch": round(seconds / max(1, len(epochs)), 1),
                "input_share": round(waited / max(seconds, 1e-9), 3),
            }
        )
    )
    return 0


def measure_digits(folder: Path) -> int:
    """Give a network of digits a new last layer of 10 and of 15 classes."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    pictures = (pixels.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    half = len(pictures) // 2
    train_on_digits(pictures[:half], targets[:half], folder / "digits.keras")
    pictures, targets = pictures[half:], targets[half:]
    mirrored = pictures[targets >= 5, :, ::-1], targets[targets >= 5] + 5
    status = 0
    for classes in (10, 15):
        images = folder / f"{classes} classes"
        write_digits(pictures, targets, images)
        if classes == 15:
            write_digits(*mirrored, images)
        for unfreeze in ("none", "all"):
            print(json.dumps({"classes": classes, "unfreeze": unfreeze}), flush=True)
            options = ["-m", str(folder / "digits.keras"), "--unfreeze", unfreeze, "--overwrite"]
            status |= measure_gain(folder, images, options)
    return status


def train_on_digits(pictures: np.ndarray, targets: np.ndarray, path: Path) -> None:
    """Train a small network of one channel, with a last layer of 10 classes."""
    import keras

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(pictures[..., np.newaxis], targets, epochs=20, verbose=0)
    network.save(path)


def write_digits(pictures: np.ndarray, targets: np.ndarray, folder: Path) -> None:
    """Write pictures into a folder of each class."""
    for number, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
        (folder / f"class {target}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"class {target}" / f"{number}.png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
