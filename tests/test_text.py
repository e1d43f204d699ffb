from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.report.text import printable, short_path
from featx.units import format_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("Blumen-äöü-花-🌼.jpg", "Blumen-äöü-花-🌼.jpg"),
        ("new\nline.jpg", r"new\nline.jpg"),
        ("tab\tand\rreturn", r"tab\tand\rreturn"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("bell\x07 null\x00 delete\x7f", r"bell\x07 null\x00 delete\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066isolated\u2069 \u200f\u061c", r"\u2066isolated\u2069 \u200f\u061c"),
        (os.fsdecode(b"\xff.jpg"), r"\udcff.jpg"),
        ("", ""),
    ],
)
def test_control_characters_are_written_out(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(st.characters(codec=None)))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    for char in shown:
        assert unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(char) not in (
            ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
        )
    assert len(shown.splitlines()) <= 1


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Zs"])))
def test_visible_text_is_not_touched(text: str) -> None:
    assert printable(text) == text


def test_paths_below_the_current_folder_are_shown_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "a" / "b.jpg") == os.path.join("a", "b.jpg")
    assert short_path("already/relative.jpg") == "already/relative.jpg"
    assert short_path(tmp_path) == str(tmp_path)
    # A neighbour whose name goes on after ours is not below us.
    assert short_path(f"{tmp_path}-2/b.jpg") == f"{tmp_path}-2/b.jpg"


def test_a_current_folder_that_is_gone_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert short_path("/somewhere/a.jpg") == "/somewhere/a.jpg"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_536_000, "1.5 MB"),
        (2_000_000_000, "2.0 GB"),
        (7_300_000_000_000, "7.3 TB"),
        (12_000_000_000_000_000, "12000.0 TB"),
    ],
)
def test_bytes_for_people(count: int, expected: str) -> None:
    assert format_bytes(count) == expected
