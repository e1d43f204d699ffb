"""How long do the first use of a model and short runs take, beside a Keras script?

    python -m benchmarks.first_minute --weights FOLDER --photos FOLDER
    python -m benchmarks.first_minute --rounds 3 --minutes 40
    python -m benchmarks.first_minute --model VGG19 --pictures 1 --rounds 5
    python -m benchmarks.first_minute --imports

Prints three tables: the first use of models and a second run, whole processes, by turns in each
round (the script, featx with an empty cache, and featx again); MobileNetV2 on many pictures beside
``predict``; and what computes nothing, on 10,000 pictures. The share of a second run that computes
is what its pictures take in a run that is under way, by how much longer a run of four times as many
takes, over the whole process: so pictures that are decoded while the network loads count for what
they save, and for no more. Ratios are formed in each round, and
their medians shown with the lowest and highest. A round that would not end within the minutes is
left out, which is said. FOLDER of weights holds files named for their model, such as
``MobileNetV2.h5``, without classifier; of models that have none there, random weights are saved
first. Without photographs, pictures are made. ``--imports`` fails where a command that must start
fast imports a heavy module.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
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
from benchmarks.starting import call, check_imports, make_environment, make_starting_table

MODELS = {
    "MobileNetV2": "mobilenet_v2",
    "ResNet50": "resnet50",
    "EfficientNetB0": "efficientnet",
    "VGG19": "vgg19",
}
"""Network → its module of `keras.applications`."""

Cell = tuple[str, int]
"""A network, and how many pictures."""

FEW = 300
"""Of fewer pictures, starting is most of a second run, which is not measured then."""

LONGER = 4
"""How many times as many pictures the run has that says what a picture takes."""

GOALS = {"first use": 0.9, "one picture": 1.0, "computing": 0.8, "steady": 4.0}
"""What is asked for: featx's time over the script's; the share of a second run that computes; its
images per second over those of ``predict``."""

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

CELLS = (
    ("VGG19", 1),
    ("MobileNetV2", 240),
    ("MobileNetV2", 341),
    ("EfficientNetB0", 240),
    ("ResNet50", 240),
    ("VGG19", 240),
)
"""What is measured unless something else is asked for, the quickest first."""

MANY = 3781
"""Pictures of a run that is long enough to be steady."""

PREDICT = """
import sys, time, keras, numpy as np
from pathlib import Path
weights, folder = sys.argv[1:]
network = keras.applications.MobileNetV2(weights=weights, include_top=False, pooling="avg")
files = sorted(Path(folder).rglob("*.jpg"))
began = time.perf_counter()
for start in range(0, len(files), 512):
    some = files[start : start + 512]
    images = [keras.utils.load_img(file, target_size=(224, 224)) for file in some]
    pixels = np.stack([keras.utils.img_to_array(image) for image in images])
    network.predict(keras.applications.mobilenet_v2.preprocess_input(pixels), verbose=0)
print(len(files) / (time.perf_counter() - began))
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of one network: seconds of whole processes.

    The second run, and the one of `LONGER` times as many pictures, are 0 where not measured.
    """

    script: float
    first: float
    second: float = 0.0
    longer: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of the round."""
        return self.script + self.first + self.second + self.longer

    @property
    def computing(self) -> float:
        """The share of the second run that its pictures take in a run that is under way."""
        taken = (self.longer - self.second) / (LONGER - 1)
        return taken / self.second if self.second else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", choices=list(MODELS), help="only this one")
    parser.add_argument("--pictures", action="append", type=int, help="only so many")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=12.0, help="for all [default: 12]")
    parser.add_argument("--weights", type=Path, default=os.environ.get("FEATX_BENCH_WEIGHTS"))
    parser.add_argument("--photos", type=Path, help="a folder of photographs (.jpg)")
    parser.add_argument("--imports", action="store_true", help="check only what is imported")
    arguments = parser.parse_args()
    if arguments.imports:
        sys.exit(check_imports())
    with tempfile.TemporaryDirectory(prefix="featx-first-") as folder:
        run(arguments, Path(folder))


