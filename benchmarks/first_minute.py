"""How long do the first use of a model and short runs take, beside a Keras script?

    python -m benchmarks.first_minute --weights FOLDER --photos FOLDER --rounds 5
    python -m benchmarks.first_minute --model VGG19 --pictures 1 --rounds 5
    python -m benchmarks.first_minute --imports

Whole processes, by turns in each round: the script, featx with an empty cache, and featx again.
Ratios are formed in each round, and their medians shown with the lowest and highest. FOLDER of
weights holds files named for their model, such as ``MobileNetV2.h5``, without classifier; of models
that have none there, the script saves a file of random weights first. Without photographs, pictures
are made. ``--imports`` fails where a command that must start fast imports a heavy module.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.speeds.pictures import PICTURE_SETS, prepare, spread

MODELS = {
    "MobileNetV2": "mobilenet_v2",
    "ResNet50": "resnet50",
    "EfficientNetB0": "efficientnet",
    "VGG19": "vgg19",
}
"""Network → its module of `keras.applications`."""

PICTURES = (1, 240, 341)

GOALS = {"first use": 0.9, "one picture": 1.0, "computing": 0.8}
"""What is asked for: featx's time over the script's; the share of a second run that computes."""

SCRIPT = """
import sys, keras, numpy as np
from pathlib import Path
name, module, weights, folder = sys.argv[1:]
network = getattr(keras.applications, name)(weights=weights, include_top=False, pooling="avg")
files = sorted(Path(folder).rglob("*.jpg"))
images = [keras.utils.load_img(file, target_size=(224, 224)) for file in files]
pixels = np.stack([keras.utils.img_to_array(image) for image in images])
scaled = getattr(keras.applications, module).preprocess_input(pixels)
np.save(Path(folder).with_suffix(".npy"), network.predict(scaled, verbose=0))
"""
"""What people write: arguments, and eight lines."""

MAKE_WEIGHTS = """
import sys, keras
name, path = sys.argv[1:]
network = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg")
network.save_weights(path)
"""

COMMANDS = (["--help"], ["info", "--help"], ["search", "--help"], ["extract", "--help"])
HEAVY = (
    "tensorflow",
    "keras",
    "openvino",
    "sklearn",
    "scipy",
    "pandas",
    "faiss",
    "pyarrow",
    "h5py",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of one network: seconds of three processes, and where the last one's went."""

    script: float
    first: float
    second: float
    spent: dict[str, float]

    @property
    def computing(self) -> float:
        """The share of the second run that reads, computes and writes."""
        return sum(self.spent[name] for name in ("read", "compute", "write")) / self.second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", choices=list(MODELS), help="[default: all]")
    parser.add_argument("--pictures", action="append", type=int, help=f"[default: {PICTURES}]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=os.environ.get("FEATX_BENCH_WEIGHTS"))
    parser.add_argument("--photos", type=Path, help="a folder of photographs (.jpg)")
    parser.add_argument("--imports", action="store_true", help="check only what is imported")
    arguments = parser.parse_args()
    if arguments.imports:
        sys.exit(check_imports())
    with tempfile.TemporaryDirectory(prefix="featx-first-") as folder:
        run(arguments, Path(folder))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Measure what was asked for, and show it."""
    pictures = arguments.pictures or PICTURES
    source = arguments.photos
    if source is None:
        source = folder / "made"
        prepare(PICTURE_SETS["224px"], Path("nothing"), max(pictures), source)
    cells = {}
    for model in arguments.model or MODELS:
        weights = find_weights(model, arguments.weights, folder)
        for count in pictures:
            photos = folder / f"photos_{count}"
            if not photos.exists():
                copy_some(source, count, photos)
            cells[model, count] = [
                take_turn(model, weights, photos, folder) for _ in range(arguments.rounds)
            ]
            width = None if sys.stdout.isatty() else 140  # Else columns are cut off.
            Console(width=width).print(make_table(cells))


def copy_some(folder: Path, count: int, other: Path) -> None:
    """Copy photographs from all over a folder into another one, which is flat."""
    for number, path in enumerate(spread(sorted(folder.rglob("*.jpg")), count)):
        other.mkdir(exist_ok=True)
        shutil.copy(path, other / f"{number}_{path.name}")


def find_weights(model: str, given: Path | None, folder: Path) -> Path:
    """Return the weights of a network, made at random where there are none."""
    path = None if given is None else Path(given) / f"{model}.h5"
    if path is not None and path.is_file():
        return path
    made = folder / f"{model}.weights.h5"
    call([sys.executable, "-c", MAKE_WEIGHTS, model, str(made)])
    return made


def take_turn(model: str, weights: Path, photos: Path, folder: Path) -> Turn:
    """Run the script, featx with an empty cache, and featx again."""
    cache, store = folder / "cache", folder / "features.h5"
    shutil.rmtree(cache, ignore_errors=True)
    environment = {**os.environ, "FEATX_CACHE_DIR": str(cache)}
    script = [sys.executable, "-c", SCRIPT, model, MODELS[model], str(weights), str(photos)]
    featx = [sys.executable, "-m", "featx", "extract", str(photos), "-m", f"keras:{model}",
             "--weights", str(weights), "--pool", "avg", "-o", str(store), "--json"]  # fmt: skip
    seconds = [call(script, environment)[0]]
    for _ in range(2):
        store.unlink(missing_ok=True)
        taken, output = call(featx, environment)
        seconds.append(taken)
    return Turn(*seconds, spent=json.loads(output)["seconds"])


def call(command: Sequence[str], environment: dict[str, str] | None = None) -> tuple[float, str]:
    """Run a program; return its seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:6])} ... failed:\n{done.stderr}")
    return time.perf_counter() - began, done.stdout


