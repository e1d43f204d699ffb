"""`--preprocess try`: it prints a table, chooses nothing and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import Program

SCALINGS = ["caffe", "tf", "torch", "unit", "raw"]
TOY = ("-m", "toy:colors")
"""Its last layer gives twice the mean colour: logits of three classes."""


@pytest.mark.parametrize("command", ["extract", "predict"])
def test_the_program_shows_a_table_and_writes_nothing(
    featx: Program, photos: Path, command: str
) -> None:
    before = sorted(photos.rglob("*"))
    shown = featx(command, ".", *TOY, "--preprocess", "try")
    assert shown.status == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0].split() == ["--preprocess", "confidence", "entropy", "classes", "spread"]
    assert [line.split()[0] for line in lines[2:7]] == SCALINGS
    assert "Nothing was chosen and nothing was written" in lines[-1]
    assert sorted(photos.rglob("*")) == before
    written = featx(command, ".", *TOY, "--preprocess", "try", "--json")
    assert [json.loads(line)["scaling"] for line in written.out.splitlines()] == SCALINGS