def choose_cells(models: Sequence[str] | None, pictures: Sequence[int] | None) -> list[Cell]:
    """Return networks and numbers of pictures: the table's, or every combination asked for."""
    if not models and not pictures:
        return list(CELLS)
    counts = pictures or sorted({count for _, count in CELLS})
    return [(model, count) for model in models or MODELS for count in counts]


def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Measure what was asked for, and show it."""
    clock = Clock(arguments.minutes)
    is_whole = not arguments.model and not arguments.pictures
    todo = choose_cells(arguments.model, arguments.pictures)
    source = arguments.photos
    if source is None:
        source = folder / "made"
        most = MANY if is_whole else LONGER * max(count for _, count in todo)
        prepare(PICTURE_SETS["224px"], Path("nothing"), most, source)
    environment = make_environment(folder / "cache")
    # Files of all libraries are in memory and compiled, for the script as for featx.
    call([sys.executable, "-c", "import keras, openvino, featx.extraction.extracting"], environment)
    if is_whole:
        show(make_starting_table(folder, environment))
    bench = Bench(folder, source, arguments.weights, environment)
    cells = measure(bench, todo, arguments.rounds, clock)
    show(make_table(cells))
    if is_whole and clock.has(sum(turn.first for turn in cells.get(("MobileNetV2", 341), ())) * 11):
        show(make_steady_table(bench, arguments.rounds, clock))
    print(f"{clock.minutes:.1f} minutes in all")


def measure(
    bench: Bench, todo: Sequence[Cell], rounds: int, clock: Clock
) -> dict[Cell, list[Turn]]:
    """Measure cells in rounds; one that would not end in time is left out."""
    cells: dict[Cell, list[Turn]] = {}
    for number in range(rounds):
        for cell in todo:
            before = cells.get(cell, [])
            if before and not clock.has(before[-1].total):
                print(f"round {number + 1} of {cell[0]} on {cell[1]} pictures is left out")
                continue
            cells[cell] = [*before, bench.take_turn(*cell)]
            print(f"{clock.minutes:4.1f} min: {cell[0]} on {cell[1]} pictures", file=sys.stderr)
    return cells


def show(table: Table) -> None:
    """Print a table; columns would be cut off in a file."""
    Console(width=None if sys.stdout.isatty() else 140).print(table)


class Clock:
    """How much time there is for all."""

    def __init__(self, minutes: float) -> None:
        self._began = time.perf_counter()
        self._seconds = 60 * minutes

    @property
    def minutes(self) -> float:
        """Minutes that are over."""
        return (time.perf_counter() - self._began) / 60

    def has(self, seconds: float) -> bool:
        """Whether so much is left."""
        return time.perf_counter() - self._began + seconds <= self._seconds


def copy_some(folder: Path, count: int, other: Path) -> None:
    """Copy photographs from all over a folder into another one, which is flat."""
    photos = sorted(folder.rglob("*.jpg"))
    if len(photos) < count:
        sys.exit(f"{folder} has {len(photos):,} photographs, and {count:,} are needed.")
    for number, path in enumerate(spread(photos, count)):
        other.mkdir(exist_ok=True)
        shutil.copy(path, other / f"{number}_{path.name}")


def find_weights(model: str, given: Path | None, folder: Path) -> Path:
    """Return the weights of a network, made at random where there are none."""
    path = None if given is None else Path(given) / f"{model}.h5"
    if path is not None and path.is_file():
        return path
    made = folder / f"{model}.weights.h5"
    if not made.exists():
        call([sys.executable, "-c", MAKE_WEIGHTS, model, str(made)], None)
    return made


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured with: a folder for files, pictures, given weights, an environment."""

    folder: Path
    source: Path
    weights: Path | None
    environment: dict[str, str]

    def photos(self, count: int) -> Path:
        """Return a folder of so many pictures."""
        photos = self.folder / f"photos_{count}"
        if not photos.exists():
            copy_some(self.source, count, photos)
        return photos

    def extract(self, model: str, count: int) -> tuple[float, dict[str, Any]]:
        """Extract into a new store; return the seconds and the report."""
        store = self.folder / "features.h5"
        store.unlink(missing_ok=True)
        weights = find_weights(model, self.weights, self.folder)
        command = [sys.executable, "-m", "featx", "extract", str(self.photos(count)),
                   "-m", f"keras:{model}", "--weights", str(weights), "--pool", "avg",
                   "-o", str(store), "--json"]  # fmt: skip
        seconds, output = call(command, self.environment)
        return seconds, json.loads(output)

    def take_turn(self, model: str, count: int) -> Turn:
        """Run the script, featx with an empty cache, and, of enough pictures, featx twice more."""
        weights = find_weights(model, self.weights, self.folder)
        shutil.rmtree(self.environment["FEATX_CACHE_DIR"], ignore_errors=True)
        script = [sys.executable, "-c", SCRIPT, model, MODELS[model], str(weights)]
        taken, _ = call([*script, str(self.photos(count))], self.environment)
        first, _ = self.extract(model, count)
        if count <= FEW:
            return Turn(taken, first)
        second, _ = self.extract(model, count)
        longer, _ = self.extract(model, LONGER * count)
        return Turn(taken, first, second, longer)

    def take_steady_turn(self) -> tuple[float, float]:
        """Return images per second of ``predict`` and of featx, both without loading."""
        weights = find_weights("MobileNetV2", self.weights, self.folder)
        script = [sys.executable, "-c", PREDICT, str(weights), str(self.photos(MANY))]
        _, output = call(script, self.environment)
        _, report = self.extract("MobileNetV2", MANY)
        return float(output), report["images_per_second"]


