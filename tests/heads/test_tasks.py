"""Several labels for each picture, and numbers: read, learned, measured, predicted."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from sklearn import metrics
from sklearn.base import is_classifier, is_regressor
from sklearn.neighbors import KNeighborsRegressor

import featx
from featx.errors import HeadError, InvalidValue, UnknownName
from featx.events import Listener
from featx.heads.example_weights import weigh_examples
from featx.heads.fitting import fit_head
from featx.heads.head import DESCRIPTION_FILE, load_head
from featx.heads.held_out import HeldOutLabels, HeldOutNumbers
from featx.heads.judging import Judge
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.label_evaluation import LabelEvaluation, choose_thresholds, measure_labels
from featx.heads.number_evaluation import NumberEvaluation, measure_numbers
from featx.heads.operations import compute
from featx.heads.options import HeadOptions, TaskOptions
from featx.heads.splits import split_stratified
from featx.heads.targets import find_strata, make_targets
from featx.heads.temperature import Scored
from featx.options import DecisionOptions
from featx.report.evaluation_tables import show_evaluate_report
from featx.report.prediction_files import write_prediction_file
from featx.report.tables import show_fit_report, show_predictions
from featx.sealed_json import seal
from featx.testing import write_images
from tests.store_samples import write_sample

COUNT, WIDTH = 160, 6
NAMES = ("cat", "dog", "fish")


def make_values(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, which of three labels apply, and a number: all can be told from the features."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(COUNT, WIDTH)).astype(np.float32)
    noise = 0.4 * random.normal(size=(COUNT, 3))
    truth = values[:, :3] + noise > [0, 0.3, 0.8]
    numbers = 3 * values[:, 0] - values[:, 1] + noise[:, 0]
    return values, truth, np.round(numbers, 3).astype(float)


def join(truth: np.ndarray) -> list[str | None]:
    names = np.array(NAMES)
    return ["|".join(names[row]) or "|" for row in truth]


def write_store(folder: Path, name: str, seed: int) -> Path:
    """Write a store whose own labels are several, and a table beside it with everything."""
    values, truth, numbers = make_values(seed)
    keys = [f"{name}_{number}.png" for number in range(COUNT)]
    write_sample(folder / f"{name}.h5", {"v": values}, keys, labels=join(truth))
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "tags", *NAMES, "price", "split"])
        for row, key in enumerate(keys):
            price = "" if row < 4 else numbers[row]
            split = "test" if row % 4 == 0 else "train"
            writer.writerow([key, join(truth)[row], *truth[row].astype(int), price, split])
    return folder / f"{name}.h5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores, ``a`` and ``b``, and two heads that were fitted on ``a``."""
    folder = tmp_path_factory.mktemp("tasks")
    store = write_store(folder, "a", seed=1)
    write_store(folder, "b", seed=2)
    fit_head(store, label_columns="label", output=folder / "multi")
    options = {"labels": folder / "a.csv", "ignore_split": True}
    fit_head(store, target="price", output=folder / "number", **options)
    return folder


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def parse(cells: list[str]) -> np.ndarray:
    return np.array([[name in cell.split("|") for name in NAMES] for cell in cells])


def test_label_measures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth = random.random((90, 4)) < [0.5, 0.3, 0.1, 0.02]
    truth[0, 3] = True
    probabilities = np.round(0.5 * truth + 0.5 * random.random(truth.shape), 2)  # With ties.
    predicted = probabilities >= 0.6
    found = measure_labels(probabilities, truth, predicted, list("abcd"), np.full(4, 0.6))
    expected = metrics.average_precision_score(truth, probabilities, average=None)
    received = [one.average_precision for one in found.classes]
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert found.mean_average_precision == pytest.approx(np.mean(expected), abs=1e-6)
    for average, figure in (("micro", found.micro_f1), ("macro", found.macro_f1)):
        score = metrics.f1_score(truth, predicted, average=average, zero_division=0)
        assert figure == pytest.approx(score, abs=1e-6)
    by_class = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    for number, one in enumerate(found.classes):
        figures = (one.precision, one.recall, one.f1, one.support)
        assert figures == pytest.approx([each[number] for each in by_class], abs=1e-6)
    assert found.exact == pytest.approx(metrics.accuracy_score(truth, predicted))
    losses = [
        metrics.log_loss(truth[:, number], probabilities[:, number], labels=[0, 1])
        for number in range(4)
    ]
    assert found.log_loss == pytest.approx(np.mean(losses), abs=1e-6)
    assert "d" in found.few


