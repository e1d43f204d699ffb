"""Images per second: of the images that were computed, in the time that this took."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featx
from featx.extraction.report import Outcome
from featx.report.store_tables import describe_run, show_extract_report


def outcome(done: int, seconds: float, choosing: float, images_choosing: int) -> Outcome:
    return Outcome(
        rows=done,
        done=done,
        skipped=0,
        reused=0,
        renamed=frozenset(),
        vanished=(),
        failures={},
        seconds={"choose": choosing},
        total_seconds=seconds,
        images_choosing=images_choosing,
    )


def test_the_choice_of_an_engine_is_no_computing() -> None:
    assert outcome(108, 30.0, 20.0, 8).images_per_second == 10.0
    assert outcome(8, 30.0, 20.0, 8).images_per_second == 0.0
    assert outcome(0, 0.0, 0.0, 0).images_per_second == 0.0


def test_a_rate_that_is_not_known_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = {"load": 1.0, "read": 0.0, "compute": 0.2, "write": 0.1, "choose": 20.0}
    show_extract_report(featx.ExtractReport("f.h5", 8, 8, 0, 0, 0, 0, 0, 0, seconds=seconds))
    assert capsys.readouterr().out.splitlines()[1] == (
        "seconds: load 1.0, choose the engine 20.0, waiting for images 0.0, compute 0.2, write 0.1"
    )


def test_runs_in_a_store_say_the_same() -> None:
    run = {"started": "2026-01-31T09:30:00", "engine": "openvino", "precision": "float32"}
    run |= {"computed": 108, "seconds": 30.0, "featx": "1"}
    chosen = {"choosing_seconds": 20.0, "choosing_images": 8}
    first = "108 images on 2026-01-31 09:30 UTC in 30.0 s, "
    assert describe_run(run)[0] == f"{first}3.6 images/s"  # Of older stores nothing else is known.
    assert describe_run(run | chosen) == [f"{first}10 images/s", "openvino in float32", "featx 1"]
    assert describe_run(run | chosen | {"computed": 8})[0].endswith(" in 30.0 s")


def test_an_extraction_records_how_long_choosing_took(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    report = featx.extract(pictures, output=tmp_path / "f.h5")
    assert report.seconds["choose"] > 0
    with featx.open_store(tmp_path / "f.h5") as store:
        (run,) = store.header.runs
    assert run["choosing_images"] == 8
    assert 0 < run["choosing_seconds"] < run["seconds"]
