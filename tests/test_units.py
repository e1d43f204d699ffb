"""Numbers as people write them, and as featx says them: no "1 images", no "0 images/s"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import featx
from featx.errors import InvalidValue
from featx.report.store_tables import show_extract_report
from featx.units import format_count, format_rate, parse_img_size


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("224", (224, 224)),
        ("224x320", (224, 320)),
        ("1X2", (1, 2)),
        ("0224", (224, 224)),
    ],
)
def test_image_sizes(text: str, expected: tuple[int, int]) -> None:
    assert parse_img_size(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "224x",
        "x224",
        "0",
        "0x5",
        "5x0",
        "-3",
        "1.5",
        "224,320",
        "1x2x3",
        "٣",
        "²",
        "1 x 2",
    ],
)
def test_other_image_sizes_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_img_size(text)
    assert f"Received: {text!r}." in str(caught.value)
    assert "img_size=(224, 320)" in str(caught.value)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_any_size_can_be_written(height: int, width: int) -> None:
    assert parse_img_size(f"{height}x{width}") == (height, width)


@given(st.text())
def test_any_other_text_is_refused_cleanly(text: str) -> None:
    try:
        height, width = parse_img_size(text)
    except InvalidValue:
        return
    assert text.lower() in (f"{height}", f"{height}x{width}") or "0" in text
