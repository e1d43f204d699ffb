"""Pictures that are chosen: which, how many, in what form, and what is refused."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from typer.testing import CliRunner

import featx
from featx.cli.app import app
from featx.curation.strategy import STRATEGIES, Candidates
from featx.errors import FeatxError, InvalidValue
from featx.testing import write_images
from tests.curation.stores import make_classes, write_vectors


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40, 30 and 6 vectors of three classes."""
    values, labels = make_classes([40, 30, 6], spread=0.3)
    return write_vectors(tmp_path_factory.mktemp("select") / "f.h5", values, labels=labels)


def test_diverse_pictures_cover_all_others_nearly_as_well_as_any_can() -> None:
    """The greedy algorithm is at most twice as bad as the best of all sets, tried one by one."""
    values = np.random.default_rng(3).normal(size=(14, 2)).astype(np.float32)
    candidates = Candidates(values)
    directions = candidates.directions.take(slice(None))
    between = pairwise_distances(directions)
    chosen = STRATEGIES["diverse"].choose(candidates, 3)
    best = min(between[:, list(rows)].min(axis=1).max() for rows in combinations(range(14), 3))
    radius = between[:, chosen.rows].min(axis=1).max()
    assert best <= radius <= 2 * best
    # Each one is as far from those before it as its score says, and none is farther.
    for place in (1, 2):
        nearest = between[:, chosen.rows[:place]].min(axis=1)
        assert chosen.scores[place] == pytest.approx(nearest.max(), abs=1e-4)


def test_small_classes_are_met_by_diverse_and_typical_pictures(store: Path) -> None:
    for strategy in ("diverse", "typical"):
        report = featx.select(store, strategy=strategy, count=3)
        assert {one.label for one in report} == {"class_0", "class_1", "class_2"}, strategy
    assert [one.label for one in report] == ["class_0", "class_1", "class_2"]  # The largest first.
    assert report.pictures[0].score == pytest.approx(40 / 76)


def test_balance_gives_equal_numbers_of_each_class(store: Path) -> None:
    def sizes(report: featx.SelectReport) -> list[int]:
        labels = [one.label for one in report]
        return [labels.count(f"class_{number}") for number in range(3)]

    assert sizes(featx.select(store, balance=True)) == [6, 6, 6]
    assert sizes(featx.select(store, diverse=16, balance=True)) == [6, 5, 5]
    assert sizes(featx.select(store, typical=40, balance=True)) == [17, 17, 6]
    assert sizes(featx.select(store, diverse=76, balance=True)) == [40, 30, 6]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A head of two classes, and a store that has pictures between them."""
    folder = tmp_path_factory.mktemp("uncertain")
    values, labels = make_classes([40, 40], spread=0.2)
    train = write_vectors(folder / "train.h5", values, labels=labels)
    featx.fit_head(train, output=folder / "head", kind="lda")
    between = (values[:1] + values[40:41]) / 2
    new = np.concatenate([values + 0.01, between, between, between + 0.3])
    contents = [f"new {number}" for number in range(len(new))]
    return folder / "head", write_vectors(folder / "new.h5", new, contents=contents)


def test_uncertain_pictures_are_between_the_classes(fitted: tuple[Path, Path]) -> None:
    head, store = fitted
    report = featx.select(store, uncertain=2, head=head)
    # 81 is a copy of 80, and comes behind another picture though the head is less sure of it.
    assert report.keys[0] == "000080.png"
    assert report.keys[1] != "000081.png"
    assert featx.select(store, uncertain=83, head=head).keys[-1] != "000080.png"
    proba = featx.load_head(head).predict_proba(store)
    margin = np.abs(proba[80, 0] - proba[80, 1])
    assert report.pictures[0].score == pytest.approx(1 - margin, abs=1e-5)


def test_what_a_head_was_fitted_on_is_left_out(fitted: tuple[Path, Path]) -> None:
    head = fitted[0]
    with pytest.raises(InvalidValue, match="fitted on all images of the store"):
        featx.select(head.parent / "train.h5", uncertain=2, head=head)


def test_a_manifest_is_taken_by_extract_and_fit_head(toy: str, tmp_path: Path) -> None:
    photos = write_images(12, classes=("dark", "light"))
    photos = photos.rename(tmp_path / "photos")
    features = tmp_path / "f.h5"
    featx.extract(photos, model=toy, layers=["mean"], output=features)
    chosen = featx.select(features, diverse=8, balance=True)
    for table in (tmp_path / "chosen.csv", photos / "chosen.csv", tmp_path / "a" / "chosen.csv"):
        table.parent.mkdir(exist_ok=True)
        chosen.write(table)
        report = featx.extract(table, model=toy, layers=["mean"], output=table.with_suffix(".h5"))
        assert (report.done, report.failed) == (8, 0)
        with featx.open_store(table.with_suffix(".h5")) as store:
            assert set(store.labels) == {"dark", "light"}
        featx.fit_head(features, output=table.with_suffix(""), labels=table)
        head = featx.load_head(table.with_suffix(""))
        assert (head.classes, len(head.fitted_on)) == (("dark", "light"), 8)


def test_the_command_prints_keys_paths_and_lines(store: Path, tmp_path: Path) -> None:
    def run(*options: str) -> str:
        result = CliRunner().invoke(app, ["select", str(store), "--diverse", "2", *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    keys = run().split()
    assert keys == list(featx.select(store, diverse=2).keys)
    assert run("-0") == "".join(f"{key}\0" for key in keys)
    assert [Path(line).name for line in run("-f").splitlines()] == keys
    lines = [json.loads(line) for line in run("--json").splitlines()]
    assert [(one["rank"], one["key"]) for one in lines] == [(1, keys[0]), (2, keys[1])]
    assert set(lines[0]) == {"rank", "key", "path", "label", "split", "score"}
    assert lines[0]["score"] is None
    assert lines[1]["score"] > 0
    run("-o", str(tmp_path / "m.csv"))
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert [Path(row["path"]).name for row in rows] == keys


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Say which pictures, and how many"),
        ({"diverse": 2, "typical": 2}, "one strategy at a time. Received: diverse and typical"),
        ({"diverse": 200}, "fewer images than are to be chosen: 76. Received: diverse, 200"),
        ({"uncertain": 2}, "name one with head="),
        ({"strategy": "random"}, "given together"),
        ({"count": 3}, "given together"),
        ({"strategy": "divers", "count": 3}, "Did you mean diverse"),
        ({"diverse": 2, "head": "none"}, "no head 'none'"),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(
    options: dict[str, object], message: str, store: Path
) -> None:
    with pytest.raises(FeatxError, match=message):
        featx.select(store, **options)  # type: ignore[arg-type]


def test_a_store_without_labels_cannot_be_balanced(tmp_path: Path) -> None:
    values = np.eye(4, dtype=np.float32)
    values[1, 1] = np.nan
    store = write_vectors(tmp_path / "f.h5", values)
    with pytest.raises(InvalidValue, match="the images have no labels"):
        featx.select(store, diverse=2, balance=True)
    report = featx.select(store, diverse=3)  # NaN is left out.
    assert "000001.png" not in report.keys
    with pytest.raises(InvalidValue, match="no head|uses no head|no features"):
        featx.select(write_vectors(tmp_path / "g.h5", values[:0]), diverse=1)