def make_table(cells: dict[tuple[str, int], list[Turn]]) -> Table:
    """Show the medians of all rounds; a goal that is reached has a tick."""
    table = Table("network", "pictures", "script s", "first s", "over the script", "second s",
                  "of it computing")  # fmt: skip
    for (model, count), turns in cells.items():
        ratios = [turn.first / turn.script for turn in turns]
        shares = [turn.computing for turn in turns]
        most = GOALS["one picture" if count == 1 else "first use"]
        is_long = count > 300  # Of fewer, starting is most of it.
        table.add_row(
            model,
            str(count),
            *(f"{statistics.median(getattr(turn, which) for turn in turns):.1f}"
              for which in ("script", "first")),
            describe(ratios, f"≤ {most}", is_reached=statistics.median(ratios) <= most),
            f"{statistics.median(turn.second for turn in turns):.1f}",
            describe(
                shares,
                f"≥ {GOALS['computing']}" if is_long else "",
                is_reached=is_long and statistics.median(shares) >= GOALS["computing"],
            ),
        )  # fmt: skip
    return table


def describe(values: Sequence[float], goal: str, *, is_reached: bool) -> str:
    """Write a median, the lowest and highest value, and the goal."""
    text = f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
    return f"{text} {goal}{' ✓' if is_reached else ''}"


def check_imports() -> int:
    """Print what commands import at most; return 1 if a heavy module is among it."""
    status = 0
    for command in COMMANDS:
        timed = [sys.executable, "-X", "importtime", "-m", "featx", *command]
        done: Any = subprocess.run(timed, capture_output=True, text=True, check=True)
        lines = [line.split("|") for line in done.stderr.splitlines() if "|" in line][1:]
        names = {parts[2].strip().split(".")[0] for parts in lines}
        found = sorted(names.intersection(HEAVY))
        total = sum(int(parts[0].rpartition(":")[2]) for parts in lines) / 1e6
        print(f"featx {' '.join(command)}: {len(lines)} modules in {total:.2f} s", *found)
        status |= bool(found)
    return status


if __name__ == "__main__":
    main()