def test_number_measures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    targets = random.normal(size=50) * 100
    predicted = (targets + random.normal(size=50) * 30).astype(np.float32)
    found = measure_numbers(predicted, targets, 7.0)
    assert found.r_squared == pytest.approx(metrics.r2_score(targets, predicted), abs=1e-6)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(targets, predicted), abs=1e-6)
    root = metrics.root_mean_squared_error(targets, predicted)
    assert found.rmse == pytest.approx(root, abs=1e-6)
    baseline = metrics.mean_absolute_error(targets, np.full(50, 7.0))
    assert found.baseline_mae == pytest.approx(baseline)
    assert found.interval[0] < found.mae < found.interval[1]
    assert measure_numbers(predicted, np.ones(50), 1.0).r_squared is None


def test_the_threshold_of_a_label_is_the_best_one() -> None:
    random = np.random.default_rng(3)
    truth = random.random((50, 1)) < 0.3
    probabilities = np.clip(0.3 * truth + 0.6 * random.random(truth.shape), 0, 1)
    (chosen,) = choose_thresholds(probabilities, truth)
    best = max(
        metrics.f1_score(truth[:, 0], probabilities[:, 0] >= each) for each in probabilities[:, 0]
    )
    received = metrics.f1_score(truth[:, 0], probabilities[:, 0] >= chosen)
    assert received == pytest.approx(best)
    assert choose_thresholds(probabilities[:9], np.arange(9)[:, None] < 4).tolist() == [0.5]


def test_thresholds_are_not_measured_on_the_rows_that_chose_them() -> None:
    # Of noise, the best threshold of each row's own half would look better than it is.
    random = np.random.default_rng(0)
    truth = random.random((400, 6)) < 0.15
    scored = Scored(random.random(truth.shape), truth, np.arange(400))
    judge = Judge("multi", tuple("abcdef"), seed=0)
    honest = judge.measure(scored)
    assert isinstance(honest, LabelEvaluation)
    thresholds = np.array([one.threshold for one in honest.classes])
    np.testing.assert_array_equal(thresholds, choose_thresholds(scored.probabilities, truth))
    flattered = metrics.f1_score(truth, scored.probabilities >= thresholds, average="macro")
    assert honest.macro_f1 < flattered
    few = judge.decide(scored.take(np.arange(20)))[1]
    assert few.tolist() == [0.5] * 6


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        ({"a": [1, 0], "b": [0, 2]}, "multi", "0 and 1.*Received: 2 in 'b'"),
        ({"price": [3.5, "cheap"]}, "regression", "numbers.*Received: 'cheap' in 'price'"),
        ({"price": [3.5, float("inf")]}, "regression", "Received: inf"),
    ],
)
def test_values_that_are_something_else_are_said(
    columns: dict[str, list[Any]], task: Any, message: str
) -> None:
    with pytest.raises(HeadError, match=message):
        make_targets(columns, task)


def test_labels_are_separated_by_semicolons_where_nothing_else_is() -> None:
    targets = make_targets({"tags": ["0; even", "1;odd", "", None]}, "multi")
    assert targets.classes == ("0", "1", "even", "odd")
    assert targets.labels == ("0|even", "1|odd", "|", None)
    assert make_targets({"tags": ["a;b|c"]}, "multi").classes == ("a;b", "c")
    one = make_targets({"sunny": [True, False, None]}, "multi")
    assert (one.classes, one.labels) == (("sunny",), ("sunny", "|", None))


