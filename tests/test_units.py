"""Numbers in what featx says: no "1 images", no "0 images/s"."""

from __future__ import annotations

import pytest

import featx
from featx.report.store_tables import show_extract_report
from featx.units import format_count, format_rate


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1000, "1,000 images")]
)
def test_one_is_singular(count: int, text: str) -> None:
    assert format_count(count, "image") == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.0, "0"), (0.004, "0.004"), (0.04, "0.04"), (0.4, "0.4"), (9.94, "9.9"), (1200.4, "1,200")],
)
def test_a_slow_rate_is_not_nothing(rate: float, text: str) -> None:
    assert format_rate(rate) == text


def test_a_slow_extraction_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = dict.fromkeys(("load", "read", "compute", "write"), 0.0)
    show_extract_report(
        featx.ExtractReport("f.h5", 1, 1, 0, 0, 0, 0, 0, 0, images_per_second=0.4, seconds=seconds)
    )
    rows, speed = capsys.readouterr().out.splitlines()
    assert rows.endswith("f.h5: 1 row (1 computed, 0 already there)")
    assert speed.startswith("0.4 images/s; ")
