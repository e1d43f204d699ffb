"""The contact sheet, pixel by pixel where it matters, and that it is no photograph."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx import extract
from featx.errors import InvalidValue
from featx.images.sources import find_images, folders, is_sheet
from featx.index.matches import Match
from featx.index.searching import QueryResult, SearchReport
from featx.report.contact_sheet import (
    MARGIN,
    RIGHT,
    TILE,
    WRONG,
    draw_contact_sheet,
    write_contact_sheet,
)
from featx.testing import toy_model, write_images


@pytest.fixture
def report(tmp_path: Path) -> SearchReport:
    paths = {}
    for name, color in {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}.items():
        path = tmp_path / "photos" / name / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (30, 30), color).save(path)
        paths[name] = str(path)
    matches = (
        Match(1, "red/red.png", paths["red"], 0.9, "red"),
        Match(2, "green/green.png", paths["green"], 0.8, "green"),
        Match(3, "blue/gone.png", str(tmp_path / "gone.png"), 0.7, None),
    )
    result = QueryResult(paths["red"], paths["red"], matches)
    return SearchReport((result,), (), 3, "mean")


def test_pictures_and_borders_are_where_they_belong(report: SearchReport, tmp_path: Path) -> None:
    write_contact_sheet(report, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        sheet = np.asarray(image)
    middle = MARGIN + TILE // 2
    lefts = [MARGIN] + [2 * MARGIN + column * (TILE + MARGIN) for column in (1, 2, 3)]
    centres = [tuple(sheet[middle, left + TILE // 2].tolist()) for left in lefts[:3]]
    assert centres == [(200, 0, 0), (200, 0, 0), (0, 200, 0)]
    assert tuple(sheet[middle, lefts[1] - 2].tolist()) == RIGHT
    assert tuple(sheet[middle, lefts[2] - 2].tolist()) == WRONG
    assert tuple(sheet[middle, lefts[3] - 2].tolist()) == (255, 255, 255), "no label, no border"
    assert tuple(sheet[MARGIN + 3, lefts[3] + 3].tolist()) == (235, 235, 235), "not readable"


def test_a_frame_is_around_a_region(report: SearchReport, tmp_path: Path) -> None:
    (result,) = report.results
    first = replace(result.matches[0], box=(0, 10, 15, 20), size=(30, 30))
    framed = replace(report, results=(replace(result, matches=(first, *result.matches[1:])),))
    sheet = np.asarray(draw_contact_sheet(framed))
    left = 2 * MARGIN + TILE + MARGIN
    changed = (sheet != np.asarray(draw_contact_sheet(report))).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (columns[0] - left, columns[-1] - left) == (0, TILE // 2 - 1)
    assert (rows[0] - MARGIN, rows[-1] - MARGIN) == (TILE // 3, 2 * TILE // 3 - 1)
    assert not changed[MARGIN + TILE // 2, left + TILE // 4], "only its edge"


def test_a_sheet_in_the_folder_is_not_taken_for_a_photograph(
    report: SearchReport, tmp_path: Path
) -> None:
    before = find_images(tmp_path / "photos").items
    write_contact_sheet(report, tmp_path / "photos" / "matches.png")
    assert find_images(tmp_path / "photos").items == before
    assert len(find_images(tmp_path / "photos" / "matches.png").items) == 1, "unless it is named"


def test_only_pictures_that_are_not_stored_are_looked_at(
    report: SearchReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_images(3, tmp_path / "few")
    looked_at = []

    def look(path: str) -> bool:
        looked_at.append(Path(path).name)
        return is_sheet(path)

    monkeypatch.setattr(folders, "is_sheet", look)
    extract(photos, model=toy_model(), layers=["mean"], output=tmp_path / "few.h5")
    assert len(looked_at) == 3
    looked_at.clear()
    (photos / "image_0.png").touch()
    write_contact_sheet(report, photos / "image_1.png.png")
    again = extract(photos, model=toy_model(), layers=["mean"], output=tmp_path / "few.h5")
    assert sorted(looked_at) == ["image_0.png", "image_1.png.png"]
    assert (again.rows, again.done, again.failed) == (3, 0, 0)


def test_keys_that_lead_out_of_their_root_are_not_drawn(
    report: SearchReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    red = report.results[0].path
    inside = str(Path(red).relative_to(tmp_path))
    keys = ["../red.png", red, inside]
    paths = [red, red, inside]  # The last as a picture has it that was passed in Python.
    matches = [Match(1, key, path, 0.9, None) for key, path in zip(keys, paths, strict=True)]
    key_result = QueryResult("../red.png", red, tuple(matches))
    write_contact_sheet(SearchReport((key_result,), (), 3, "mean"), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        colors = {color for _, color in image.getcolors(maxcolors=1 << 16) or ()}
    assert (200, 0, 0) not in colors


def test_queries_without_matches_and_no_queries_at_all(tmp_path: Path) -> None:
    nothing = SearchReport((QueryResult("gone.png", "gone.png", ()),), (), 3, "mean")
    for report in (nothing, SearchReport((), (), 3, "mean")):
        write_contact_sheet(report, tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert sheet.size[0] > TILE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sheet.jpg", "is a PNG file"),
        ("photos/red/red.png", "exists and is not a contact sheet"),
        ("no/such/sheet.png", "there is no folder"),
    ],
)
def test_nothing_else_is_overwritten(
    report: SearchReport, tmp_path: Path, name: str, message: str
) -> None:
    before = (tmp_path / "photos/red/red.png").read_bytes()
    with pytest.raises(InvalidValue, match=message):
        write_contact_sheet(report, tmp_path / name)
    assert (tmp_path / "photos/red/red.png").read_bytes() == before
    for _ in range(2):  # A sheet may be drawn again.
        write_contact_sheet(report, tmp_path / "sheet.png")


def test_a_sheet_has_bounds(tmp_path: Path) -> None:
    match = Match(1, "a.png", "a.png", 0.5, None)
    report = SearchReport(
        tuple(QueryResult("q", "q", (match,) * 25) for _ in range(51)), (), 9, "m"
    )
    write_contact_sheet(report, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width < 3000
        assert sheet.height < 9000


def test_a_name_of_any_length_is_cut_in_no_time(report: SearchReport, tmp_path: Path) -> None:
    def sheet(label: str) -> np.ndarray:
        match = Match(1, "red/red.png", report.results[0].path, 0.9, label)
        result = QueryResult("gone.png", "gone.png", (match,))
        write_contact_sheet(SearchReport((result,), (), 1, "mean"), tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as image:
            return np.asarray(image)

    start = time.process_time()
    assert (sheet("x" * 100_000) == sheet("x" * 100)).all()
    assert time.process_time() - start < 5, "each letter that was cut off drew all the others"
