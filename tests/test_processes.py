"""Threads, forks and servers: programs of their own, and the table that says what works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes.guest import NETWORKS
from benchmarks.processes.threads import ENGINES, list_runs, stress
from benchmarks.processes.ways import WAYS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "processes.md"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and gunicorn")


@pytest.mark.tensorflow
def test_threads_leave_the_process_as_it_was(tmp_path: Path) -> None:
    import keras

    images = keras.Input((16, 16, 3))
    scaled = keras.layers.Rescaling(1 / 255)(images)
    mean = keras.layers.GlobalAveragePooling2D()(scaled)
    keras.Model(images, mean).save(tmp_path / NETWORKS[1])
    (line,) = stress([("tensorflow", "cold", 2)], tmp_path)
    assert line.violations == []
    assert line.printed > 100


@pytest.mark.slow
def test_threads_leave_the_process_as_it_was_many_times(tmp_path: Path) -> None:
    lines = {(line.engine, line.cache): line for line in stress(list_runs(100), tmp_path)}
    assert sum(line.runs for line in lines.values()) == 100
    assert [text for line in lines.values() for text in line.violations] == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", WAYS)
def test_each_line_of_the_table_is_so(way: str, engine: str, tmp_path: Path) -> None:
    for module in re.findall("gunicorn|uvicorn", way):
        pytest.importorskip(module)
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.processes.ways", way, engine, tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_the_table_has_a_line_for_each_way() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == ["how", *WAYS]


TEN_MODELS = """
import gc
import os

import numpy as np

import featx

pictures = np.zeros((8, 96, 96, 3), np.uint8)
for number in range(10):
    featx.embed(
        pictures,
        model=f"keras:MobileNet,alpha={(0.25, 0.5)[number % 2]}",
        weights="random",
        img_size=(96, 96),
        engine="{engine}",
    )
    with open("/proc/self/statm") as file:
        print(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("engine", ENGINES)
def test_ten_models_one_after_the_other_take_the_memory_of_a_few(engine: str) -> None:
    code = TEN_MODELS.replace("{engine}", engine)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    used = [int(line) for line in done.stdout.split()]
    assert len(used) == 10
    # Allocators keep some of what was freed; a network that stays would be seen ten times.
    assert max(used[4:]) <= 1.15 * max(used[:4]), used
