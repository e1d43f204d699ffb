"""The benchmark of the first minute: that its figures are what they are called."""

from __future__ import annotations

import io

from rich.console import Console

from benchmarks.first_minute import SCRIPT, Turn, make_table

SPENT = {"load": 1.0, "convert": 0.5, "compare": 0.5, "read": 0.1, "compute": 1.5, "write": 0.4}


def show(count: int, *turns: Turn) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(make_table({("VGG19", count): list(turns)}))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_ratios_and_shares_are_formed_in_each_round() -> None:
    turns = [Turn(10.0, 8.0, 4.0, SPENT), Turn(5.0, 6.0, 2.0, SPENT), Turn(10.0, 9.5, 2.5, SPENT)]
    text = show(341, *turns)
    assert "0.95 (0.80–1.20) ≤ 0.9 " in text
    assert "0.80 (0.50–1.00) ≥ 0.8 ✓" in text


def test_goals_depend_on_the_number_of_pictures() -> None:
    turn = Turn(10.0, 9.5, 4.0, SPENT)
    assert "0.95 (0.95–0.95) ≤ 1.0 ✓" in show(1, turn)
    assert "≥" not in show(240, turn)


def test_the_script_is_one() -> None:
    compile(SCRIPT, "script", "exec")
