"""How long do commands take that compute nothing, and what do they import?

Part of ``python -m benchmarks.first_minute``; ``--imports`` there runs `check_imports` alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

NUM_FILES = 10_000
ROUNDS = 5

SMALL_NETWORK = (
    "-m", "keras:MobileNet,alpha=0.25", "--weights", "random", "--img-size", "32", "--pool", "avg",
)  # fmt: skip

LIBRARIES = (
    "tensorflow", "tf_keras", "keras", "openvino", "sklearn", "scipy", "pandas", "faiss",
    "pyarrow", "fsspec", "PIL", "h5py", "numpy", "rich.console", "importlib.metadata",
    "featx.inference.accelerated",
)  # fmt: skip
"""Heavy modules; a command may import those that it cannot do without."""

HELP = (["--help"], ["info", "--help"], ["search", "--help"], ["extract", "--help"])

OPEN = "import sys, featx; print(len(featx.open_store(sys.argv[1])))"


def list_commands(photos: Path, store: Path) -> dict[str, tuple[list[str], set[str], float]]:
    """Return what starts often: its arguments for Python, what it may import, seconds allowed."""
    featx = ["-m", "featx"]
    key = "0/0.png"
    return {
        "opening a store": (["-c", OPEN, str(store)], {"numpy", "h5py"}, 0.5),
        "info": ([*featx, "info", str(store)], {"numpy", "h5py"}, 0.5),
        "search --key": (
            [*featx, "search", "--features", str(store), "--key", key],
            {"numpy", "h5py", "faiss", "PIL"},
            0.5,
        ),
        "extract, nothing to do": (
            [*featx, "extract", str(photos), "-o", str(store), *SMALL_NETWORK],
            {"numpy", "h5py"},
            0.5,
        ),
        "layers keras:VGG19": (
            [*featx, "layers", "keras:VGG19"],
            {"numpy", "importlib.metadata"},
            1.0,
        ),
        **{" ".join(arguments): ([*featx, *arguments], set(), 0.2) for arguments in HELP},
    }


def make_store(folder: Path, environment: Mapping[str, str], count: int = NUM_FILES) -> Path:
    """Write small pictures, extract their features, and build their index."""
    photos, store = folder / "small", folder / "small.h5"
    random = np.random.default_rng(0)
    for number in range(count):
        path = photos / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)
    for arguments in (
        ["extract", str(photos), "-o", str(store), *SMALL_NETWORK],
        ["search", "--features", str(store), "--key", "0/0.png"],
    ):
        call([sys.executable, "-m", "featx", *arguments], environment)
    return store


def make_starting_table(folder: Path, environment: Mapping[str, str]) -> Table:
    """Measure commands on many small pictures, as whole processes, in turn."""
    store = make_store(folder, environment)
    commands = list_commands(folder / "small", store)
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, (arguments, _, _) in commands.items():
            spent[name].append(call([sys.executable, *arguments], environment)[0])
    table = Table(f"on {NUM_FILES:,} pictures", "seconds", "goal")
    for name, seconds in spent.items():
        median, most = statistics.median(seconds), commands[name][2]
        shown = f"{median:.2f} ({min(seconds):.2f}–{max(seconds):.2f})"
        table.add_row(name, shown, f"≤ {most}{' ✓' if median <= most else ''}")
    return table


def check_imports() -> int:
    """Print what commands import; return 1 if one imports a heavy module that it does not need."""
    status = 0
    with tempfile.TemporaryDirectory(prefix="featx-imports-") as folder:
        environment = make_environment(Path(folder) / "cache")
        store = make_store(Path(folder), environment, count=20)
        commands = list_commands(Path(folder) / "small", store)
        for name, (arguments, allowed, _) in commands.items():
            command = [sys.executable, "-X", "importtime", *arguments]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            count, seconds, found = read_import_times(done.stderr, allowed)
            print(f"{name}: {count} modules in {seconds:.2f} s", *found)
            status |= bool(found)
    return status


def read_import_times(text: str, allowed: set[str]) -> tuple[int, float, list[str]]:
    """Return from Python's import times: how many modules, their seconds, heavy ones not allowed.

    Example:
        >>> text = "import time:  self [us] | cumulative | imported package\\n"
        >>> text += "import time:      2000 |       3000 |     keras.src\\n"
        >>> read_import_times(text, set())
        (1, 0.002, ['keras'])
    """
    lines = [line.split("|") for line in text.splitlines() if line.startswith("import time:")]
    times = [(parts[2].strip(), int(parts[0].rpartition(":")[2])) for parts in lines[1:]]
    names = {name for name, _ in times}
    packages = names | {name.split(".")[0] for name in names}
    found = sorted(packages.intersection(LIBRARIES) - allowed)
    return len(times), sum(microseconds for _, microseconds in times) / 1e6, found


def make_environment(cache: Path) -> dict[str, str]:
    """Return the environment of what is measured: a cache of its own, modules compiled once."""
    environment = {**os.environ, "FEATX_CACHE_DIR": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # What pip installs is compiled, too.
    return environment


def call(command: Sequence[str], environment: Mapping[str, str] | None) -> tuple[float, str]:
    """Run a program; return its seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:6])} ... failed:\n{done.stderr}")
    return time.perf_counter() - began, done.stdout
