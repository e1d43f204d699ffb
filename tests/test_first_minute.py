"""The benchmark of the first minute: that its figures are what they are called."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import first_minute
from benchmarks.first_minute import (
    CELLS,
    PREDICT,
    SCRIPT,
    Bench,
    Clock,
    Turn,
    choose_cells,
    make_steady_table,
    make_table,
    measure,
)
from benchmarks.starting import read_import_times


def show(count: int, *turns: Turn) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(make_table({("VGG19", count): list(turns)}))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_ratios_and_shares_are_formed_in_each_round() -> None:
    turns = [Turn(10.0, 8.0, 4.0, 10.0), Turn(5.0, 6.0, 2.0, 8.0), Turn(10.0, 9.5, 2.5, 8.5)]
    text = show(341, *turns)
    assert "0.95 (0.80–1.20) ≤ 0.9 " in text
    assert "0.80 (0.50–1.00) ≥ 0.8 ✓" in text  # 1,023 pictures more took 6 s, 341 would take 2 s.


def test_goals_depend_on_the_number_of_pictures() -> None:
    turn = Turn(10.0, 9.5)
    assert "0.95 (0.95–0.95) ≤ 1.0 ✓" in show(1, turn)
    assert "≥" not in show(240, turn)


def test_the_script_is_one() -> None:
    compile(SCRIPT, "script", "exec")
    compile(PREDICT, "script", "exec")


def test_what_is_measured_is_the_table_unless_something_else_is_asked_for() -> None:
    assert choose_cells(None, None) == list(CELLS)
    assert choose_cells(["VGG19"], [1, 30]) == [("VGG19", 1), ("VGG19", 30)]
    assert choose_cells(["VGG19"], None) == [("VGG19", 1), ("VGG19", 240), ("VGG19", 341)]


def test_rounds_that_would_not_end_in_time_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class FakeBench:
        def take_turn(self, model: str, count: int) -> Turn:
            return Turn(200.0 if count > 1 else 1.0, 1.0)

    bench: Any = FakeBench()
    cells = measure(bench, [("VGG19", 1), ("VGG19", 240)], 3, Clock(minutes=2))
    assert {cell: len(turns) for cell, turns in cells.items()} == {
        ("VGG19", 1): 3,
        ("VGG19", 240): 1,
    }
    assert "round 3 of VGG19 on 240 pictures is left out" in capsys.readouterr().out


def test_a_heavy_module_that_slips_in_is_named() -> None:
    text = """import time: self [us] | cumulative | imported package
import time:       500 |        500 |     numpy.linalg
import time:      1500 |       2000 |   featx.store
import time:      8000 |       8000 |   sklearn.svm
"""
    assert read_import_times(text, {"numpy"}) == (3, 0.01, ["sklearn"])
    assert read_import_times(text, {"numpy", "sklearn"}) == (3, 0.01, [])


def test_a_turn_runs_the_script_and_featx_and_of_enough_pictures_featx_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def call(command: Sequence[str], environment: Any) -> tuple[float, str]:
        assert environment["FEATX_CACHE_DIR"] == str(tmp_path / "cache")
        called.append("featx" if "extract" in command else "script")
        report = json.dumps({"images_per_second": 400.0})
        return len(called), report if called[-1] == "featx" else "100.0\n"

    monkeypatch.setattr(first_minute, "call", call)
    (tmp_path / "VGG19.h5").write_bytes(b"")
    (tmp_path / "MobileNetV2.h5").write_bytes(b"")
    monkeypatch.setattr(first_minute, "copy_some", lambda *arguments: None)
    environment = {"FEATX_CACHE_DIR": str(tmp_path / "cache")}
    bench = Bench(tmp_path, tmp_path / "source", tmp_path, environment)
    assert bench.take_turn("VGG19", 240) == Turn(1, 2)
    assert bench.take_turn("VGG19", 341) == Turn(3, 4, 5, 6)
    assert called == ["script", "featx", "script", "featx", "featx", "featx"]
    assert bench.take_steady_turn() == (100.0, 400.0)
    console = Console(file=io.StringIO(), width=200)
    console.print(make_steady_table(bench, 3, Clock(minutes=60)))
    assert "4.00 (4.00–4.00) ≥ 4.0 ✓" in console.file.getvalue()  # type: ignore[attr-defined]
