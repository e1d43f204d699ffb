"""Time and memory of `featx fit-head` beside scikit-learn and Keras, on the same features.

    python -m benchmarks.heads                 # made-up features of three shapes
    python -m benchmarks.heads --features STORE.h5
    python -m benchmarks.heads --accuracy STORE.h5 ...
    python -m benchmarks.heads --coverage STORE.h5 ...

The first two print, for each shape, the whole command beside one fit of scikit-learn at the
strength that featx chose, and beside a Keras script of five epochs with everything; all in one
run, one after the other, the rounds alternating. `--accuracy` prints how good `auto` is beside
each kind, with 5, 20 and all examples of each class; `--coverage` how often sets of candidates
hold the true class.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.heads.accuracy import show_accuracy
from benchmarks.heads.coverage import show_coverage
from benchmarks.heads.features import Shape, read_features, write_features

SHAPES = {
    "linear": (Shape(50_000, 1_280, 100), Shape(30_000, 1_280, 10)),
    "auto": (Shape(1_000_000, 256, 100),),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a process gave: its seconds, its memory at the peak in bytes, and what it printed."""

    seconds: float
    memory: int
    printed: dict[str, Any]


def run(arguments: Sequence[str]) -> Outcome:
    """Run a Python module and wait for it; see `benchmarks.heads.measured`."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        python = [sys.executable, "-m"]
        command = [*python, "benchmarks.heads.measured", str(result), *python, *arguments]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        return Outcome(**json.loads(result.read_text()), printed=json.loads(output))


def compare(store: Path, folder: Path, kind: str, rounds: int) -> dict[str, list[Outcome]]:
    """Run featx and, for a linear head, its rivals, by turns."""
    fit = ["featx", "fit-head", str(store), "--kind", kind, "--json", "-o", str(folder / "head")]
    outcomes: dict[str, list[Outcome]] = {"featx": []}
    if kind != "linear":
        outcomes["featx"] = [run(fit) for _ in range(rounds)]
        return outcomes
    values, targets = read_features(store)
    order = np.random.default_rng(0).permutation(len(targets))
    paths = folder / "values.npy", folder / "targets.npy"
    np.save(paths[0], values[order])
    np.save(paths[1], targets[order])
    num_train = str(round(0.8 * len(targets)))
    del values, targets
    for _ in range(rounds):
        outcomes["featx"].append(run(fit))
        chosen = str(outcomes["featx"][-1].printed["settings"]["C"])
        for rival in ("sklearn", "keras"):
            arguments = ["benchmarks.heads.rivals", rival, *map(str, paths), num_train, chosen]
            outcomes.setdefault(rival, []).append(run(arguments))
    return outcomes


def show(table: Table, name: str, size: int, outcomes: dict[str, list[Outcome]]) -> None:
    """Add what came out, as medians; ratios are of the same round."""
    featx = outcomes["featx"]
    report = featx[-1].printed
    evaluation = report["evaluation"]
    cells = [
        f"{name} {report['kind']}",
        f"{median(one.seconds for one in featx):.1f} s",
        f"{max(one.memory for one in featx) / size:.2f}×",
        f"{max(one.memory for one in featx) / 1e9:.2f} GB",
        f"{evaluation['accuracy']:.4f}",
        f"{evaluation['log_loss']:.4f}" if "log_loss" in evaluation else "",
    ]
    for rival in ("sklearn", "keras"):
        pairs = list(zip(featx, outcomes.get(rival, []), strict=False))
        if not pairs:
            cells.append("")
            continue
        is_fit = rival == "sklearn"
        seconds = [one.printed["seconds"] if is_fit else one.seconds for _, one in pairs]
        ratios = [ours.seconds / their for (ours, _), their in zip(pairs, seconds, strict=True)]
        last = pairs[-1][1].printed
        cells.append(
            f"{median(ratios):.2f}× ({min(ratios):.2f}-{max(ratios):.2f}) "
            f"of {median(seconds):.1f} s, {last['accuracy']:.4f}, {last['loss']:.4f}"
        )
    table.add_row(*cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=Path, help="a store, instead of made-up features")
    parser.add_argument("--accuracy", type=Path, nargs="+", help="stores")
    parser.add_argument("--coverage", type=Path, nargs="+", help="stores")
    parser.add_argument("--kind", choices=SHAPES, help="only this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tenth of the rows")
    arguments = parser.parse_args()
    if arguments.accuracy:
        show_accuracy(arguments.accuracy)
        return
    if arguments.coverage:
        show_coverage(arguments.coverage)
        return
    kinds = [arguments.kind] if arguments.kind else list(SHAPES)
    table = Table(
        "features, head", "whole command", "memory over features", "memory", "accuracy", "log loss",
        "over one fit of scikit-learn", "over a Keras script",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.features:
            for kind in kinds:
                values, _ = read_features(arguments.features)
                outcomes = compare(arguments.features, folder, kind, arguments.rounds)
                show(table, arguments.features.stem, values.nbytes, outcomes)
        else:
            for kind in kinds:
                for shape in SHAPES[kind]:
                    made = Shape(shape.rows // 10, shape.width, shape.classes)
                    made = made if arguments.small else shape
                    store = folder / "features.h5"
                    write_features(store, made)
                    outcomes = compare(store, folder, kind, arguments.rounds)
                    show(table, str(made), 4 * made.rows * made.width, outcomes)
    Console(width=200).print(table)
    print("load of the machine:", " ".join(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
