"""How fast is featx, beside what people write otherwise, and beside what the machine can do?

    python -m benchmarks.speed [--networks VGG19 mini] [--pictures clothing] [--rounds 3]

Run it from the root of the repository, on a machine that does nothing else. Prints one table of
all competitors, on the same pictures in the same run, and which goals are reached. All of it takes
some hours; Ctrl-C shows what was measured until then.

- From files to results: featx up to the committed store (224 px also on one core), the tutorial's
  `model.predict` for each image, Keras's `predict` over `image_dataset_from_directory`, and
  PyTorch with a DataLoader (`--torch-python` names a Python that has torch, torchvision and, if
  possible, timm). The others keep their results in memory only.
- Limits: featx's network on pixels that are decoded already, its decoding alone, both on shared
  cores (their times add up), and a product of large matrices in the same precision.

Each measurement is a process of its own, competitors take turns, and ratios are formed in each
round: the table shows their median, and lowest and highest. A rate counts from when libraries,
network and, for featx, the choice of engine and precision are there, with pictures in the
system's memory; all before is "start". "Others" is the most that other processes took of the
cores' time. Slower competitors get fewer of the same pictures. Peak memory of PyTorch counts
what its workers share only once.

Weights are random, but for MobileNetV2 where DATA/weights has its file, and the built-in network.
Photographs come from DATA/images; without it, synthetic ones are made. Those of 12 megapixels
are enlarged, with grain. Files are repeated, with another comment inside, where there are too few.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from benchmarks.speeds.machine import (
    BUSY,
    describe_load,
    watch_others,
)
from benchmarks.speeds.networks import NETWORKS, Network
from benchmarks.speeds.pictures import PICTURE_SETS, link_fewer, prepare, read_all
from benchmarks.speeds.results import to_json
from benchmarks.speeds.rounds import COMPETITORS, Cell, run_rounds
from benchmarks.speeds.tables import make_goals, make_table
from featx.machine import available_cores, describe_machine
from featx.user_cache import CACHE_VARIABLE

DATA = Path(os.environ.get("FEATX_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")

BIG_PICTURES, FEWER_BIG_PICTURES = 128, 64
"""Of 12 megapixels: some 4 MB and a tenth of a second each."""

QUICK_PICTURES = 8
LIMIT_SECONDS, QUICK_SECONDS = 6.0, 0.2


def main() -> int:
    options = parse_options()
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    cores = available_cores()
    machine = f"{describe_machine()}; {describe_load()}; {describe_versions()}"
    others = watch_others()
    if others > BUSY and not (options.busy or options.quick):
        say(
            f"Other processes take {others:.0%} of this machine ({machine}): what is measured "
            "now says little. Wait, or go on all the same with --busy."
        )
        return 1
    say(f"{machine}; others take {others:.0%}")
    cells: list[Cell] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="featx-speed-") as folder:
        work = Path(folder)
        os.environ[CACHE_VARIABLE] = str(work / "cache")
        with contextlib.suppress(KeyboardInterrupt):  # What was measured is shown.
            for pictures in options.pictures:
                for name in options.networks:
                    network = NETWORKS[name]
                    folders = make_folders(work, pictures, network, options)
                    cell = Cell(network, pictures, find_weights(network, options.data))
                    cells.append(cell)
                    run_rounds(
                        cell,
                        options.competitors,
                        folders,
                        1 if options.quick else options.rounds,
                        seconds=QUICK_SECONDS if options.quick else LIMIT_SECONDS,
                        cores=cores,
                        torch_python=options.torch_python,
                        say=say,
                    )
    minutes = (time.monotonic() - began) / 60
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(f"{machine}; others took {others:.0%} before, {minutes:.0f} minutes")
    console.print(make_table(cells))
    console.print(make_goals(cells))
    if options.json is not None:
        report = {"machine": machine, "others": others} | to_json(cells)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def describe_versions() -> str:
    """Name the versions of what computes and decodes."""
    found = []
    for name in ("openvino", "tensorflow", "pillow"):
        with contextlib.suppress(PackageNotFoundError):  # Such as tensorflow-cpu.
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=(__doc__ or "").splitlines()[0]
    )
    for option, names in (
        ("--networks", NETWORKS),
        ("--pictures", PICTURE_SETS),
        ("--competitors", COMPETITORS),
    ):
        parser.add_argument(option, nargs="+", choices=list(names), default=list(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times as many pictures")
    parser.add_argument("--data", type=Path, default=DATA, help="where images/ and weights/ are")
    parser.add_argument(
        "--torch-python", default=sys.executable, help="a Python with torch and torchvision"
    )
    parser.add_argument("--quick", action="store_true", help="few pictures, one round: does it run")
    parser.add_argument("--busy", action="store_true", help="measure beside other work")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every measurement")
    return parser.parse_args()


def make_folders(
    work: Path, pictures: str, network: Network, options: argparse.Namespace
) -> dict[str, Path]:
    """Make the pictures for a network: all of them, half as many, and fewer."""
    kind = PICTURE_SETS[pictures]
    count, fewer = network.images, network.fewer
    if kind.is_enlarged:
        count, fewer = BIG_PICTURES, FEWER_BIG_PICTURES
    count, fewer = int(count * options.scale), int(fewer * options.scale)
    if options.quick:
        count, fewer = QUICK_PICTURES, QUICK_PICTURES // 2
    place = work / pictures / str(count)
    if not place.exists():
        prepare(kind, options.data, count, place)
    folders = {"all": place}
    for name, some in (("half", count // 2), ("fewer", fewer)):
        folders[name] = work / pictures / f"{count}_{name}_{some}"
        if not folders[name].exists():
            link_fewer(place, some, folders[name])
    read_all(place)
    return folders


def find_weights(network: Network, data: Path) -> str:
    """Return the file of a network's real weights, if it is there; else ``random``."""
    if network.weights_file is not None:
        path = data / "weights" / network.weights_file
        if path.is_file():
            return str(path.absolute())
    return "random"


if __name__ == "__main__":
    sys.exit(main())