def test_rare_labels_and_numbers_of_all_sizes_are_on_both_sides() -> None:
    random = np.random.default_rng(0)
    truth = random.random((200, 3)) < [0.9, 0.4, 0.03]
    groups = np.arange(200)
    strata = find_strata(Examples(np.zeros((200, 1)), truth, 3, groups, "multi"))
    held_out = split_stratified(strata, groups, test_size=0.2, seed=0)
    rare = truth[:, 2]
    assert held_out[rare].sum() == round(0.2 * rare.sum())
    numbers = random.normal(size=200) ** 3
    strata = find_strata(Examples(np.zeros((200, 1)), numbers, 1, groups, "regression"))
    held_out = split_stratified(strata, groups, test_size=0.2, seed=0)
    order = np.argsort(numbers)
    assert [int(held_out[order[start : start + 20]].sum()) for start in range(0, 200, 20)] == [
        4
    ] * 10


def test_groups_with_many_labels_and_numbers_are_divided() -> None:
    random = np.random.default_rng(0)
    groups = np.arange(120) % 12
    truth = random.random((120, 4)) < 0.4
    for task, targets in (("multi", truth), ("regression", random.normal(size=120))):
        examples = Examples(np.zeros((120, 1)), targets, 4, groups, task)
        fixed = np.zeros(120, bool)
        held_out = split_stratified(
            find_strata(examples), groups, test_size=0.2, seed=0, fixed=fixed
        )
        assert 12 <= held_out.sum() <= 36
        assert not np.isin(groups[held_out], groups[~held_out]).any()


def test_weights_of_labels() -> None:
    targets = np.array([[1, 0], [1, 1], [1, 0], [0, 0]], bool)
    weights = weigh_examples(targets, ("a", "b"), {"a": 1, "b": 3}, None)
    expected = np.array([1, 2, 1, 4 / 3])
    np.testing.assert_allclose(weights, expected / expected.mean())
    balanced = weigh_examples(targets, ("a", "b"), "balanced", None)
    assert balanced is not None
    assert balanced[1] > balanced[0] == balanced[2]


def test_a_head_of_labels_is_a_multilabel_classifier_of_scikit_learn(folder: Path) -> None:
    head = load_head(folder / "multi")
    values, truth, _ = make_values(seed=2)
    predicted = head.predict(values)
    assert (head.task, tuple(head.classes_), head.columns) == ("multi", NAMES, ("label",))
    assert predicted.shape == truth.shape
    np.testing.assert_array_equal(predicted, head.predict_proba(values) >= head.thresholds)
    assert head.score(values, truth) == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert metrics.f1_score(truth, predicted, average="micro") > 0.75
    assert is_classifier(head)
    assert not is_regressor(head)
    with pytest.raises(InvalidValue, match="0 and 1"):
        head.score(values, join(truth))


def test_a_head_of_numbers_is_a_regressor_of_scikit_learn(folder: Path) -> None:
    head = load_head(folder / "number")
    values, _, numbers = make_values(seed=2)
    predicted = head.predict(values)
    expected = metrics.r2_score(numbers, predicted)
    assert head.score(values, numbers) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.9
    assert is_regressor(head)
    assert not hasattr(head, "classes_")
    with pytest.raises(HeadError, match="a number"):
        head.predict_proba(values)


