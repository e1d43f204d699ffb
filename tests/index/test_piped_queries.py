"""Queries on the standard input: `featx search -`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from featx.errors import ImagesNotFound, InvalidValue
from featx.extraction import extract
from featx.index.searching import search
from tests.store_samples import write_color

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "b\nc": (0, 0, 255)}


@pytest.fixture
def store(toy: str, photos: Path, tmp_path: Path) -> Path:
    for name, color in COLORS.items():
        write_color(photos / f"{name}.png", color)
    extract(photos, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    return tmp_path / "f.h5"


def ask(
    data: bytes, store: Path, monkeypatch: pytest.MonkeyPatch, *others: str
) -> list[tuple[str, str]]:
    """Query and best match of each result."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    report = search(["-", *others], features=store, k=1)
    return [(result.query, result.matches[0].key) for result in report.results]


def test_lists_of_paths_and_keys(
    store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = str(photos / "red.png")
    assert ask(f"{red}\r\n\n{red}\n".encode(), store, monkeypatch) == [(red, "red.png")]
    assert ask(red.encode(), store, monkeypatch, str(photos / "green.png")) == [
        (str(photos / "green.png"), "green.png"),
        (red, "red.png"),
    ]
    (first, second) = ask(b"green.png\0b\nc.png\0", store, monkeypatch)
    assert [first[0], second[0]] == ["green.png", "b\nc.png"]
    assert first[1] != "green.png", "keys are not their own matches"
    newline = photos / "b\nc.png"
    assert ask(f"{newline}\0".encode(), store, monkeypatch) == [(str(newline), "b\nc.png")]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_pictures(kind: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 5), (0, 250, 0)).save(file, kind)
    assert ask(file.getvalue(), store, monkeypatch) == [("stdin", "green.png")]
    with pytest.raises(InvalidValue, match="only one"):
        ask(file.getvalue(), store, monkeypatch, "x.png")


def test_nothing_and_names_of_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValue, match="empty"):
        ask(b" \n", store, monkeypatch)
    with pytest.raises(ImagesNotFound, match=r"no\.png"):
        ask(b"no.png", store, monkeypatch)
