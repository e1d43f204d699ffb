"""Parts of pages: what is escaped, what is drawn where, and what a page's file may replace."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from featx.curation.pictures import PictureFile
from featx.errors import InvalidValue
from featx.events import Listener
from featx.images.roots import Root
from featx.report.page import Page, Section, check_page_path, element, write_page
from featx.report.page.charts import Bin, Point, draw_line, draw_reliability
from featx.report.page.markup import isolate
from featx.report.page.sprites import PER_SHEET, Sprites
from featx.report.page.tables import Bar, make_bars, make_matrix, make_table


def test_text_and_attributes_are_escaped_once() -> None:
    inner = element("b", "<&>", title="\"'<")
    assert element("p", inner, " & ") == (
        '<p><b title="&quot;&#x27;&lt;">&lt;&amp;&gt;</b> &amp; </p>'
    )
    assert element("p", "a\x00b\ud800\x1b\t\x7f\x85") == "<p>a␀b\ufffd␛␉␡\ufffd</p>"


def test_a_bar_is_as_long_as_its_value() -> None:
    table = make_bars("F1", ["class", "F1"], [Bar("rose", 0.25, (0.1, 1.2)), Bar("lily", 1.0)])
    assert re.findall(r'width="(\d+)" height="12" class="fill"', table) == ["25", "100"]
    assert re.findall(r'<line x1="(\d+)" x2="(\d+)"', table) == [("10", "100")], "cut at 1"
    assert "0.250" in table


def test_a_cell_says_both_classes_and_is_shaded_by_its_share_of_the_row() -> None:
    table = make_matrix("m", ["a", "b"], np.array([[3, 1], [0, 0]]))
    cells = re.findall(r"<td(?: class=\"(\w+)\" title=\"([^\"]*)\")?>(\d*)</td>", table)
    assert cells == [
        ("s3", "a → a: 3 of 4", "3"),
        ("f1", "a → b: 1 of 4", "1"),
        ("", "", ""),
        ("", "", ""),
    ]


def test_long_names_that_differ_at_their_ends_are_told_apart_beside_a_matrix() -> None:
    names = [f"Photographs from the botanical garden, part {n}" for n in (1, 2)]
    table = make_matrix("m", names, np.array([[3, 1], [0, 2]]))
    shown = re.findall(r"<bdi>([^<]*)</bdi>", table)
    assert shown[:2] == shown[2:]
    assert shown[0] != shown[1]
    assert max(map(len, shown)) <= 21
    assert re.findall(r'aria-label="(Phot[^"]*)"', table) == [*names, *names], "read out whole"


def test_points_of_a_line_are_where_their_values_are() -> None:
    points = [Point(n, y, y, y) for n, y in ((10, 0.0), (100, 0.5), (1000, 1.0))]
    chart = draw_line("d", ("n", "accuracy"), points, is_share=True)
    places = [
        (float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', chart)
    ]
    (left, low), (middle, half), (right, high) = places
    assert middle == pytest.approx((left + right) / 2, abs=0.02), "the axis is logarithmic"
    assert half == pytest.approx((low + high) / 2, abs=0.02)
    assert low > high, "more is above"


@pytest.mark.parametrize(
    ("values", "is_share"),
    [
        ((0.5,), True),
        ((1.0, 1.0), True),
        ((0.0, 0.0), True),
        ((0.97, 0.971), True),
        ((0, 1e6), False),
        ((2e-8, 9e-9), False),
        ((-31_000.0, 24_000.0), False),
        ((5.0, 5.0), False),
        ((0.0,), False),
    ],
)
def test_any_values_have_an_axis(values: tuple[float, ...], is_share: bool) -> None:
    points = [Point(n + 1, y, y, y) for n, y in enumerate(values)]
    chart = draw_line("d", ("n", "y"), points, is_share=is_share)
    heights = [float(y) for y in re.findall(r'cy="([-\d.]+)"', chart)]
    assert len(heights) == len(values)
    assert all(0 <= y <= 240 for y in heights)
    assert "nan" not in chart
    if len(set(values)) > 1 and not is_share:
        assert abs(heights[0] - heights[1]) > 50, "what differs is apart"
    marks = re.findall(r'text-anchor="end">([^<]*)<', chart)
    assert len(set(marks)) == len(marks) >= 2
    assert max(map(len, marks)) <= 6, "there is room for the axis' name"


def test_names_in_a_table_are_told_from_numbers() -> None:
    rows = [("rose", isolate("lily"), "3"), ("lily", isolate("x" * 200), "2")]
    table = make_table("m", ("true", "taken for", "images"), rows)
    assert re.findall(r'class="(name|number)"', table) == ["name", "number"] * 3


def test_a_calibrated_bin_is_on_the_dashed_line() -> None:
    chart = draw_reliability("d", [Bin(0.5, 0.5, 4), Bin(1.0, 1.0, 1)])
    line = re.search(
        r'x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" class="ideal"', chart
    )
    assert line is not None
    x1, y1, x2, y2 = map(float, line.groups())
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', chart)
    assert [tuple(map(float, dot)) for dot in dots] == [
        (pytest.approx((x1 + x2) / 2), pytest.approx((y1 + y2) / 2), 10.0),
        (x2, y2, 6.25),
    ]


def test_halves_share_a_row_and_contents_begin_with_three_sections() -> None:
    two = Page("t", "", (Section("a", "x"), Section("b", "y", is_half=True)))
    three = Page("t", "", (*two.sections, Section("c", "z", is_half=True)))
    assert "<nav" not in two.html()
    assert three.html().count('<li><a href="#s') == 3
    assert three.html().count('class="columns"') == 1


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    for title in ("first", "second"):
        write_page(Page(title, "", ()), path)
    assert "<title>second</title>" in path.read_text(encoding="utf-8")
    mine = tmp_path / "mine.html"
    mine.write_text("<p>my own page, about featx</p>")
    (tmp_path / "folder.html").mkdir()
    for name, message in (
        ("mine.html", "is not a page of featx"),
        ("folder.html", "is a folder"),
        ("a.pdf", "is an HTML file"),
        ("no/a.html", "there is no folder"),
    ):
        with pytest.raises(InvalidValue, match=message):
            check_page_path(tmp_path / name)
    assert mine.read_text() == "<p>my own page, about featx</p>"


def test_a_page_is_written_as_its_content_is_made(tmp_path: Path) -> None:
    def make_large_parts() -> Iterator[str]:
        for number in range(40):
            yield element("p", f"{number} " + "x" * 500_000)

    page = Page("t", "", (Section("a", make_large_parts()),))
    tracemalloc.start()
    write_page(page, tmp_path / "page.html")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "page.html").stat().st_size > 20_000_000
    assert peak < 5_000_000


def test_a_sheet_of_thumbnails_is_given_before_the_next_is_read(tmp_path: Path) -> None:
    read: list[int] = []

    class Counter(Listener):
        def advance(self, count: int) -> None:
            read.append(count)

    root = Root.parse(tmp_path)
    files = [PictureFile(root, f"{number}.png", bytes(16)) for number in range(2 * PER_SHEET + 1)]
    sheets = Sprites(files, Counter())
    made = [sum(read) for _ in sheets.make_sheets()]
    assert made == [PER_SHEET, 2 * PER_SHEET, 2 * PER_SHEET + 1]
    assert sheets.reason
    assert not sheets.sizes.any(), "none of them is there"
