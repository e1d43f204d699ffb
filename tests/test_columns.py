"""Tables: what is drawn at which width, and in a pipe."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from featx.report.columns import Column, Table, wrap_name
from featx.report.console import draw_bar
from featx.report.drawing import make_table, print_result
from featx.report.encoding import allow_any_text
from featx.report.store_tables import describe_counts

LONG = "/data/photos/flowers_2024/train/daisy/image_0804.jpg"


def draw(width: int | None, **kinds: str) -> list[str]:
    table = Table([Column(name.replace("_", " "), kind) for name, kind in kinds.items()])
    table.add_row(LONG, "12,345", "GlobalAveragePooling2D")
    table.add_row("花/1.jpg", "7", "Dense")
    return table.lines(width)


def test_a_pipe_gets_all_in_one_line() -> None:
    lines = draw(None, image="name", per_image="number", type="cut")
    assert lines[0] == f"{'image':<{len(LONG)}}   per image   type"
    assert lines[2] == f"{LONG}      12,345   GlobalAveragePooling2D"
    assert cell_len(lines[3][: lines[3].index("Dense")]) == lines[2].index("Global")


def test_names_break_and_types_are_cut_with_a_mark() -> None:
    lines = draw(60, image="name", per_image="number", type="cut")
    assert all(cell_len(line) <= 60 for line in lines)
    text = "".join(line[: lines[1].index("image") - 3] for line in lines[3:5])
    assert text.replace(" ", "") == LONG
    assert any(line.endswith("…") for line in lines)
    assert "12,345" in lines[3]


def test_a_table_of_many_numbers_fits_into_80_columns() -> None:
    numbers = ("stride", "field", "own", "parameters", "per image")
    names = [Column("layer"), Column("type", "cut"), Column("shape")]
    table = Table([Column("index", "number"), *names, *(Column(n, "number") for n in numbers)])
    cells = ("13", "block_1_depthwise_relu", "DepthwiseConv2D", "112×112×96", "4", "11")
    table.add_row(*cells, "36,864", "372,416", "301.1 kB")
    lines = table.lines(80)
    assert max(map(cell_len, lines)) <= 80
    assert [line[6:19].strip() for line in lines[3:]] == ["block_1_", "depthwise_", "relu"]


def test_a_path_that_is_to_be_copied_is_never_broken() -> None:
    table = make_table("rank", "image", right=(0,), whole=True)
    table.add_row("1", LONG)
    lines = table.lines(30)
    assert lines[2] == f"   1   {LONG}"
    assert len(lines[1]) <= 30


@given(st.text("ab/_-. é花", min_size=1, max_size=60), st.integers(4, 30))
def test_nothing_of_a_name_is_lost(name: str, width: int) -> None:
    lines = wrap_name(name, width)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert all(cell_len(line) <= width for line in lines)


def test_control_characters_and_lines() -> None:
    table = make_table("image", "class", right=())
    table.add_row("a\nb", ["cat", "dog"])
    table.add_section()
    table.add_row("c", "d")
    assert table.lines()[2:] == ["a\\nb    cat", "        dog", "", "c       d"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "ascii", "cp437", "utf-16"])
def test_a_table_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    allow_any_text(stream)
    table = make_table("image", "shape", right=())
    table.add_row("花.jpg", "7×7×512 – …")
    print_result(table)
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    assert text.count("\n") == 3
    assert "7x7x512" in text.replace("×", "x")
    assert ("花.jpg" in text) == encoding.startswith("utf")
    assert ("\\u82b1.jpg" in text) != encoding.startswith("utf")


def test_counts_of_classes_that_are_numbers_can_be_told_from_them() -> None:
    assert describe_counts({"cat": 3142, "dog": 5}) == "cat 3,142, dog 5"
    assert describe_counts({"0": 3142, "1": 3139}) == "0 (3,142), 1 (3,139)"


def test_an_empty_bar_looks_empty() -> None:
    assert draw_bar(0).strip("|").strip() == ""
    assert draw_bar(1).strip("|").strip("#") == ""
    assert draw_bar(0.5).count("#") == 20
