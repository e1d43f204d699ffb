"""Entry points are found wherever `importlib.metadata` finds them."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import zipfile
from pathlib import Path

import pytest

from featx.entry_points import find_entry_points

POINTS = "[demo.things]\nlate = demo:LATE\nearly = demo:EARLY\n"
METADATA = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


@pytest.mark.parametrize("layout", ["demo-1.0.dist-info", "demo.egg-info", "demo-1.0.egg/EGG-INFO"])
def test_of_packages_in_folders(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / layout
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(POINTS)
    (info / ("PKG-INFO" if "egg" in layout else "METADATA")).write_text(METADATA)
    monkeypatch.syspath_prepend(info.parent)
    found = find_entry_points("demo.things")
    assert {point.name for point in found} == {"early", "late"}
    assert set(found) == set(importlib.metadata.entry_points(group="demo.things"))


def test_of_packages_that_are_installed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    os.utime(tmp_path, (1, 1))  # Clocks of file systems may be coarse.
    assert not find_entry_points("demo.things")
    made = tmp_path / "made"
    made.mkdir()
    (made / "entry_points.txt").write_text(POINTS)
    (made / "METADATA").write_text(METADATA)
    made.rename(tmp_path / "demo-1.0.dist-info")
    assert {point.name for point in find_entry_points("demo.things")} == {"early", "late"}


def test_of_packages_in_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "demo.zip", "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", METADATA)
        archive.writestr("demo-1.0.dist-info/entry_points.txt", POINTS)
    monkeypatch.syspath_prepend(tmp_path / "demo.zip")
    assert {point.name for point in find_entry_points("demo.things")} == {"early", "late"}


def test_nothing_is_asked_where_no_package_mentions_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo-1.0.dist-info").mkdir()
    (tmp_path / "demo-1.0.dist-info" / "entry_points.txt").write_text(POINTS)
    (tmp_path / "not-a-folder.egg-info").write_text(METADATA)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "absent")])
    monkeypatch.delattr(importlib.metadata, "entry_points")
    assert not find_entry_points("demo.others")


def test_a_file_that_cannot_be_read_brings_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo-1.0.dist-info" / "entry_points.txt").mkdir(parents=True)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert not find_entry_points("demo.things")
