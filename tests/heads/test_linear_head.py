"""The linear head against scikit-learn, its split and its measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from featx.events import Listener
from featx.heads.evaluation import measure_classes
from featx.heads.folds import make_folds
from featx.heads.kinds import Examples, FitJob
from featx.heads.linear import REGULARISATIONS, linear
from featx.heads.logistic import EXACT_VALUES
from featx.heads.operations import compute
from featx.heads.splits import split_stratified


def blobs(num_classes: int, per_class: int = 12, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds, with axes of very different scale and one constant axis."""
    random = np.random.default_rng(num_classes)
    targets = np.arange(num_classes * per_class) % num_classes
    centres = random.normal(size=(num_classes, width))
    values = centres[targets] + random.normal(size=(len(targets), width))
    values *= 10.0 ** np.arange(width)[np.newaxis] / 100
    values[:, 2] = 7
    return values.astype(np.float32), targets


def fit(
    values: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fit a linear head; each row is its own group unless told otherwise."""
    groups = np.arange(len(targets)) if groups is None else groups
    examples, job = Examples(values, targets, num_classes, groups), FitJob(seed)
    settings = linear.choose(examples, job).settings
    return linear.fit(examples, settings, job), settings


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_probabilities_are_those_of_scikit_learn(num_classes: int) -> None:
    values, targets = blobs(num_classes)
    weights, settings = fit(values, targets, num_classes, seed=0)
    reference = make_pipeline(
        StandardScaler(), LogisticRegression(C=settings["C"], max_iter=5000, tol=1e-9)
    ).fit(values.astype(np.float64), targets)
    random = np.random.default_rng(9)
    unseen = values + random.normal(size=values.shape).astype(np.float32) * values.std(axis=0)
    probabilities = compute(linear.operations(weights), unseen)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(values), num_classes)
    np.testing.assert_allclose(probabilities, reference.predict_proba(unseen), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("inverse", "condition"), [(0.01, 1), (10.0, 1), (10.0, 1e6)])
def test_long_fits_end_near_the_objective_of_scikit_learn(
    inverse: float, condition: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 1e-3 nats, from nothing as from a fit on some of the rows.

    The condition is that of the features' covariance.
    """
    random, targets = np.random.default_rng(0), np.arange(2_100) % 6
    values = random.normal(size=(2_100, 60)) + 0.4 * random.normal(size=(6, 60))[targets]
    if condition > 1:
        rotation = np.linalg.qr(random.normal(size=(60, 60)))[0]
        values = values * condition ** (-np.arange(60) / 118) @ rotation
    values = np.asarray(values, np.float32)
    assert values.size > EXACT_VALUES
    monkeypatch.setattr("featx.heads.linear.LONG_WORK", 1)
    rows = np.arange(len(values))
    examples, part = Examples(values, targets, 6, rows), rows[rows % 5 > 0]
    settings, scaled = {"C": inverse}, StandardScaler().fit_transform(values.astype(float))
    with threadpool_limits(1):
        exact = LogisticRegression(C=inverse, max_iter=1000, tol=1e-5).fit(scaled, targets)

    def objective(probabilities: np.ndarray, coefficients: np.ndarray) -> float:
        own = probabilities[rows, targets].astype(float)
        penalty = float(np.square(coefficients).sum()) / (2 * inverse * len(rows))
        return float(-np.log(own).mean()) + penalty

    least = objective(exact.predict_proba(scaled), exact.coef_)
    start = linear.fit(examples.take(part), settings, FitJob())
    for job in (FitJob(), FitJob(start=start)):
        weights = linear.fit(examples, settings, job)
        found = objective(compute(linear.operations(weights), values), weights["coefficients"])
        assert least - 1e-5 < found < least + 1e-3


def test_regularisation_is_the_best_of_cross_validation() -> None:
    from sklearn.model_selection import GridSearchCV, PredefinedSplit

    values, targets = blobs(3)
    _, settings = fit(values, targets, 3, seed=5)
    folds = make_folds(Examples(values, targets, 3, np.arange(len(targets))), seed=5)
    search = GridSearchCV(
        LogisticRegression(max_iter=1000),
        {"C": list(REGULARISATIONS)},
        scoring="neg_log_loss",
        cv=PredefinedSplit(folds.numbers),
        refit=False,
    )
    with threadpool_limits(1):
        search.fit(StandardScaler().fit_transform(values), targets)
    assert settings == {"C": search.best_params_["C"], "folds": 5}


def test_copies_of_a_picture_do_not_flatter_the_choice() -> None:
    # With copies on both sides of a fold, weak regularisation looks good: it learns by heart.
    values, targets = blobs(3)
    values = values + np.random.default_rng(0).normal(0, 6, values.shape).astype(np.float32)
    _, once = fit(values, targets, 3, seed=1)
    twice, both = np.concatenate([values, values]), np.concatenate([targets, targets])
    groups = np.tile(np.arange(len(values)), 2)
    _, grouped = fit(twice, both, 3, seed=1, groups=groups)
    _, leaking = fit(twice, both, 3, seed=1)
    assert grouped["C"] <= once["C"] < leaking["C"]


def test_noise_is_regularised_strongly_and_signal_weakly() -> None:
    random = np.random.default_rng(0)
    targets = np.arange(60) % 2
    noise = random.normal(size=(60, 30)).astype(np.float32)
    signal = (targets[:, np.newaxis] + 0.01 * random.normal(size=(60, 3))).astype(np.float32)
    _, of_noise = fit(noise, targets, 2, seed=0)
    _, of_signal = fit(signal, targets, 2, seed=0)
    assert of_noise["C"] <= 0.01
    assert of_signal["C"] == 10


@pytest.mark.parametrize(("per_class", "folds"), [(1, 0), (2, 2), (3, 3), (9, 5)])
def test_folds_for_small_classes(per_class: int, folds: int) -> None:
    values, targets = blobs(2, per_class)
    weights, settings = fit(values, targets, 2, seed=0)
    assert settings["folds"] == folds
    if folds == 0:
        assert settings["C"] == 1.0
    assert set(weights) == {"mean", "scale", "coefficients", "intercepts"}
    assert weights["coefficients"].shape == (2, 6)


def test_a_fit_that_takes_long_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Notes(Listener):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def note(self, text: str) -> None:
            self.lines.append(text)

    values, targets = blobs(3)
    examples, notes = Examples(values, targets, 3, np.arange(len(targets))), Notes()
    linear.choose(examples, FitJob(listener=notes))
    assert not notes.lines
    monkeypatch.setattr("featx.heads.linear.MOST_CLASSES", 2)
    linear.choose(examples, FitJob(listener=notes))
    assert notes.lines == [
        "a linear head of 3 classes on 36 images may take many minutes; kind='ridge' takes seconds"
    ]


def test_same_seed_same_weights() -> None:
    values, targets = blobs(3)
    first, second = (fit(values, targets, 3, seed=1)[0] for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_huge_logits_do_not_overflow() -> None:
    weights = {
        "mean": np.zeros(1, np.float32),
        "scale": np.ones(1, np.float32),
        "coefficients": np.array([[1.0], [0.0]], np.float32),
        "intercepts": np.zeros(2, np.float32),
    }
    values = np.array([[1e4], [-1e4], [0]], np.float32)
    assert compute(linear.operations(weights), values).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]


# The split


@st.composite
def labelled_groups(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a class and a group; the rows of a group share their class."""
    group_targets = draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    groups = draw(st.lists(st.integers(0, len(group_targets) - 1), min_size=1, max_size=60))
    return np.array([group_targets[group] for group in groups]), np.array(groups)


@settings(max_examples=200, deadline=None)
@given(labelled_groups(), st.floats(0, 0.95), st.integers(0, 99))
def test_split_is_stratified_and_keeps_identical_files_together(
    rows: tuple[np.ndarray, np.ndarray], test_size: float, seed: int
) -> None:
    targets, groups = rows
    held_out = split_stratified(targets, groups, test_size=test_size, seed=seed)
    assert held_out.dtype == bool
    assert held_out.shape == targets.shape
    for group in set(groups.tolist()):
        assert len(set(held_out[groups == group].tolist())) == 1
    for target in set(targets.tolist()):
        members = sorted(set(groups[targets == target].tolist()))
        test = [group for group in members if held_out[groups == group].all()]
        if test_size == 0 or len(members) == 1:
            assert test == []
        else:
            assert 1 <= len(test) < len(members)
            own = targets == target
            largest = np.bincount(groups[own]).max()  # Nearer than a group nothing can be.
            assert abs(held_out[own].sum() - test_size * own.sum()) <= largest
    again = split_stratified(targets, groups, test_size=test_size, seed=seed)
    np.testing.assert_array_equal(held_out, again)


def test_split_depends_on_the_seed() -> None:
    targets, groups = np.zeros(40, int), np.arange(40)
    splits = {
        split_stratified(targets, groups, test_size=0.5, seed=seed).tobytes() for seed in range(5)
    }
    assert len(splits) == 5


def test_every_class_is_trained_on_when_identical_files_have_several_labels() -> None:
    # Class 1 consists of copies of class 0's pictures.
    targets, groups = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    for seed in range(20):
        held_out = split_stratified(targets, groups, test_size=0.5, seed=seed)
        assert set(targets[~held_out].tolist()) == {0, 1}


# The evaluation


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(2, 5))
def test_evaluation_is_that_of_scikit_learn(data: st.DataObject, num_classes: int) -> None:
    numbers = st.integers(0, num_classes - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40))
    targets, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    names = tuple(f"class {number}" for number in range(num_classes))
    result = measure_classes(np.eye(num_classes)[predicted], targets, names)
    labels = list(range(num_classes))
    assert result.num_examples == len(pairs)
    assert result.accuracy == pytest.approx(accuracy_score(targets, predicted))
    reference = precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=0)
    for report, precision, recall, f1, support in zip(result.classes, *reference, strict=True):
        assert (report.precision, report.recall, report.f1) == pytest.approx(
            (precision, recall, f1)
        )
        assert report.support == support
    present = sorted(set(targets.tolist()))
    assert result.macro_f1 == pytest.approx(
        f1_score(targets, predicted, labels=present, average="macro", zero_division=0)
    )
    matrix = confusion_matrix(targets, predicted, labels=labels)
    assert {(a, b): n for a, b, n in result.confusions} == {
        (names[a], names[b]): matrix[a, b]
        for a in labels
        for b in labels
        if a != b and matrix[a, b]
    }
    confusion_counts = [count for _, _, count in result.confusions]
    assert confusion_counts == sorted(confusion_counts, reverse=True)


def test_evaluation_by_hand() -> None:
    predicted = np.eye(2)[[0, 1, 1, 1, 0]]
    result = measure_classes(predicted, np.array([0, 0, 0, 1, 1]), ("cat", "dog"))
    assert result.accuracy == pytest.approx(2 / 5)
    cat, dog = result.classes
    assert (cat.name, cat.support) == ("cat", 3)
    assert (cat.precision, cat.recall, cat.f1) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert (dog.precision, dog.recall, dog.f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert result.confusions == (("cat", "dog", 2), ("dog", "cat", 1))


def test_copies_with_different_labels_do_not_stop_the_fit() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    targets = np.array([0, 1, 0, 1, 0, 1, 0])
    _, settings = fit(values, targets, 2, seed=0, groups=np.array([2, 1, 0, 0, 2, 0, 2]))
    assert settings["C"] in REGULARISATIONS
