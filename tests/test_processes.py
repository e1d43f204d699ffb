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
    (line,) = stress([("tensorflow", "cold", 4)], tmp_path)
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
