"""The stress script, short and with fixed seeds; and that it finds what is wrong."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import featx.atomic
import featx.store.lock
from benchmarks.stress.bench import Bench
from benchmarks.stress.disk import Disk, Event
from benchmarks.stress.hooks import Operation
from benchmarks.stress.powercut import cut_each_prefix, power_cuts, record
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario, all_scenarios, small_files
from featx.models import SOURCES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, fork and SIGKILL")

SHORT = {
    "kills": ["--count", "12", "--step", "99", "--only", "extract changed, view"],
    "full": ["--count", "36", "--only", "extract added, file"],
    "faults": ["--step", "24", "--only", "extract added, file"],
    "concurrency": ["--seconds", "0.25"],
}


@pytest.mark.parametrize("part", SHORT)
def test_nothing_is_violated(part: str, tmp_path: Path) -> None:
    # In a process of its own: forked children must not inherit TensorFlow's threads.
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.stress", part, "--seed", "1", *SHORT[part]],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("seed 1\n")


@pytest.fixture
def first() -> Iterator[Scenario]:
    """A first extraction into small files."""
    with small_files():
        yield all_scenarios(3)[0]
    SOURCES.remove("toy")


def test_no_power_cut_loses_anything(first: Scenario, tmp_path: Path) -> None:
    tally = power_cuts(first, tmp_path, seed=1, step=9)
    assert tally.runs > 5
    assert tally.violations == []


def test_it_is_found_when_nothing_is_flushed(
    first: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (featx.atomic, featx.store.lock):
        monkeypatch.setattr(module, "sync_path", lambda path: None)
    bench = Bench(first, tmp_path, Tally("powercut", "without flushes"))
    cut_each_prefix(bench, record(bench), random.Random(1), step=8)
    assert any("half there" in text or "cannot be read" in text for text in bench.tally.violations)


def test_it_is_found_when_the_name_of_the_store_is_not_flushed(
    first: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = featx.atomic.sync_path
    monkeypatch.setattr(featx.atomic, "sync_path", lambda path: path.name == "box" or real(path))
    bench = Bench(first, tmp_path, Tally("powercut", "without the store's name"))
    events = record(bench)
    # From the instant on when the store has its name, and its parts are being removed.
    cut_each_prefix(bench, events, random.Random(1), start=len(events) - 3)
    assert any("is lost" in text for text in bench.tally.violations)


def event(name: str, *paths: str, content: bytes = b"") -> Event:
    return Event(Operation(name, tuple(f"/box{path}" for path in paths)), content)


def test_a_disk_keeps_what_was_flushed_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "before/a").write_bytes(b"old")
    disk = Disk(Path("/box"), tmp_path / "before")
    disk.apply(event("create", "/a.tmp"))
    disk.apply(event("fsync", "/a.tmp", content=b"new"))
    disk.apply(event("replace", "/a.tmp", "/a"))

    def after_cut(names: str) -> dict[str, bytes]:
        folder = tmp_path / f"{names}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        disk.write(folder, random.Random(0), names, "absent")
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    assert after_cut("none") == {"a": b"old"}
    assert after_cut("all") == {"a": b"new"}
    disk.apply(event("fsync", ""))
    assert after_cut("none") == {"a": b"new"}
    disk.apply(event("unlink", "/a"))
    assert after_cut("none") == {"a": b"new"}
    assert after_cut("all") == {}
