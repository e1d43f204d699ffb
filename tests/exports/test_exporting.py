"""What all formats have in common: names, layers, pooling, and what is left alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import ExportError, InvalidValue, StoreNotFound, UnknownName
from featx.exports.formats import EXPORTS
from tests.cli.program import Program
from tests.exports.conftest import HOSTILE_KEYS, Notes
from tests.store_samples import write_sample

OUTPUTS = {"npy": "out.npy", "parquet": "out.parquet", "csv": "out.csv", "tensorboard": "out"}

every_format = pytest.mark.parametrize("name", EXPORTS.names)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)


@every_format
def test_the_format_follows_from_the_name(name: str, hostile: Path, tmp_path: Path) -> None:
    output = tmp_path / OUTPUTS[name]
    report = featx.export_store(hostile, output)
    assert (report.format, report.output, report.layer) == (name, str(output), "gap")
    assert (report.rows, report.columns) == (len(HOSTILE_KEYS), 5)
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path != hostile]
    assert report.bytes == sum(path.stat().st_size for path in made)
    assert not [path for path in made if ".tmp" in path.name]


def test_upper_case_endings_are_endings(hostile: Path, tmp_path: Path) -> None:
    assert featx.export_store(hostile, tmp_path / "OUT.CSV").format == "csv"


def test_an_existing_folder_is_for_tensorboard_whatever_its_name(
    hostile: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs.v2").mkdir()
    assert featx.export_store(hostile, tmp_path / "runs.v2").format == "tensorboard"


def test_a_format_that_is_named_needs_no_ending(hostile: Path, tmp_path: Path) -> None:
    report = featx.export_store(hostile, tmp_path / "array.bin", format="npy")
    assert report.format == "npy"
    assert (tmp_path / "array.bin.keys.csv").exists()
    assert np.load(tmp_path / "array.bin").shape == (len(HOSTILE_KEYS), 5)


def test_an_unknown_ending_lists_the_endings(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"\.npy, \.parquet or \.csv.*format='npy', "):
        featx.export_store(hostile, tmp_path / "out.xlsx")


def test_a_name_must_not_promise_another_format(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"out\.csv.*format 'csv'.*format='parquet'"):
        featx.export_store(hostile, tmp_path / "out.csv", format="parquet")


def test_an_unknown_format_is_refused(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean parquet"):
        featx.export_store(hostile, tmp_path / "out", format="parqet")


@pytest.mark.parametrize("output", ["folder.npy", "no/such/out.csv", "no/such/board"])
def test_places_where_nothing_can_be_written(output: str, hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InvalidValue, match="with output="):
        featx.export_store(hostile, tmp_path / output)


def test_a_file_is_no_folder_for_tensorboard(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "board").write_text("mine")
    with pytest.raises(InvalidValue, match="is a folder. Received"):
        featx.export_store(hostile, tmp_path / "board", overwrite=True)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        featx.export_store(tmp_path / "no.h5", tmp_path / "out.npy")


def test_an_unknown_layer_lists_the_layers(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="It has gap"):
        featx.export_store(hostile, tmp_path / "out", layer="gab")
    assert not (tmp_path / "out").exists()


@every_format
def test_an_empty_store_is_refused(name: str, tmp_path: Path) -> None:
    write_sample(tmp_path / "empty.h5", {"gap": np.zeros((0, 5), np.float32)})
    with pytest.raises(ExportError, match="holds no features.*open_store.*failures"):
        featx.export_store(tmp_path / "empty.h5", tmp_path / OUTPUTS[name])
    assert [path.name for path in tmp_path.iterdir()] == ["empty.h5"]


@every_format
def test_what_exists_is_replaced_only_by_force(name: str, hostile: Path, tmp_path: Path) -> None:
    output = tmp_path / OUTPUTS[name]
    featx.export_store(hostile, output)
    if output.is_dir():
        (output / "events.out.tfevents").write_text("another program's")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_sample(tmp_path / "other.h5", {"gap": np.ones((2, 3), np.float32)})
    with pytest.raises(ExportError, match="overwrite=True"):
        featx.export_store(tmp_path / "other.h5", output)
    assert {path: path.read_bytes() for path in before} == before

    assert featx.export_store(tmp_path / "other.h5", output, overwrite=True).rows == 2
    if output.is_dir():
        assert (output / "events.out.tfevents").read_text() == "another program's"
    assert hostile.read_bytes() == before[hostile]


def test_one_of_two_files_is_enough_to_refuse(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "out.keys.csv").write_text("mine")
    with pytest.raises(ExportError, match=r"out\.keys\.csv' exists already"):
        featx.export_store(hostile, tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()


def test_the_store_itself_is_never_replaced(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(hostile)
    for output in (hostile, tmp_path / "link"):
        with pytest.raises(ExportError, match="is the feature store itself"):
            featx.export_store(hostile, output, format="npy", overwrite=True)


def test_a_folder_in_the_place_of_a_file_is_left_alone(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "out.keys.csv").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        featx.export_store(hostile, tmp_path / "out.npy", overwrite=True)


def test_behind_a_link_the_file_is_replaced(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "real.csv").write_text("old")
    (tmp_path / "out.csv").symlink_to(tmp_path / "disk" / "real.csv")
    featx.export_store(hostile, tmp_path / "out.csv", overwrite=True)
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "disk" / "real.csv").read_text().startswith("key,label,f0")


@every_format
def test_a_failed_write_leaves_nothing(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    store = tmp_path / "features.h5"
    write_sample(store, {"gap": np.random.default_rng(0).random((200, 50), np.float32)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # As a full disk: writing fails.
    try:
        with pytest.raises(ExportError, match="cannot be written: File too large"):
            featx.export_store(store, tmp_path / OUTPUTS[name])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["features.h5"]


@every_format
def test_a_failed_write_leaves_what_was_there(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    store, output = tmp_path / "features.h5", tmp_path / OUTPUTS[name]
    write_sample(store, {"gap": np.random.default_rng(0).random((200, 50), np.float32)})
    featx.export_store(store, output)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ExportError):
            featx.export_store(store, output, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_deepest_layer_is_taken_and_named(tmp_path: Path, notes: Notes) -> None:
    layers = {"first": np.zeros((2, 3), np.float32), "last": np.ones((2, 4), np.float32)}
    write_sample(tmp_path / "f.h5", layers)
    report = featx.export_store(tmp_path / "f.h5", tmp_path / "out.npy", listener=notes)
    assert (report.layer, report.columns) == ("last", 4)
    assert notes.notes == [f"layer 'last', the deepest in {str(tmp_path / 'f.h5')!r}"]
    assert (notes.stages, notes.advanced) == ([("rows", 2)], [2])


def test_another_layer_can_be_named(tmp_path: Path) -> None:
    layers = {"first": np.zeros((2, 3), np.float32), "last": np.ones((2, 4), np.float32)}
    write_sample(tmp_path / "f.h5", layers)
    featx.export_store(tmp_path / "f.h5", tmp_path / "out.npy", layer="first")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), layers["first"])


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A store of maps (h, w, c) = (2, 3, 4)."""
    maps = np.random.default_rng(1).random((7, 2, 3, 4), np.float32)
    write_sample(tmp_path / "maps.h5", {"conv": maps})
    return tmp_path / "maps.h5", maps