@pytest.mark.parametrize(
    "task",
    [
        {"label_columns": "tags", "kind": "linear"},
        {"label_columns": NAMES, "kind": "knn"},
        {"target": "price", "kind": "ridge"},
    ],
)
@pytest.mark.parametrize("cv", [None, 3])
def test_figures_are_those_of_the_rows_that_are_written(
    folder: Path, tmp_path: Path, task: dict[str, Any], cv: int | None
) -> None:
    # Without cross-validation by the split of the table.
    rows_file = tmp_path / "rows.csv"
    options = {"labels": folder / "a.csv", "rows": rows_file, "output": tmp_path / "h", "cv": cv}
    report = fit_head(folder / "a.h5", **task, **options)
    rows, measured = read_rows(rows_file), report.evaluation
    data = json.loads(json.dumps(report.to_dict()))
    assert data["evaluation"]["num_examples"] == len(rows)
    assert ("fold" in rows[0]) == (cv is not None)
    true, predicted = ([row[name] for row in rows] for name in ("label", "predicted"))
    if "target" in task:
        assert isinstance(measured, NumberEvaluation)
        assert isinstance(report.held_out, HeldOutNumbers)
        assert (data["task"], data["columns"], data["num_unlabelled"]) == (
            "regression",
            ["price"],
            4,
        )
        figures = np.array(true, float), np.array(predicted, float)
        assert measured.r_squared == pytest.approx(metrics.r2_score(*figures), abs=1e-5)
        assert measured.mae < measured.baseline_mae / 3
        return
    assert isinstance(measured, LabelEvaluation)
    assert isinstance(report.held_out, HeldOutLabels)
    score = metrics.f1_score(parse(true), parse(predicted), average="micro")
    assert measured.micro_f1 == pytest.approx(score, abs=1e-6)
    assert measured.exact == pytest.approx(
        np.mean([a == b for a, b in zip(true, predicted, strict=True)])
    )
    assert measured.interval is not None
    assert measured.interval[0] <= measured.mean_average_precision <= measured.interval[1]
    assert report.classes == NAMES
    if cv is None:
        assert [row["path"] for row in rows] == [f"a_{n}.png" for n in range(0, COUNT, 4)]


@pytest.mark.parametrize("name", ["multi", "number"])
def test_another_store_is_measured_as_scikit_learn_does(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = folder / "b.csv" if name == "number" else None
    rows_file = tmp_path / "rows.csv"
    report = featx.evaluate(folder / "b.h5", head=folder / name, labels=labels, rows=rows_file)
    values, truth, numbers = make_values(seed=2)
    measured, head = report.evaluation, load_head(folder / name)
    if isinstance(measured, LabelEvaluation):
        scores = metrics.average_precision_score(truth, head.predict_proba(values), average=None)
        assert measured.mean_average_precision == pytest.approx(scores.mean(), abs=1e-6)
        score = metrics.f1_score(truth, head.predict(values), average="macro")
        assert measured.macro_f1 == pytest.approx(score, abs=1e-6)
    else:
        assert isinstance(measured, NumberEvaluation)
        expected = metrics.mean_absolute_error(numbers[4:], head.predict(values)[4:])
        assert measured.mae == pytest.approx(expected, abs=1e-6)
    assert len(read_rows(rows_file)) == measured.num_examples == COUNT - report.num_unlabelled
    assert json.loads(json.dumps(report.to_dict()))["task"] == head.task
    show_evaluate_report(report)
    shown = capsys.readouterr().out
    assert ("mAP" in shown) == (name == "multi")
    assert ("4 images without a number" in shown) == (name == "number")
    with pytest.raises(HeadError, match="fitted on all"):
        featx.evaluate(folder / "a.h5", head=folder / name, labels=labels and folder / "a.csv")


@pytest.mark.parametrize(
    "damage",
    [{"thresholds": [0.5]}, {"thresholds": [0.5, 0.5, 2]}, {"task": "both"}, {"columns": 3}],
)
def test_a_damaged_description_of_a_task_is_said(
    folder: Path, tmp_path: Path, damage: dict[str, Any]
) -> None:
    copy = shutil.copytree(folder / "multi", tmp_path / "h")
    path = copy / DESCRIPTION_FILE
    described = json.loads(path.read_text(encoding="utf-8")) | damage
    path.write_text(json.dumps(seal(described)), encoding="utf-8")
    with pytest.raises(HeadError, match="damaged"):
        load_head(copy)


def test_hidden_layers_learn_labels_that_no_plane_divides() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(900, 2)).astype(np.float32)
    truth = np.stack([values[:, 0] * values[:, 1] > 0, values[:, 0] > 0], axis=1)
    examples = Examples(values, truth, 2, np.arange(900), "multi")
    job = FitJob(options=HeadOptions(dropout=0.0))
    settings = {"hidden": [32], "dropout": 0.0, "epochs": 40}
    weights = HEADS["mlp"].fit(examples.take(slice(0, 600)), settings, job)
    unseen = examples.take(slice(600, 900))
    predicted = compute(HEADS["mlp"].operations(weights), unseen.values) > 0.5
    assert (predicted == unseen.targets).mean(axis=0).min() > 0.9


