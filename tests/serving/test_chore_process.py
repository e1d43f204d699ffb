"""Long work in a process of its own gives the same, and ends when it is told to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.curation import mapped_values
from featx.serving.chore_process import make_apart
from featx.serving.chores import Chore, ChoreFailed, GivenUp
from featx.serving.curated import MAKERS, MapPoints
from featx.serving.listings import Listing

PRINTS = """
for line in ("3", "[]", '{"stage": "of something else"}', "half {"):
    print("\\n".join([line] * 9000))
"""
"""More than a pipe holds, and no report: as a library may."""

LAYER, LAYOUT = "layer 'mean', the deepest in 'f.h5'", "layout: t-SNE"


def test_another_process_makes_the_same_whatever_it_prints(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(PRINTS)
    monkeypatch.syspath_prepend(tmp_path)
    chore = Chore()
    made = make_apart("audit", store, 24, chore)
    expected = MAKERS["audit"](store, Chore())
    assert isinstance(made, Listing)
    assert made == expected
    assert chore.stage not in ("", "of something else")  # It has said what it did.
    assert chore.remarks == made.about["remarks"]


def test_it_ends_when_nobody_waits_for_it(store: Path) -> None:
    chore = Chore()
    threading.Timer(0.1, lambda: setattr(chore, "is_cancelled", True)).start()
    with pytest.raises(GivenUp):
        make_apart("map", store, 24, chore)


def test_why_it_failed_is_said_without_its_place(tmp_path: Path) -> None:
    with pytest.raises(ChoreFailed) as error:
        make_apart("map", tmp_path / "none.h5", 24, Chore())
    assert "none.h5" in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_lists_and_maps_are_read_as_they_were_written(store: Path, tmp_path: Path) -> None:
    listed: Any = MAKERS["duplicates"](store, Chore())
    listed.write(tmp_path / "list")
    assert Listing.read(tmp_path / "list") == listed
    assert listed.cut(0, 1)[1] == listed.cut(0, 9)[1][:1]
    placed: Any = MAKERS["map"](store, Chore())
    placed.write(tmp_path / "map")
    again = MapPoints.read(tmp_path / "map", 24)
    for name in ("rows", "positions", "clusters"):
        assert (getattr(again, name) == getattr(placed, name)).all()
    assert (again.names, again.layout) == (placed.names, placed.layout)
    assert again.remarks == placed.remarks == (LAYER, LAYOUT)
    with pytest.raises(ValueError, match="another map"):
        MapPoints.read(tmp_path / "map", 23)


def test_features_in_a_temporary_file_give_the_same(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = []
    for most in (1 << 28, 0):
        monkeypatch.setattr(mapped_values, "MOST_IN_MEMORY", most)
        placed = featx.map_features(store, method="pca")
        copies = featx.find_duplicates(store, threshold=0.9)
        reports.append((placed.positions.tolist(), copies.groups, featx.audit(store).findings))
    assert reports[0] == reports[1]
