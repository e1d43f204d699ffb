"""The whole chain through the command line, with the toy model, value by value."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.store import open_store
from featx.testing import write_images
from tests.cli.program import Outcome, Program

TOY = ("-m", "toy:colors")


def lines(outcome: Outcome) -> list[dict[str, object]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_the_three_short_lines(featx: Program, photos: Path) -> None:
    assert featx("extract", *TOY, "--layer", "mean").status == 0
    assert featx("fit-head").status == 0
    found = featx("search", "light/image_1.png", "-k", "2", "--json")
    assert found.status == 0
    assert sorted(path.name for path in photos.iterdir()) == [
        "dark",
        "features.faiss",
        "features.h5",
        "head",
        "light",
    ]
    first, second = lines(found)
    assert first == {
        "query": "light/image_1.png",
        "rank": 1,
        "key": "light/image_1.png",
        "path": "light/image_1.png",
        "score": pytest.approx(1.0, abs=1e-6),
        "label": "light",
    }
    assert second["key"] == "light/image_3.png"
    assert "building the index 'features.faiss'" in found.err


def test_outputs_in_the_folder_are_not_taken_for_images(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "mean")
    featx("fit-head")
    featx("search", "dark/image_0.png")
    again = featx("extract", *TOY, "--layer", "mean", "--json")
    assert again.status == 0
    assert lines(again)[0] | {"seconds": 0} == {
        "output": "features.h5",
        "rows": 12,
        "done": 0,
        "skipped": 12,
        "reused": 0,
        "renamed": 0,
        "removed": 0,
        "missing": 0,
        "failed": 0,
        "images_per_second": 0.0,
        "dry_run": False,
        "seconds": 0,
        "failures": [],
        "run": {},
    }


def test_extract_reports_and_stores_what_was_asked(featx: Program, photos: Path) -> None:
    outcome = featx(
        "extract", ".", *TOY, "--layer", "map,mean", "--pool", "max", "-o", "f.h5", "--json",
        "--dtype", "float16", "-b", "5", "-j", "2",
    )  # fmt: skip
    report = lines(outcome)[0]
    assert report["done"] == 12
    assert report["images_per_second"] > 0  # type: ignore[operator]
    assert set(report["seconds"]) == {"load", "read", "compute", "write"}  # type: ignore[call-overload]
    assert report["run"]["precision"] == "float32"  # type: ignore[index]
    assert "12 images in" in outcome.err
    assert "2 class folders" in outcome.err
    with open_store("f.h5") as store:
        assert store.layers == ("map", "mean")
        assert store.features("map").dtype == np.float16
        np.testing.assert_allclose(store.features("mean")[0], [10 / 255, 0, 0], atol=1e-3)


def test_predict_gives_classes_probabilities_and_accuracy(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "mean")
    fitted = featx("fit-head", "--json")
    report = lines(fitted)[0]
    assert report["evaluation"]["accuracy"] == 1.0  # type: ignore[index]
    assert report["classes"] == ["dark", "light"]
    write_images(4, photos.with_name("new"), classes=("dark", "light"), size=(16, 16))
    outcome = featx("predict", photos.with_name("new"), "-k", "1", "--json")
    assert outcome.status == 0
    predictions = lines(outcome)
    assert len(predictions) == 4
    assert predictions[0].keys() == {"path", "rank", "class", "probability"}
    assert all(str(line["path"]).split("/")[-2] == line["class"] for line in predictions)
    assert outcome.err == "accuracy 1.0000 on the 4 new labelled images\n"
    known = featx("predict", ".").err
    assert "fitted on all 12 images" in known
    assert "accuracy 1" not in known


def test_tables_for_people(featx: Program, photos: Path) -> None:
    extracted = featx("extract", *TOY, "--layer", "mean")
    assert "features.h5: 12 rows (12 computed, 0 already there)" in extracted.out
    info = featx("info")
    assert "toy:colors" in info.out
    assert "2: dark 6, light 6" in info.out
    assert "mean" in info.out
    fitted = featx("fit-head")
    assert "accuracy 1.0000 on 2 held-out images" in fitted.out
    predicted = featx("predict", "dark/image_0.png")
    assert "dark/image_0.png" in predicted.out
    found = featx("search", "dark/image_0.png", "light/image_1.png", "-k", "2")
    assert found.out.count("1.0000") >= 2
    listed = featx("layers", "toy:colors")
    assert "head/double" in listed.out
    assert "3 of 3 layers of toy:colors" in listed.out


def test_info_as_json(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "map")
    summary = lines(featx("info", "--json"))[0]
    assert summary["rows"] == 12
    assert summary["classes"] == {"dark": 6, "light": 6}
    assert summary["features"][0]["shape"] == [2, 2, 3]  # type: ignore[index]
    assert summary["input"]["scaling"] == "unit"  # type: ignore[index]


def test_info_of_a_model_names_what_lists_its_layers(featx: Program, photos: Path) -> None:
    Path("net.keras").write_bytes(b"PK")
    Path("notes.txt").write_bytes(b"PK")
    expected = "If it is a model, `featx layers MODEL` shows its layers."
    assert expected in featx("info", "net.keras").err
    assert "model" not in featx("info", "notes.txt").err


def test_layers_by_pattern_and_as_json(featx: Program) -> None:
    listed = lines(featx("layers", "toy:colors", "m*", "--json"))
    assert listed == [
        {"index": 0, "name": "map", "kind": "layer", "type": "Quarters", "shape": [2, 2, 3],
         "stride": 4, "receptive_field": None, "parameters": None, "own_parameters": None,
         "trainable": None, "dtype": None, "bytes": 48, "detail": False},
        {"index": 1, "name": "mean", "kind": "layer", "type": "Mean", "shape": [3],
         "stride": None, "receptive_field": None, "parameters": None, "own_parameters": None,
         "trainable": None, "dtype": None, "bytes": 12, "detail": False},
    ]  # fmt: skip


def test_search_prints_bare_paths_and_takes_keys(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "mean")
    found = featx("search", "--key", "dark/image_0.png", "-f", "-k", "1")
    assert found.out == "dark/image_2.png\n"
    thresholded = featx("search", "dark/image_0.png", "-f", "--threshold", "0.99999999")
    assert "light" not in thresholded.out


def test_a_query_of_another_size_and_colour_mode(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "mean")
    Image.new("RGBA", (37, 91), (15, 200, 200, 255)).save("query.webp", lossless=True)
    found = featx("search", "query.webp", "-k", "99", "--json")
    assert [line["label"] for line in lines(found)[:6]] == ["light"] * 6
    assert len(lines(found)) == 12
    assert "the index holds 12 images: all of them are ranked" in found.err


def test_a_bad_image_is_one_line_and_status_3(featx: Program, photos: Path) -> None:
    (photos / "dark" / "image_2.png").write_bytes(b"not a picture")
    (photos / "light" / "empty.jpg").write_bytes(b"")
    outcome = featx("extract", *TOY, "--layer", "mean")
    assert outcome.status == 3
    failures = [line for line in outcome.err.splitlines() if line.startswith("failed: ")]
    assert failures == [
        "failed: dark/image_2.png: not an image in a format that featx reads",
        "failed: light/empty.jpg: the file is empty (0 bytes)",
    ]
    assert "11 rows (11 computed, 0 already there, 2 failed)" in outcome.out
    assert featx("extract", *TOY, "--layer", "mean").status == 3, "they still fail"
    info = featx("info")
    assert "2 images failed:" in info.out
    assert featx("predict", "light/empty.jpg", "--head", "head").status == 1, "no head yet"
    featx("fit-head")
    assert featx("predict", "light").status == 3
    assert featx("search", "light/empty.jpg", "dark/image_0.png").status == 3


def test_a_file_name_cannot_steer_the_terminal(featx: Program, photos: Path) -> None:
    (photos / "dark" / "image_0.png").rename(photos / "dark" / "\x1b[31m[red]\n.png")
    (photos / "dark" / "\x1b[2J.png").write_bytes(b"no")
    extracted = featx("extract", *TOY, "--layer", "mean")
    found = featx("search", "light/image_1.png", "-k", "12")
    for text in (extracted.out, extracted.err, found.out, featx("info").out):
        assert "\x1b" not in text
    assert "\\x1b[31m[red]\\n.png" in found.out
    assert "\\x1b[2J.png" in extracted.err
