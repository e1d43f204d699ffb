"""How `fit_head` measures: what belongs together stays together, and what is said is true."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.model_selection import StratifiedGroupKFold

from featx.errors import HeadError, InvalidValue, UnknownName
from featx.events import Listener
from featx.heads.evaluation import Calibrated, measure_classes
from featx.heads.fitting import FitReport, fit_head
from featx.heads.head import load_head
from featx.heads.operations import Temper
from featx.heads.splits import split_folds, split_stratified
from featx.heads.temperature import Scored, choose_temperature, find_temperature
from featx.report.evaluation_tables import describe_evaluation, describe_near_duplicates
from tests.store_samples import write_sample

WIDTH = 24


class Notes(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def make_values(targets: np.ndarray, seed: int = 0, distance: float = 1.5) -> np.ndarray:
    """Overlapping clouds, one for each class."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(int(targets.max()) + 1, WIDTH))
    values = distance * centres[targets] + random.normal(size=(len(targets), WIDTH)) * 2
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 pictures of three classes; the last 20 are near-copies of the first 20."""
    path = tmp_path_factory.mktemp("honest") / "f.h5"
    targets = np.arange(90) % 3
    targets[70:] = targets[:20]
    values = make_values(targets)
    values[70:] = values[:20] * 1.001
    write_sample(path, {"v": values}, labels=["abc"[target] for target in targets])
    return path


def write_table(path: Path, columns: dict[str, list[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number_of(key: str) -> int:
    return int(key.removeprefix("image_").removesuffix(".png"))


def test_figures_are_those_of_the_rows_that_are_written(store: Path, tmp_path: Path) -> None:
    rows_file = tmp_path / "rows.csv"
    report = fit_head(store, output=tmp_path / "h", rows=rows_file, test_size=0.4)
    rows, measured = read_rows(rows_file), report.evaluation
    assert measured is not None
    assert len(rows) == measured.num_examples
    true, predicted = ([row[name] for row in rows] for name in ("label", "predicted"))
    assert measured.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    own = np.array([float(row["label_probability"]) for row in rows])
    assert measured.log_loss == pytest.approx(-np.log(own).mean(), abs=1e-4)
    assert measured.interval[0] < measured.accuracy < measured.interval[1]
    assert {row["near_duplicate"] for row in rows} == {"0"}
    data = json.loads(json.dumps(report.to_dict()))
    assert data["evaluation"]["interval"] == list(measured.interval)
    assert data["evaluation"]["log_loss"] == measured.log_loss
    assert data["kind"] == report.kind
    assert data["seconds"] > 0
    assert data["near_duplicates"]["num_images"] == 40


@pytest.mark.parametrize("cv", [None, 4])
def test_near_duplicates_stay_on_one_side(store: Path, tmp_path: Path, cv: int | None) -> None:
    rows_file = tmp_path / "rows.csv"
    options = {"rows": rows_file, "cv": cv, "test_size": 0.3, "kind": "ridge"}
    report = fit_head(store, output=tmp_path / "h", **options)
    found = report.near_duplicates
    assert found is not None
    assert (found.num_images, found.num_groups, found.num_held_out) == (40, 20, 0)
    assert found.accuracy == found.accuracy_without
    sides = {number_of(row["path"]): row.get("fold", "") for row in read_rows(rows_file)}
    for number in range(20):
        assert sides.get(number) == sides.get(number + 70)


def test_settings_kinds_and_layers_are_chosen_without_near_copies_on_both_sides(
    tmp_path: Path,
) -> None:
    # Noise, each picture twice: by heart, all of it is known; of another picture, nothing.
    random, targets = np.random.default_rng(0), np.tile(np.arange(48) % 2, 2)
    layers = {
        name: np.tile(random.normal(size=(48, WIDTH)), (2, 1)).astype(np.float32) for name in "vw"
    }
    for values in layers.values():
        values[48:] *= 1.001
    path, labels = tmp_path / "f.h5", ["ab"[target] for target in targets]
    write_sample(path, layers, labels=labels)

    def list_losses(near_duplicates: float | str) -> dict[str, float]:
        report = fit_head(path, output=tmp_path / "h", layer="all", near_duplicates=near_duplicates)
        of_layers = {trial.layer: trial.loss for trial in report.layers}
        return of_layers | {trial.kind: trial.loss or 0.0 for trial in report.tried}

    apart, together = list_losses("off"), list_losses(0.995)
    assert len(apart) == 7  # Two layers, and five kinds.
    assert all(together[name] > loss for name, loss in apart.items())
    assert apart["v"] < 0.5
    assert min(together.values()) > 0.65  # Of a guess: log(2) = 0.69.


def test_near_duplicates_across_a_given_split_are_counted_and_left_out(
    store: Path, tmp_path: Path
) -> None:
    table = write_table(
        tmp_path / "labels.csv",
        {
            "path": [f"image_{n}.png" for n in range(90)],
            "label": [str((n if n < 70 else n - 70) % 3) for n in range(90)],
            "split": ["test" if n >= 60 else "train" for n in range(90)],
        },
    )
    notes, rows_file = Notes(), tmp_path / "rows.csv"
    report = fit_head(store, labels=table, output=tmp_path / "h", rows=rows_file, listener=notes)
    found, rows = report.near_duplicates, read_rows(rows_file)
    assert found is not None
    assert found.num_held_out == 20
    assert sum(row["near_duplicate"] == "1" for row in rows) == 20
    clean = [row["label"] == row["predicted"] for row in rows if row["near_duplicate"] == "0"]
    assert found.accuracy_without == pytest.approx(np.mean(clean))
    assert any("20 of the 30 images measured on are identical" in line for line in notes.lines)
    (line,) = describe_near_duplicates(found)
    assert f"without {found.accuracy_without:.4f}" in line
    without = fit_head(store, labels=table, output=tmp_path / "h", near_duplicates="off")
    assert without.near_duplicates is None


def test_features_that_do_not_tell_pictures_apart_are_said_and_not_used(tmp_path: Path) -> None:
    targets = np.arange(60) % 2
    values = np.zeros((60, WIDTH), np.float32)
    values[:, 0] = targets
    values += np.random.default_rng(0).normal(size=values.shape).astype(np.float32) / 1000
    write_sample(tmp_path / "f.h5", {"v": values}, labels=["ab"[target] for target in targets])
    notes = Notes()
    report = fit_head(tmp_path / "f.h5", output=tmp_path / "h", listener=notes)
    assert report.near_duplicates is None
    assert report.evaluation is not None
    assert report.evaluation.num_examples == 12
    assert any("almost equal to another's" in line for line in notes.lines)
    asked = fit_head(tmp_path / "f.h5", output=tmp_path / "h", near_duplicates=0.995)
    assert asked.near_duplicates is not None
    assert asked.near_duplicates.num_groups == 2


def test_groups_of_a_column_stay_together(store: Path, tmp_path: Path) -> None:
    products = [n // 5 if n < 80 else "" for n in range(90)]
    table = write_table(
        tmp_path / "labels.csv",
        {
            "path": [f"image_{n}.png" for n in range(90)],
            "label": [str(n % 3) for n in range(90)],
            "product": products,
        },
    )
    notes, rows_file = Notes(), tmp_path / "rows.csv"
    options = {"labels": table, "groups": "product", "near_duplicates": "off", "rows": rows_file}
    fit_head(store, output=tmp_path / "h", listener=notes, **options)
    held_out = Counter(products[number_of(row["path"])] for row in read_rows(rows_file))
    assert held_out
    assert all(count == 5 for product, count in held_out.items() if product != "")
    assert any("10 images without a group" in line for line in notes.lines)
    with pytest.raises(UnknownName, match="There is no column named 'shop'"):
        fit_head(store, output=tmp_path / "h", labels=table, groups="shop")


def test_cross_validation_measures_every_row_once(store: Path, tmp_path: Path) -> None:
    notes, rows_file = Notes(), tmp_path / "rows.csv"
    table = write_table(
        tmp_path / "labels.csv",
        {
            "path": [f"image_{n}.png" for n in range(90)],
            "label": [str((n if n < 70 else n - 70) % 3) for n in range(90)],
            "split": ["test" if n % 5 == 0 else "train" for n in range(90)],
        },
    )
    report = fit_head(
        store, output=tmp_path / "h", labels=table, cv=3, rows=rows_file, listener=notes
    )
    rows, measured = read_rows(rows_file), report.evaluation
    assert measured is not None
    assert report.refitted
    assert sorted(number_of(row["path"]) for row in rows) == list(range(90))
    for fold, accuracy in enumerate(measured.folds, start=1):
        inside = [row["label"] == row["predicted"] for row in rows if row["fold"] == str(fold)]
        assert accuracy == pytest.approx(np.mean(inside))
    assert measured.accuracy == pytest.approx(np.mean(measured.folds))
    assert any("the given split is not used" in line for line in notes.lines)
    assert "mean of 3 folds" in next(describe_evaluation(measured, "held-out"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cv": 1}, InvalidValue, "cv"),
        ({"cv": 200}, HeadError, r"cv=200 makes more folds.*has \d+ images.*Choose cv=\d+ or"),
        ({"near_duplicates": 1.5}, InvalidValue, "above 0 and up to 1.*Received: 1.5"),
        ({"rows": "no/such/folder/rows.csv"}, HeadError, "cannot be written"),
    ],
)
def test_bad_options(
    store: Path, tmp_path: Path, options: dict[str, object], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        fit_head(store, output=tmp_path / "h", **options)


def test_classes_too_small_to_say_anything_are_named(tmp_path: Path) -> None:
    targets = np.array([0] * 60 + [1] * 20 + [2])
    write_sample(
        tmp_path / "f.h5", {"v": make_values(targets)}, labels=["abc"[target] for target in targets]
    )
    report = fit_head(tmp_path / "f.h5", output=tmp_path / "h")
    assert report.evaluation is not None
    assert report.evaluation.few == ("b",)
    assert [one.support for one in report.evaluation.classes] == [12, 4, 0]


def test_patients_with_pictures_of_every_class(tmp_path: Path) -> None:
    targets = np.arange(80) % 2
    write_sample(
        tmp_path / "f.h5", {"v": make_values(targets)}, labels=["ab"[target] for target in targets]
    )
    table = write_table(
        tmp_path / "labels.csv",
        {
            "path": [f"image_{n}.png" for n in range(80)],
            "label": ["ab"[target] for target in targets],
            "patient": [n // 8 for n in range(80)],
        },
    )
    report = fit_head(
        tmp_path / "f.h5", labels=table, groups="patient", kind="ridge", output=tmp_path / "h"
    )
    assert report.settings["folds"] == 3  # Settings are chosen on other patients, too.
    assert report.evaluation is not None
    assert report.evaluation.num_examples == 16


@pytest.mark.parametrize(
    ("label", "is_said"), [("{n};odd", True), ("{n}|odd", True), ("{n}", False)]
)
def test_several_labels_in_one_are_said(tmp_path: Path, label: str, is_said: bool) -> None:
    names = [label.format(n=number % 3) for number in range(30)]
    write_sample(tmp_path / "f.h5", {"v": make_values(np.arange(30) % 3)}, labels=names)
    notes = Notes()
    fit_head(tmp_path / "f.h5", kind="ridge", output=tmp_path / "h", listener=notes)
    assert any("look like several in one" in line for line in notes.lines) == is_said


@pytest.mark.parametrize(
    ("labels", "is_said"),
    [([f"{n / 4}" for n in range(30)], True), ([str(n % 3) for n in range(30)], False)],
)
def test_numbers_that_are_taken_for_classes_are_said(
    tmp_path: Path, labels: list[str], is_said: bool
) -> None:
    write_sample(tmp_path / "f.h5", {"v": make_values(np.arange(30) % 3)}, labels=labels)
    notes, paths = Notes(), {"features": tmp_path / "f.h5", "output": tmp_path / "h"}
    fit_head(**paths, kind="ridge", listener=notes)
    assert any("target='label' learns them" in line for line in notes.lines) == is_said
    if is_said:
        assert fit_head(**paths, target="label").task == "regression"


def test_a_class_in_the_test_part_alone(store: Path, tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "labels.csv",
        {
            "path": [f"image_{n}.png" for n in range(90)],
            "label": ["new" if n > 80 else str(n % 3) for n in range(90)],
            "split": ["test" if n > 70 else "train" for n in range(90)],
        },
    )
    with pytest.raises(HeadError, match="training split has no image of: new.*ignore_split=True"):
        fit_head(store, labels=table, output=tmp_path / "h")


# Temperature


def test_a_temperature_is_found_again() -> None:
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(20_000, 4))
    powers = np.exp(logits)
    truth = powers / powers.sum(axis=1, keepdims=True)
    targets = (truth.cumsum(axis=1) < random.uniform(size=(20_000, 1))).sum(axis=1)
    sure = Temper(1 / 3)(truth)  # Three times too sure.
    np.testing.assert_allclose(Temper(3)(sure), truth, atol=1e-6)
    assert find_temperature(sure, targets) == pytest.approx(3, rel=0.05)
    scored = Scored(sure.astype(np.float32), targets, np.arange(20_000))
    chosen = choose_temperature(scored, tuple("abcd"), seed=0)
    assert isinstance(chosen, Calibrated)
    assert chosen.used
    before, after = (measure_classes(p, targets, tuple("abcd")) for p in (sure, truth))
    assert chosen.log_loss == pytest.approx(after.log_loss, abs=2e-3)
    assert chosen.calibration_error < 0.02 < before.calibration_error


def test_a_temperature_is_not_measured_on_the_rows_that_chose_it() -> None:
    # Each half would like another temperature, so that the wrong one makes it worse.
    probabilities = np.tile([[0.8, 0.2]], (200, 1)).astype(np.float32)
    targets = np.zeros(200, int)
    groups = np.repeat([0, 1], 100)  # Two groups: they are the halves.
    targets[:60] = 1
    chosen = choose_temperature(Scored(probabilities, targets, groups), ("a", "b"), seed=0)
    assert chosen is not None
    own = [
        find_temperature(probabilities[half], targets[half]) for half in (groups == 0, groups == 1)
    ]
    swapped = np.concatenate(
        [Temper(own[1])(probabilities[:100]), Temper(own[0])(probabilities[100:])]
    )
    expected = metrics.log_loss(targets, swapped, labels=[0, 1])
    assert chosen.log_loss == pytest.approx(expected, rel=0.02)
    assert not chosen.used


def test_few_rows_choose_no_temperature() -> None:
    scored = Scored(np.full((20, 2), 0.5, np.float32), np.arange(20) % 2, np.arange(20))
    assert choose_temperature(scored, ("a", "b"), seed=0) is None


def test_a_saved_head_predicts_with_its_temperature(store: Path, tmp_path: Path) -> None:
    report: FitReport = fit_head(store, output=tmp_path / "h", cv=3)
    assert report.evaluation is not None
    assert report.evaluation.calibrated is not None
    head = load_head(tmp_path / "h")
    used = report.evaluation.calibrated.used
    assert head.temperature == (report.evaluation.calibrated.temperature if used else 1)
    values = np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32)
    warm = type(head)(**{name: getattr(head, name) for name in head.__slots__} | {"temperature": 3})
    warm.save(tmp_path / "warm")
    expected = Temper(3 / head.temperature)(head.predict_proba(values))
    np.testing.assert_allclose(
        load_head(tmp_path / "warm").predict_proba(values), expected, atol=1e-5
    )


# Divisions


@st.composite
def grouped_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(2, 60))
    numbers = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    groups = st.lists(st.integers(0, 14), min_size=count, max_size=count)
    return np.array(draw(numbers)), np.array(draw(groups))


@settings(max_examples=60, deadline=None)
@given(grouped_rows(), st.integers(2, 5), st.integers(0, 9))
def test_no_group_is_divided_and_every_class_is_fitted_on(
    rows: tuple[np.ndarray, np.ndarray], num_folds: int, seed: int
) -> None:
    targets, groups = rows
    fixed = groups == 0
    folds = split_folds(targets, groups, num_folds, seed=seed, fixed=fixed)
    held_out = split_stratified(targets, groups, test_size=0.3, seed=seed, fixed=fixed)
    for sides in (folds, held_out):
        assert all(len(set(sides[groups == group].tolist())) == 1 for group in set(groups.tolist()))
    assert not (folds[fixed] >= 0).any()
    assert not held_out[fixed].any()
    for part in (*(folds == fold for fold in range(num_folds)), held_out):
        assert set(targets[~part].tolist()) == set(targets.tolist())
    np.testing.assert_array_equal(
        folds, split_folds(targets, groups, num_folds, seed=seed, fixed=fixed)
    )


def test_folds_are_as_even_as_those_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    groups = random.integers(120, size=600)
    targets = (groups % 4 + (random.uniform(size=600) < 0.1)) % 4  # Some groups in two classes.
    fixed = np.zeros(600, bool)
    ours = split_folds(targets, groups, 5, seed=0, fixed=fixed)
    theirs = np.empty(600, int)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for fold, (_, test) in enumerate(splitter.split(targets, targets, groups)):
        theirs[test] = fold

    def unevenness(folds: np.ndarray) -> float:
        counts = np.array(
            [[((folds == f) & (targets == t)).sum() for t in range(4)] for f in range(5)]
        )
        return float(counts.std(axis=0).sum())

    assert unevenness(ours) <= 1.5 * unevenness(theirs) + 4


def test_groups_in_several_classes_are_held_out_too() -> None:
    targets, groups = np.arange(60) % 2, np.repeat(np.arange(10), 6)  # Ten patients, both classes.
    held_out = split_stratified(targets, groups, test_size=0.2, seed=0, fixed=np.zeros(60, bool))
    assert held_out.sum() == 12


@pytest.mark.parametrize("sizes", [[100] + [1] * 25, [40] * 3, [3] * 30, [100, 1, 1, 1, 1], [7, 9]])
def test_the_share_is_one_of_rows_however_large_groups_are(sizes: list[int]) -> None:
    groups = np.repeat(np.arange(2 * len(sizes)), [*sizes, *sizes])
    targets = (groups >= len(sizes)).astype(int)
    nearest = max(round(0.2 * sum(sizes)), 1)
    for seed in range(20):
        held_out = split_stratified(targets, groups, test_size=0.2, seed=seed)
        for target in (0, 1):
            count = int(held_out[targets == target].sum())
            assert 0 < count <= max(1.5 * nearest, min(sizes)), (seed, count)