@every_format
def test_maps_are_pooled(name: str, maps: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    store, _ = maps
    assert featx.export_store(store, tmp_path / OUTPUTS[name]).columns == 4
    report = featx.export_store(store, tmp_path / OUTPUTS[name], pool="flatten", overwrite=True)
    assert report.columns == 24


@pytest.mark.parametrize("name", ["parquet", "csv", "tensorboard"])
def test_only_an_array_can_hold_maps(
    name: str, maps: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(InvalidValue, match=r"2×3×4. Use pool='avg'.*\.npy"):
        featx.export_store(maps[0], tmp_path / OUTPUTS[name], pool="none")
    assert [path.name for path in tmp_path.iterdir()] == ["maps.h5"]


@every_format
def test_vectors_need_no_pooling(name: str, hostile: Path, tmp_path: Path) -> None:
    assert featx.export_store(hostile, tmp_path / OUTPUTS[name], pool="none").columns == 5


def test_a_pooling_that_cannot_be_undone_is_noted(tmp_path: Path, notes: Notes) -> None:
    write_sample(tmp_path / "f.h5", {"conv": np.ones((2, 4), np.float32)}, pool="max")
    featx.export_store(tmp_path / "f.h5", tmp_path / "out.npy", pool="gem", listener=notes)
    assert notes.notes == ["'conv' was stored with 'max' pooling, which is kept"]


def test_unknown_pooling(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Choose none, avg"):
        featx.export_store(hostile, tmp_path / "out.npy", pool="median")  # type: ignore[arg-type]


def test_the_command_says_what_it_wrote(hostile: Path, tmp_path: Path, program: Program) -> None:
    outcome = program("export", hostile, "-o", tmp_path / "out.csv")
    assert outcome.status == 0
    assert f"out.csv: {len(HOSTILE_KEYS)} rows of layer gap, 5 values each" in outcome.out
    assert len(outcome.out.splitlines()) == 1
    again = program("export", hostile, "-o", tmp_path / "out.csv")
    assert (again.status, again.out) == (1, "")
    assert again.err.startswith("featx: ")
    assert "--overwrite" in again.err

    outcome = program("export", hostile, "-o", tmp_path / "out.csv", "--force", "--json")
    assert json.loads(outcome.out) == {
        "output": str(tmp_path / "out.csv"),
        "format": "csv",
        "layer": "gap",
        "rows": len(HOSTILE_KEYS),
        "columns": 5,
        "bytes": (tmp_path / "out.csv").stat().st_size,
    }


def test_the_command_says_how_to_open_a_board(
    colors: Path, tmp_path: Path, program: Program
) -> None:
    outcome = program("export", colors, "-o", tmp_path / "a board")
    assert f"tensorboard --logdir '{tmp_path / 'a board'}'" in outcome.err
    assert "5 rows" in outcome.out


def test_help_names_every_format(program: Program) -> None:
    text = program("export", "--help").out
    assert "|".join(EXPORTS.names) in text


def test_keys_and_rows_stay_together_across_blocks(
    hostile: Path, values: np.ndarray, tmp_path: Path, small_blocks: None
) -> None:
    for output in ("out.npy", "out.csv"):
        featx.export_store(hostile, tmp_path / output)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), values)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == list(HOSTILE_KEYS)
