"""Predictions one by one: of pictures, of a store, to files, and how far they can be trusted."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import featx
from featx.errors import FingerprintMismatch, HeadError, InvalidValue, UnknownName
from featx.events import Listener
from featx.heads.head import load_head
from featx.heads.prediction_report import Prediction
from featx.models import SOURCES
from featx.options import DecisionOptions
from featx.report.prediction_files import check_prediction_path, write_prediction_file
from featx.testing import toy_model, write_images
from tests.cli.program import Program
from tests.store_samples import write_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Photos, a store of two layers, and a head on one of them."""
    folder = tmp_path_factory.mktemp("fitted")
    photos = write_images(60, folder / "photos", classes=("dark", "light"), size=(10, 10))
    layers = ["mean", "head/double"]
    featx.extract(photos, model=toy_model(), layers=layers, output=folder / "f.h5")
    featx.fit_head(folder / "f.h5", layer="mean", output=folder / "head")
    yield folder
    SOURCES.remove("toy")


def test_a_store_gives_what_its_pictures_give(folder: Path) -> None:
    options = {"coverage": 0.9, "novelty": True, "threshold": 0.6}
    head = folder / "head"
    pictures = featx.predict(folder / "photos", head=head, **options)
    stored = featx.predict(folder / "f.h5", head=head, **options)
    assert [one.path for one in stored.predictions] == [one.path for one in pictures.predictions]
    assert [one.classes for one in stored.predictions] == [
        one.classes for one in pictures.predictions
    ]
    for first, second in zip(stored.predictions, pictures.predictions, strict=True):
        assert first.probabilities == pytest.approx(second.probabilities, abs=1e-5)
        assert first.novelty == pytest.approx(second.novelty, abs=0.1)
    assert stored.num_fitted_on == pictures.num_fitted_on == 60


def test_a_coverage_that_takes_all_classes_is_said(folder: Path) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    for coverage, is_said in ((0.5, False), (0.99, True)):  # 12 images were held out.
        report = featx.predict(
            folder / "f.h5", head=folder / "head", coverage=coverage, listener=Notes()
        )
        assert (report.predictions[0].candidates == ("dark", "light")) == is_said
        assert any("to meet 0.99" in note for note in notes) == is_said


def test_an_open_store_is_taken_for_its_file(folder: Path) -> None:
    with featx.open_store(folder / "f.h5") as store:
        report = featx.predict(store, head=folder / "head")
    assert report == featx.predict(folder / "f.h5", head=folder / "head")


def test_a_report_is_a_data_frame(folder: Path) -> None:
    options = {"threshold": 1.0, "coverage": 0.9, "novelty": True}
    report = featx.predict(folder / "f.h5", head=folder / "head", top=2, **options)
    frame = report.to_pandas()
    names = ["path", "label", "class", "probability", "class_2", "probability_2"]
    assert list(frame.columns) == [*names, "unknown", "candidates", "novelty"]
    assert frame["path"].tolist() == [one.path for one in report.predictions]
    assert frame["class_2"].tolist() == [one.classes[1] for one in report.predictions]
    assert frame["novelty"].tolist() == [one.novelty for one in report.predictions]
    plain = featx.predict(folder / "f.h5", head=folder / "head", top=1).to_pandas()
    assert list(plain.columns) == names[:4]


@pytest.mark.parametrize("safe", [False, True])
def test_names_like_formulas_are_no_formulas_in_a_safe_table(tmp_path: Path, safe: bool) -> None:
    said = Prediction("=1.png", "+a", ("=HYPERLINK()", "plain"), (0.75, 0.25), candidates=("@b",))
    write_prediction_file(
        [said], tmp_path / "o.csv", 2, DecisionOptions(coverage=0.5), csv_safe=safe
    )
    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    mark = "'" if safe else ""
    assert (row["path"], row["label"], row["class"]) == tuple(
        mark + text for text in ("=1.png", "+a", "=HYPERLINK()")
    )
    assert (row["candidates"], row["class_2"], row["probability_2"]) == (
        f"{mark}@b",
        "plain",
        "0.25",
    )


def test_a_safe_table_needs_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(monkeypatch, capsys)
    for given in (("-o", "o.jsonl"), ()):
        done = program("predict", "f.h5", "--csv-safe", *given)
        assert (done.status, "--csv-safe goes with" in done.err) == (2, True)


def test_a_store_needs_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr("featx.features.embedding.restore_model", refuse)
    assert len(featx.predict([str(folder / "f.h5")], head=folder / "head").predictions) == 60


def test_features_of_another_kind_are_refused(folder: Path, tmp_path: Path) -> None:
    head = load_head(folder / "head")
    other = replace(head, model=replace(head.model, weights_sha256="other"))
    with pytest.raises(FingerprintMismatch, match="weights.*expected other"):
        featx.predict(folder / "f.h5", head=other)
    photos = folder / "photos"
    featx.extract(photos, model=toy_model(), layers=["head/double"], output=tmp_path / "o.h5")
    with pytest.raises(UnknownName, match="mean"):
        featx.predict(tmp_path / "o.h5", head=folder / "head")
    with pytest.raises(InvalidValue, match="by itself"):
        featx.predict([folder / "f.h5", photos], head=folder / "head")
    with pytest.raises(InvalidValue, match="predicted whole"):
        featx.predict(folder / "f.h5", head=folder / "head", split="train")


