"""The benchmark of speed: that it runs, and that its figures are what they are called."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from benchmarks.speeds.networks import NETWORKS
from benchmarks.speeds.pictures import PICTURE_SETS, link_fewer, make_photo, prepare, with_comment
from benchmarks.speeds.results import (
    bound_share,
    goals_of,
    missing_goals,
    name_bound,
    over,
    product_share,
    shared_cores,
)
from benchmarks.speeds.rounds import Cell, Measurement
from benchmarks.speeds.tables import make_goals, make_table


def measured(rate: float, **facts: object) -> Measurement:
    return Measurement(rate * 2, 2.0, peak=1 << 20, wall=3.0, others=0.0, facts=facts)


def two_rounds() -> Cell:
    """VGG19 at 20 and 30 images/s, where 25 and 50 are possible."""
    chosen = {"engine": "openvino", "precision": "bfloat16"}
    rounds = {
        "featx": [measured(20, **chosen), measured(30, **chosen)],
        "snippet": [measured(4), measured(5)],
        "engine": [measured(50, flops=10), measured(100, flops=10)],
        "decoding": [measured(50), measured(100)],
        "matmul": [measured(1, rates={"bfloat16": 400.0})] * 2,
    }
    return Cell(NETWORKS["VGG19"], "clothing", rounds=rounds, skipped={"torch": "no torch"})


def test_ratios_are_formed_in_each_round() -> None:
    cell = two_rounds()
    assert over("snippet")(cell) == [5.0, 6.0]
    assert shared_cores(cell) == [25.0, 50.0]
    assert bound_share(cell) == [0.8, 0.6]
    assert product_share(cell) == [0.5, 0.75]
    assert name_bound(cell).startswith("both (engine 50%, decoding 50%")


def test_each_goal_is_shown_with_its_figure_or_as_not_measured() -> None:
    cell = two_rounds()
    figures = {goal.title: spread.median for goal, spread in goals_of(cell)}
    assert figures["over model.predict per image"] == 5.5
    assert "over PyTorch, DataLoader" in {goal.title for goal, _ in missing_goals([cell])}
    console = Console(file=io.StringIO(), width=200)
    console.print(make_table([cell]), make_goals([cell]))
    text = console.file.getvalue()
    assert "5.50 (5.00–6.00)" in text
    assert "not measured: no torch" in text
    assert "0.70 (0.60–0.80)" in text


def test_an_interrupted_run_has_figures_of_its_whole_rounds() -> None:
    cell = two_rounds()
    cell.rounds["snippet"].pop()
    assert over("snippet")(cell) == [5.0]
    cell.rounds = {}
    assert (goals_of(cell), name_bound(cell)) == ([], "not known")
    make_table([cell])


def test_repeated_pictures_are_other_files_with_the_same_pixels(tmp_path: Path) -> None:
    photo = make_photo((40, 30), seed=0)
    other = with_comment(photo, "copy 1")
    assert other != photo
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (photo, other)]
    assert (pixels[0] == pixels[1]).all()
    folder = tmp_path / "all"
    assert not prepare(PICTURE_SETS["224px"], tmp_path / "nothing", 40, folder)
    assert len({path.read_bytes() for path in folder.rglob("*.jpg")}) == 40
    link_fewer(folder, 10, tmp_path / "fewer")
    assert len(list((tmp_path / "fewer").rglob("*.jpg"))) == 10
    assert len(list((tmp_path / "fewer").iterdir())) == 4, "of all classes"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "pictures", "competitors"),
    [
        ("mini", "224px", ["featx", "featx1", "keras", "engine", "decoding", "matmul"]),
        ("VGG19", "12mp", ["snippet"]),
    ],
)
def test_a_quick_run(network: str, pictures: str, competitors: list[str], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.speed", "--quick", "--networks", network]
    command += ["--pictures", pictures, "--competitors", *competitors, "--json", str(report)]
    result = subprocess.run(
        command,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (cell,) = json.loads(report.read_text())["cells"]
    assert cell["skipped"] == {}
    assert list(cell["rounds"]) == competitors
    assert all(run["rate"] > 0 for runs in cell["rounds"].values() for run in runs)
