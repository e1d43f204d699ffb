"""Matches as pictures: the page, and previews in the terminal, decoded again."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.errors import InvalidValue
from featx.images.roots import Root
from featx.index.matches import Match
from featx.index.searching import QueryResult, SearchReport
from featx.report.json_lines import write_matches_csv
from featx.report.page.thumbnails import Thumbnails
from featx.report.preview import (
    choose_protocol,
    draw_previews,
    half_blocks,
    iterm2,
    kitty,
    sixel,
)
from featx.report.search_page import make_search_page, write_search_page
from tests.browser import Browser

COLORS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


@pytest.fixture
def report(tmp_path: Path) -> SearchReport:
    for name, color in COLORS.items():
        path = tmp_path / "photos" / name / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (30, 30), color).save(path)
    root = Root.parse(tmp_path / "photos")
    matches = tuple(
        Match(rank, f"{name}/{name}.png", root.location(f"{name}/{name}.png"), 1 - rank / 10, label)
        for rank, (name, label) in enumerate(
            [("red", "red"), ("green", "<b>green</b>"), ("gone", None)], start=1
        )
    )
    outside = Match(4, "../../etc/x.png", root.location("../../etc/x.png"), 0.1, None)
    query = root.location("red/red.png")
    results = (
        QueryResult(query, query, (*matches, outside)),
        QueryResult("blue/blue.png", root.location("blue/blue.png"), ()),
    )
    return SearchReport(results, (), 3, "mean", root)


def test_the_page_has_what_was_found(report: SearchReport) -> None:
    with Thumbnails() as thumbnails:
        html = make_search_page(report, thumbnails).html()
    assert html.count("<img ") == 4, "red twice, green, and blue, which is a query"
    assert "&lt;b&gt;green&lt;/b&gt;" in html
    assert "<b>" not in html
    assert html.count('class="is-right"') == 1
    assert html.count('class="is-wrong"') == 1
    assert "1: 0.900" in html
    assert "No match." in html
    assert html.count('class="missing"') == 2, "one is gone, one leads out of the folder"


def test_the_page_has_frames_around_regions(report: SearchReport) -> None:
    first = replace(report.results[0].matches[0], box=(3, 4, 13, 24), size=(30, 40))
    result = replace(report.results[0], matches=(first,))
    with Thumbnails() as thumbnails:
        html = make_search_page(replace(report, results=(result,)), thumbnails).html()
    assert html.count('viewBox="0 0 30 40"') == 1
    assert '<rect x="3" y="4" width="10" height="20" class="frame"' in html
    assert "region 3, 4, 13, 24" in html


def test_only_pages_of_featx_are_replaced(report: SearchReport, tmp_path: Path) -> None:
    write_search_page(report, tmp_path / "page.html")
    write_search_page(report, tmp_path / "page.html")
    (tmp_path / "own.html").write_text("mine")
    with pytest.raises(InvalidValue, match="left alone"):
        write_search_page(report, tmp_path / "own.html")


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_sticks_out_of_the_page(
    report: SearchReport, tmp_path: Path, browser: Browser, width: int
) -> None:
    write_search_page(report, tmp_path / "page.html")
    browser.open(tmp_path / "page.html", width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert all(address.startswith(("file:", "data:")) for address in browser.requested())


def test_half_blocks_are_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)
    text = half_blocks(Image.fromarray(pixels), 2)
    numbers = re.findall(r"38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", text)
    found = np.array(numbers, int).reshape(2, 3, 2, 3).transpose(0, 2, 1, 3).reshape(4, 3, 3)
    assert found.tolist() == pixels.tolist()


@pytest.mark.parametrize("draw", [kitty, iterm2])
def test_png_protocols_hold_the_picture(draw: object) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    text = draw(Image.fromarray(pixels), 4)  # type: ignore[operator]
    if draw is kitty:
        parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
        assert [options.rsplit("m=")[1] for options, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
        assert all(len(part) <= 4096 for _, part in parts)
        data = "".join(part for _, part in parts)
    else:
        data = text.removesuffix("\x07").rsplit(":", 1)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_sixels_are_the_pixels() -> None:
    """Decoded as DEC STD 070 describes them."""
    pixels = np.zeros((13, 9, 3), np.uint8)
    pixels[2:9, 3:] = (255, 0, 0)
    pixels[7:, :4] = (0, 51, 204)
    text = sixel(Image.fromarray(pixels), 1)
    assert text.startswith('\x1bPq"1;1;9;13')
    assert text.endswith("\x1b\\")
    body = text[text.index("#") : -2]
    palette = {
        int(number): tuple(round(int(v) * 255 / 100) for v in color)
        for number, *color in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", body)
    }
    body = re.sub(r"#\d+;2;\d+;\d+;\d+", "", body)
    found = np.full((18, 9, 3), 7, np.uint8)
    for band, line in enumerate(body.split("-")[:-1]):
        for number, cells in re.findall(r"#(\d+)([?-~]*)\$", line):
            for x, cell in enumerate(cells):
                for y in range(6):
                    if (ord(cell) - 63) >> y & 1:
                        found[6 * band + y, x] = palette[int(number)]
    assert np.array_equal(found[:13], pixels)


def test_previews_are_rows_with_captions(report: SearchReport) -> None:
    first, second, empty = draw_previews(report, half_blocks, width=40, height=5)
    assert len(first.splitlines()) == 6
    assert first.splitlines()[-1].split() == ["query", "1", "0.900", "r…", "2", "0.800", "<…"]
    assert second.splitlines()[-1].split()[0] == "3"
    assert empty.splitlines()[-1] == "query"
    assert "38;2;200;0;0;48;2;200;0;0m▀" in first
    assert "38;2;235;235;235;48;2;235;235;235m▀" in second, "what cannot be read is grey"


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-256color"}, half_blocks),
        ({}, half_blocks),
        ({"TERM": "xterm-kitty"}, kitty),
        ({"TERM": "xterm-ghostty"}, kitty),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x", "KITTY_WINDOW_ID": "1"}, half_blocks),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, iterm2),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, iterm2),
        ({"TERM": "foot"}, sixel),
        ({"TERM": "mlterm"}, sixel),
    ],
)
def test_terminals_are_known_by_their_variables(
    environment: dict[str, str], protocol: object
) -> None:
    assert choose_protocol(environment) is protocol


@pytest.mark.parametrize("safe", [False, True])
def test_names_like_formulas_are_no_formulas_in_a_safe_table(
    safe: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    match = Match(1, "+1.png", "@2.png", -0.5, "=HYPERLINK()")
    report = SearchReport((QueryResult("+q.png", "+q.png", (match,)),), (), 1, "mean")
    write_matches_csv(report, csv_safe=safe)
    row = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    mark = "'" if safe else ""
    names = [row[name] for name in ("query", "label", "key", "path")]
    assert names == [mark + text for text in ("+q.png", "=HYPERLINK()", "+1.png", "@2.png")]
    assert row["score"] == "-0.5", "a number is none"
