"""`featx.evaluate` and `featx evaluate`: a head on other images, and on stores."""

from __future__ import annotations

import csv
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

import featx
from featx.errors import FingerprintMismatch, HeadError, InvalidValue
from featx.heads import evaluating
from featx.heads.fitting import fit_head
from featx.heads.vector_batches import VectorBatch, iter_vectors
from featx.images.sources import ImageFailure
from featx.report.evaluation_tables import show_evaluate_report
from featx.store import stored_layers
from featx.testing import toy_model, write_images
from tests.cli.program import Program
from tests.store_samples import write_sample

WIDTH = 6


def write_store(path: Path, count: int, seed: int, **more: object) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, WIDTH)).astype(np.float32)
    values[:, 0] += np.arange(count) % 3
    keys = [f"{seed}_{number}.png" for number in range(count)]
    labels = more.pop("labels", ["abc"[number % 3] for number in range(count)])
    write_sample(path, {"v": values}, keys, labels=labels, **more)  # type: ignore[arg-type]
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    write_store(folder / "train.h5", 60, seed=1)
    fit_head(folder / "train.h5", kind="linear", output=folder / "head")
    return folder


def test_figures_are_those_of_scikit_learn(folder: Path, tmp_path: Path) -> None:
    values = write_store(tmp_path / "other.h5", 90, seed=2)
    rows = tmp_path / "rows.csv"
    report = featx.evaluate(tmp_path / "other.h5", head=folder / "head", rows=rows)
    head = featx.load_head(folder / "head")
    probabilities = head.predict_proba(values)
    truth = np.arange(90) % 3
    figures = report.evaluation
    assert figures.num_examples == 90
    assert figures.accuracy == pytest.approx(accuracy_score(truth, probabilities.argmax(axis=1)))
    expected = -np.log(probabilities[np.arange(90), truth]).mean()
    assert figures.log_loss == pytest.approx(expected, rel=1e-4)
    assert (report.num_fitted_on, report.num_unlabelled, report.unknown_labels) == (0, 0, {})
    with rows.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["label"] for line in lines] == ["abc"[number] for number in truth]
    assert "near_duplicate" not in lines[0], "they were not looked for"
    assert np.mean([line["label"] == line["predicted"] for line in lines]) == figures.accuracy
    assert json.loads(json.dumps(report.to_dict()))["evaluation"]["interval"]


def test_what_is_left_out_is_counted_and_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["a", "b", "c", None, "zebra", "zebra", "yak"]
    write_sample(
        tmp_path / "mixed.h5",
        {"v": np.zeros((9, WIDTH), np.float32)},
        [f"{number}.png" for number in range(7)] + ["1_0.png", "1_1.png"],  # Of the training store.
        labels=[*labels, "a", "b"],
    )
    report = featx.evaluate(tmp_path / "mixed.h5", head=folder / "head")
    assert report.evaluation.num_examples == 3
    assert report.unknown_labels == {"zebra": 2, "yak": 1}
    assert (report.num_fitted_on, report.num_unlabelled) == (2, 1)
    show_evaluate_report(report)
    text = " ".join(capsys.readouterr().out.split())
    assert "2 images that the head was fitted on, 1 image without label, 3 images with a" in text
    assert "no class of the head: zebra, yak" in text


def test_a_head_on_the_store_that_it_was_fitted_on(folder: Path) -> None:
    with pytest.raises(HeadError, match=r"fitted on all 60 labelled images.*cv=5"):
        featx.evaluate(folder / "train.h5", head=folder / "head")


def test_labels_of_a_table_go_before_those_of_the_store(folder: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "other.h5", 30, seed=3, labels=[None] * 30)
    root = featx.open_store(tmp_path / "other.h5").root
    with pytest.raises(HeadError, match="No image has a label"):
        featx.evaluate(tmp_path / "other.h5", head=folder / "head")
    table = tmp_path / "labels.csv"
    paths = [root.location(f"3_{number}.png") for number in range(10)]
    lines = [f"{path},{'abc'[number % 3]}" for number, path in enumerate(paths)]
    table.write_text("path,label\n" + "\n".join(lines))
    report = featx.evaluate(tmp_path / "other.h5", head=folder / "head", labels=table)
    assert (report.evaluation.num_examples, report.num_unlabelled) == (10, 20)
    table.write_text(table.read_text().replace(",a", ",x").replace(",b", ",y").replace(",c", ",z"))
    with pytest.raises(HeadError, match="None of the labels is a class of the head.*'x'.*'a'"):
        featx.evaluate(tmp_path / "other.h5", head=folder / "head", labels=table)