def make_steady_table(bench: Bench, rounds: int, clock: Clock) -> Table:
    """Measure MobileNetV2 on many pictures, whose engine is known by now."""
    rates = [bench.take_steady_turn()]
    taken = MANY * sum(1 / rate for rate in rates[0])
    while len(rates) < rounds and clock.has(taken):
        rates.append(bench.take_steady_turn())
    table = Table(f"MobileNetV2, {MANY:,} pictures", "predict, images/s", "featx", "ratio")
    ratios = [featx / predict for predict, featx in rates]
    table.add_row(
        f"{len(rates)} rounds",
        *(f"{statistics.median(rate[which] for rate in rates):.0f}" for which in (0, 1)),
        describe(ratios, f"≥ {GOALS['steady']}",
                 is_reached=statistics.median(ratios) >= GOALS["steady"]),
    )  # fmt: skip
    return table


def make_table(cells: dict[tuple[str, int], list[Turn]]) -> Table:
    """Show the medians of all rounds; a goal that is reached has a tick."""
    table = Table("network", "pictures", "script s", "first s", "over the script", "second s",
                  "of it computing")  # fmt: skip
    for (model, count), turns in cells.items():
        ratios = [turn.first / turn.script for turn in turns]
        shares = [turn.computing for turn in turns]
        most = GOALS["one picture" if count == 1 else "first use"]
        is_long = count > FEW
        table.add_row(
            model,
            str(count),
            *(f"{statistics.median(getattr(turn, which) for turn in turns):.1f}"
              for which in ("script", "first")),
            describe(ratios, f"≤ {most}", is_reached=statistics.median(ratios) <= most),
            f"{statistics.median(turn.second for turn in turns):.1f}" if is_long else "",
            describe(
                shares,
                f"≥ {GOALS['computing']}",
                is_reached=statistics.median(shares) >= GOALS["computing"],
            )
            if is_long
            else "",
        )  # fmt: skip
    return table


def describe(values: Sequence[float], goal: str, *, is_reached: bool) -> str:
    """Write a median, the lowest and highest value, and the goal."""
    text = f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
    return f"{text} {goal}{' ✓' if is_reached else ''}"


if __name__ == "__main__":
    main()