def test_pictures_are_read_while_predictions_are_taken(folder: Path) -> None:
    taken = 0

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        nonlocal taken
        for taken in range(1, 2001):
            yield f"{taken}.png", Image.new("RGB", (8, 8), (taken % 256, 0, 0))

    stream = featx.iter_predictions(pictures(), head=folder / "head", batch_size=8)
    results = iter(stream)
    for _ in range(10):
        next(results)
    assert stream.counts.num_images == 10
    assert taken < 500, "not all pictures are waited for"
    assert sum(1 for _ in results) == 1990


def test_errors_come_before_the_first_prediction(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(featx.errors.ImagesNotFound):
        featx.iter_predictions(tmp_path / "none", head=folder / "head")
    with pytest.raises(InvalidValue, match="between 0 and 1"):
        featx.iter_predictions(folder / "photos", head=folder / "head", coverage=1.0)
    with pytest.raises(InvalidValue, match="probability in"):
        featx.predict(folder / "photos", head=folder / "head", threshold=2)
    with pytest.raises(InvalidValue, match="goes with a head"):
        featx.predict(folder / "photos", model=toy_model(), coverage=0.9)


def test_heads_that_kept_nothing_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    old = replace(load_head(folder / "head"), evidence=None)
    old.save(tmp_path / "old")
    assert load_head(tmp_path / "old").evidence is None
    with pytest.raises(HeadError, match="older featx"):
        featx.predict(folder / "f.h5", head=tmp_path / "old", novelty=True)
    featx.fit_head(folder / "f.h5", layer="mean", test_size=0, output=tmp_path / "head")
    with pytest.raises(HeadError, match="without held-out"):
        featx.predict(folder / "f.h5", head=tmp_path / "head", coverage=0.9)
    report = featx.predict(folder / "f.h5", head=tmp_path / "head", novelty=True)
    assert all(0 <= (one.novelty or 0) <= 1 for one in report.predictions)


def test_the_threshold_makes_unknown(folder: Path) -> None:
    report = featx.predict(folder / "f.h5", head=folder / "head", threshold=0.98)
    expected = [one.probabilities[0] < 0.98 for one in report.predictions]
    assert [one.is_unknown for one in report.predictions] == expected
    assert report.num_unknown == sum(expected)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_hold_what_was_predicted(folder: Path, tmp_path: Path, ending: str) -> None:
    decision = DecisionOptions(threshold=0.98, coverage=0.9, novelty=True)
    report = featx.predict(folder / "f.h5", head=folder / "head", decision=decision, top=2)
    path = tmp_path / f"out.{ending}"
    write_prediction_file(report.predictions, path, 2, decision)
    if ending == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        candidates = [tuple(row["candidates"].split("|")) for row in rows]
        unknown = [row["unknown"] == "True" for row in rows]
    elif ending == "parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
        candidates = [tuple(row["candidates"]) for row in rows]
        unknown = [row["unknown"] for row in rows]
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["rank"] for line in lines[:4]] == [1, 2, 1, 2]
        rows = [line | {"label": None} for line in lines[::2]]
        candidates = [tuple(row["candidates"]) for row in rows]
        unknown = [row["unknown"] for row in rows]
    assert [row["class"] for row in rows] == [one.classes[0] for one in report.predictions]
    assert candidates == [one.candidates for one in report.predictions]
    assert unknown == [one.is_unknown for one in report.predictions]
    probabilities = np.array([float(row["probability"]) for row in rows])
    assert probabilities == pytest.approx([one.probabilities[0] for one in report.predictions])


def test_a_file_of_another_kind_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    for name, message in (("a.txt", ".csv, .jsonl, .parquet"), ("no/a.csv", "there is no folder")):
        with pytest.raises(InvalidValue, match=message):
            check_prediction_path(tmp_path / name)
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(InvalidValue, match="exists"):
        check_prediction_path(tmp_path / "mine.csv")
    check_prediction_path(tmp_path / "mine.csv", overwrite=True)


def test_rows_of_a_store_that_are_not_finite_are_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    labels = ["a", "b"] * 10
    write_sample(tmp_path / "f.h5", {"v": values}, labels=labels)
    featx.fit_head(tmp_path / "f.h5", kind="linear", output=tmp_path / "h")
    values[4, 1], values[11, 0] = np.nan, -np.inf
    write_sample(tmp_path / "nan.h5", {"v": values}, labels=labels)
    results = list(featx.iter_predictions(tmp_path / "nan.h5", head=tmp_path / "h"))
    failed = [one for one in results if isinstance(one, featx.ImageFailure)]
    assert [one.key for one in failed] == ["image_4.png", "image_11.png"]
    assert "NaN, infinite" in failed[0].reason
    assert len(results) == 20
    program = Program(monkeypatch, capsys)
    outcome = program("predict", tmp_path / "nan.h5", "--head", tmp_path / "h", "--json")
    assert outcome.status == 3
    assert len({json.loads(line)["path"] for line in outcome.out.splitlines()}) == 18
    assert outcome.err.count("its features are NaN, infinite or above 1e15") == 2
    write_sample(tmp_path / "all.h5", {"v": np.full((2, 3), np.nan, np.float32)})
    with pytest.raises(featx.errors.AllImagesFailed, match="NaN, infinite"):
        featx.predict(tmp_path / "all.h5", head=tmp_path / "h")