def test_features_do_not_wait_for_the_labels_of_a_table(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, table = tmp_path / "other.h5", tmp_path / "labels.csv"
    values = write_store(path, 40, seed=5)
    values[7] = np.nan
    keys = [f"5_{number}.png" for number in range(40)]
    write_sample(path, {"v": values}, keys, labels=[None] * 40)
    lines = [f"{key},{'abc'[number % 3]}" for number, key in enumerate(keys) if number > 3]
    table.write_text("path,label\n" + "\n".join(lines))
    seen: list[weakref.ref[np.ndarray]] = []

    def watch(*arguments: Any) -> Iterator[VectorBatch | ImageFailure]:
        for batch in iter_vectors(*arguments):
            assert isinstance(batch, VectorBatch)
            seen.append(weakref.ref(batch.values))
            assert sum(one() is not None for one in seen) <= 2
            yield batch

    monkeypatch.setattr(stored_layers, "BLOCK_BYTES", 5 * 4 * WIDTH)
    monkeypatch.setattr(evaluating, "iter_vectors", watch)
    report = featx.evaluate(path, head=folder / "head", labels=table)
    assert len(seen) == 8
    assert (report.num_unlabelled, report.num_not_finite) == (4, 1)
    labels = [None if number <= 3 else "abc"[number % 3] for number in range(40)]
    write_sample(path, {"v": values}, keys, labels=labels)
    own = featx.evaluate(path, head=folder / "head")
    assert own.evaluation.accuracy == report.evaluation.accuracy
    assert own.evaluation.log_loss == pytest.approx(report.evaluation.log_loss)


def test_a_store_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "other.h5", 9, seed=4, weights="1" * 64)
    with pytest.raises(FingerprintMismatch):
        featx.evaluate(tmp_path / "other.h5", head=folder / "head")
    with pytest.raises(InvalidValue, match="only split= selects images"):
        featx.evaluate(folder / "train.h5", head=folder / "head", exclude="*.png")
    with pytest.raises(InvalidValue, match="of the split 'test'. It has: none"):
        featx.evaluate(folder / "train.h5", head=folder / "head", split="test")


def test_rows_that_are_not_finite_are_left_out(folder: Path, tmp_path: Path) -> None:
    values = np.zeros((4, WIDTH), np.float32)
    values[1, 2], values[3, 0] = np.nan, np.inf
    write_sample(tmp_path / "nan.h5", {"v": values}, labels=["a", "b", "c", "a"])
    report = featx.evaluate(tmp_path / "nan.h5", head=folder / "head")
    assert (report.evaluation.num_examples, report.num_not_finite) == (2, 2)
    write_sample(tmp_path / "all.h5", {"v": np.full((3, WIDTH), np.nan)}, labels=["a", "b", "c"])
    with pytest.raises(HeadError, match="features of 3 labelled images are NaN, infinite or"):
        featx.evaluate(tmp_path / "all.h5", head=folder / "head")


@pytest.mark.tensorflow
def test_pictures_and_their_store_give_the_same(tmp_path: Path) -> None:
    model = toy_model()
    train = write_images(20, tmp_path / "train", classes=("dark", "light"))
    other = write_images(36, tmp_path / "other" / "test", classes=("dark", "light"))
    write_images(40, tmp_path / "other" / "train", classes=("dark", "light"))
    featx.extract(train, model=model, layers=["mean"], output=tmp_path / "f.h5")
    fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    featx.extract(tmp_path / "other", model=model, layers=["mean"], output=tmp_path / "o.h5")
    of_store = featx.evaluate(tmp_path / "o.h5", head=tmp_path / "head", split="test")
    of_pictures = featx.evaluate(other, head=tmp_path / "head")
    assert of_store.evaluation == of_pictures.evaluation
    assert (of_store.evaluation.num_examples, of_store.num_fitted_on) == (16, 20)


def test_paths_for_a_page_or_a_sheet_are_checked_first(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine.html").write_text("mine")
    program = Program(monkeypatch, capsys)
    for option, name in (("--report", "mine.html"), ("--sheet", "a.jpg")):
        outcome = program("evaluate", "none", "--head", folder / "head", option, tmp_path / name)
        assert outcome.status == 2
        assert name in outcome.err
        assert "Traceback" not in outcome.err
    assert (tmp_path / "mine.html").read_text() == "mine"