def test_the_nearest_are_those_of_scikit_learn() -> None:
    values, truth, numbers = make_values(seed=3)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    for task, targets in (("multi", truth), ("regression", numbers)):
        examples = Examples(values, targets, 3, np.arange(COUNT), task)
        settings = {"neighbours": 20, "temperature": 0.07, "smoothing": 0.0}
        weights = HEADS["knn"].fit(examples, settings, FitJob())
        received = compute(HEADS["knn"].operations(weights), values[:9] + 0.1)
        reference = KNeighborsRegressor(20, weights=lambda far: np.exp(-far * far / 2 / 0.07))
        reference.fit(unit, targets.astype(float))
        queries = (values[:9] + 0.1) / np.linalg.norm(values[:9] + 0.1, axis=1, keepdims=True)
        expected = reference.predict(queries).reshape(received.shape)
        np.testing.assert_allclose(received, expected, atol=1e-4)
        chosen = HEADS["knn"].choose(examples, FitJob())
        assert chosen.loss is not None
        assert chosen.loss < (np.log(2) if task == "multi" else numbers.var())


def test_a_label_that_no_image_has_is_said(folder: Path, tmp_path: Path) -> None:
    with (folder / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = [row | {"fish": "0"} for row in csv.DictReader(file)]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(HeadError, match="apply to no image: fish"):
        fit_head(folder / "a.h5", labels=tmp_path / "t.csv", label_columns=NAMES, output="h")


def test_unknown_labels_are_counted_and_values_that_are_missing_said(
    folder: Path, tmp_path: Path
) -> None:
    values, truth, _ = make_values(seed=2)
    labels = join(truth)
    labels[0], labels[1] = "bird|cat", None
    write_sample(tmp_path / "c.h5", {"v": values}, labels=labels, contents=labels_of_rows())
    report = featx.evaluate(tmp_path / "c.h5", head=folder / "multi")
    assert (report.unknown_labels, report.num_unlabelled) == ({"bird": 1}, 1)
    assert report.evaluation.num_examples == COUNT - 1
    with pytest.raises(HeadError, match="No image has a value in price"):
        featx.evaluate(tmp_path / "c.h5", head=folder / "number")


def labels_of_rows() -> list[str]:
    return [f"another {number}" for number in range(COUNT)]


def test_pictures_of_a_manifest_are_measured_by_its_columns(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count, side in (("old", 40, 10), ("new", 20, 12)):
        photos = write_images(count, name, classes=("dark", "light"), size=(side, side))
        rows = []
        for number, path in enumerate(sorted(photos.rglob("*.png"))):
            label = path.parent.name
            price = "" if number == 3 else 3 if label == "dark" else 8
            rows.append((path.relative_to(photos.parent).as_posix(), f"{label}|any", price))
        with open(f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "tags", "price"), *rows])
    featx.extract("old.csv", model=toy, layers=["mean"], output="f.h5")
    fit_head("f.h5", label_columns="tags", kind="linear", output="multi")
    fit_head("f.h5", target="price", kind="ridge", output="number")
    for labels, images in ((None, "new.csv"), ("new.csv", "new")):
        multi = featx.evaluate(images, head="multi", labels=labels)
        number = featx.evaluate(images, head="number", labels=labels)
        assert isinstance(multi.evaluation, LabelEvaluation)
        assert isinstance(number.evaluation, NumberEvaluation)
        assert multi.evaluation.exact == 1
        assert (number.num_unlabelled, number.evaluation.num_examples) == (1, 19)
        assert number.evaluation.mae < number.evaluation.baseline_mae / 2
    with pytest.raises(HeadError, match="path and tags"):
        featx.evaluate("new", head="multi")


def test_predictions_are_written_in_every_form(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = load_head(folder / "multi")
    probabilities = head.predict_proba(make_values(seed=2)[0])
    labels = featx.predict(folder / "b.h5", head=head)
    numbers = featx.predict(folder / "b.h5", head=folder / "number")
    for one, row in zip(labels.predictions, probabilities, strict=True):
        applies = {NAMES[n]: row[n] for n in np.argsort(-row) if row[n] >= head.thresholds[n]}
        assert one.labels == pytest.approx(applies)
        assert list(one.labels or ()) == list(applies)
    expected = load_head(folder / "number").predict(make_values(seed=2)[0])
    assert [one.number for one in numbers.predictions] == pytest.approx(expected.tolist())
    nothing = DecisionOptions()
    for report, task in ((labels, "multi"), (numbers, "regression")):
        for ending in (".csv", ".parquet", ".jsonl"):
            path = tmp_path / f"{task}{ending}"
            write_prediction_file(report.predictions, path, 3, nothing, task)
        assert repr(report)
        assert str(report.predictions[0])
    rows = pyarrow.parquet.read_table(tmp_path / "multi.parquet").to_pylist()
    texts = read_rows(tmp_path / "multi.csv")
    lines = [json.loads(line) for line in (tmp_path / "multi.jsonl").read_text().splitlines()]
    for one, row, text, line in zip(labels.predictions, rows, texts, lines, strict=True):
        assert row["labels"] == list(one.labels or ())
        assert text["labels"] == "|".join(one.labels or ())
        assert line["labels"] == one.labels
    first = read_rows(tmp_path / "regression.csv")[0]
    assert float(first["number"]) == numbers.predictions[0].number
    show_predictions(labels.predictions, ["labels"])
    show_predictions(numbers.predictions, ["number"])
    shown = capsys.readouterr().out
    assert "labels" in shown
    assert f"{numbers.predictions[0].number:.6g}" in shown


def test_options_that_do_not_go_with_a_task_are_refused(folder: Path, tmp_path: Path) -> None:
    store, table = folder / "a.h5", folder / "a.csv"
    with pytest.raises(InvalidValue, match="several labels.*coverage"):
        featx.predict(store, head=folder / "multi", coverage=0.9)
    with pytest.raises(InvalidValue, match="a number.*threshold"):
        featx.predict(store, head=folder / "number", threshold=0.9)
    lower = featx.predict(store, head=folder / "multi", threshold=0.0)
    assert all(len(one.labels or ()) == len(NAMES) for one in lower.predictions)
    for options, kinds in (
        ({"label_columns": "label", "kind": "lda"}, "linear, knn or mlp"),
        ({"target": "price", "labels": table, "kind": "linear"}, "ridge or knn"),
    ):
        with pytest.raises(HeadError, match=f"cannot learn.*{kinds}"):
            fit_head(store, output=tmp_path / "h", **options)
    with pytest.raises(InvalidValue, match="choose one"):
        TaskOptions(label_columns=("a",), target="b")
    with pytest.raises(InvalidValue, match="class_weight"):
        TaskOptions(target="b", class_weight="balanced")
    with pytest.raises(UnknownName, match="prise.*price"):
        fit_head(store, target="prise", labels=table, output=tmp_path / "h")


def test_several_labels_in_one_are_said_with_what_learns_them(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            lines.append(text)

    fit_head(folder / "a.h5", output=tmp_path / "h", kind="centroid", listener=Notes())
    assert any("label_columns='label' learns them" in line for line in lines)


def test_an_older_featx_does_not_take_them_for_classifiers(folder: Path, tmp_path: Path) -> None:
    described = json.loads((folder / "multi" / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    assert described["format_version"] == 2
    fit_head(folder / "a.h5", output=tmp_path / "h", kind="centroid")
    described = json.loads((tmp_path / "h" / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    assert described["format_version"] == 1
    assert "task" not in described


def test_reports_are_shown(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, words in (
        ({"label_columns": "label"}, ("mAP", "threshold", "3 labels")),
        ({"target": "price", "labels": folder / "a.csv"}, ("R²", "saying the mean", "predicts")),
    ):
        report = fit_head(folder / "a.h5", output=tmp_path / "h", learning_curve=True, **options)
        show_fit_report(report)
        shown = capsys.readouterr().out + repr(report) + str(report) + repr(report.evaluation)
        assert all(word in shown for word in words)
        assert len(report.learning_curve) == 5
        assert report.accuracy is None
        with pytest.raises(HeadError, match="confusion matrix"):
            report.plot()
