"""The kinds of heads against scikit-learn, on few examples, and how one of them is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from featx.errors import HeadError, InvalidValue
from featx.events import Listener
from featx.heads.calibration import cross_entropy, find_factor
from featx.heads.choosing import choose_kind
from featx.heads.design import make_design
from featx.heads.folds import COMPARED_ROWS, make_folds, sample_rows
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.lda import find_shrinkage
from featx.heads.moments import find_moments
from featx.heads.operations import compute
from featx.heads.options import HeadOptions, parse_hidden

LINEAR_ONES = ("linear", "ridge", "lda")


def clouds(
    num_classes: int, per_class: int, width: int, spread: float = 1.0, seed: int = 0
) -> Examples:
    """Overlapping clouds with correlated axes; each row is a group of its own."""
    random = np.random.default_rng(seed)
    targets = np.arange(num_classes * per_class) % num_classes
    values = random.normal(size=(num_classes, width))[targets]
    values += spread * random.normal(size=values.shape) @ random.normal(size=(width, width)) / 2
    return Examples(values.astype(np.float32), targets, num_classes, np.arange(len(targets)))


def fit(kind: str, examples: Examples, settings: dict[str, Any] | None = None) -> np.ndarray:
    """Fit and predict the same examples, (N, C)."""
    head = HEADS[kind]
    chosen = head.choose(examples, FitJob()).settings if settings is None else settings
    return compute(head.operations(head.fit(examples, chosen, FitJob())), examples.values)


def standardise(examples: Examples) -> np.ndarray:
    return np.asarray(StandardScaler().fit_transform(examples.values.astype(np.float64)))


@pytest.mark.parametrize(("per_class", "width"), [(40, 8), (4, 30)])
@pytest.mark.parametrize("inverse", [1e-4, 1e-2, 1.0])
def test_linear_has_the_loss_of_scikit_learn(per_class: int, width: int, inverse: float) -> None:
    # Fewer examples than values (12 of 30): fitted in the space that the examples span.
    examples = clouds(3, per_class, width)
    values = standardise(examples)
    reference = LogisticRegression(C=inverse, max_iter=5000, tol=1e-8).fit(values, examples.targets)
    expected = -np.log(reference.predict_proba(values)[np.arange(len(examples)), examples.targets])
    received = fit("linear", examples, {"C": inverse, "folds": 0})
    own = received[np.arange(len(examples)), examples.targets]
    assert -np.log(own).mean() == pytest.approx(expected.mean(), abs=1e-4)


def test_sample_weights_are_those_of_scikit_learn() -> None:
    examples = clouds(3, 20, 5)
    weights = np.random.default_rng(1).uniform(0.1, 3, len(examples))
    weighted = Examples(
        examples.values, examples.targets, 3, examples.groups, weights=np.round(weights) + 1
    )
    rows = np.repeat(np.arange(len(examples)), weighted.counts.astype(int))
    repeated = examples.take(rows)
    for kind, settings in (
        ("linear", {"C": 0.1}),
        ("ridge", {"alpha": 5.0, "temperature": 0.1}),
        ("centroid", {"temperature": 0.1}),
    ):
        received = fit(kind, weighted, settings)
        expected = fit(kind, repeated, settings)[np.unique(rows, return_index=True)[1]]
        np.testing.assert_allclose(received, expected, atol=1e-4, err_msg=kind)


@pytest.mark.parametrize(("per_class", "width"), [(40, 8), (4, 30)])
def test_ridge_has_the_scores_of_scikit_learn(per_class: int, width: int) -> None:
    examples = clouds(3, per_class, width)
    indicators = np.eye(3)[examples.targets]
    expected = (
        Ridge(alpha=7.0).fit(standardise(examples), indicators).predict(standardise(examples))
    )
    received = fit("ridge", examples, {"alpha": 7.0, "temperature": 0.2})
    np.testing.assert_allclose(
        received, np.exp(expected / 0.2) / np.exp(expected / 0.2).sum(1, keepdims=True), atol=1e-4
    )


def test_ridge_learns_numbers() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 6)).astype(np.float32)
    numbers = values @ np.arange(6) + 3 + 0.1 * random.normal(size=200)
    examples = Examples(values, numbers, 1, np.arange(200), "regression")
    chosen = HEADS["ridge"].choose(examples, FitJob())
    assert chosen.loss == pytest.approx(0.01, rel=0.5)
    received = fit("ridge", examples)
    assert received.shape == (200, 1)
    assert np.corrcoef(received[:, 0], numbers)[0, 1] > 0.999


def test_linear_learns_several_labels_of_a_picture() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(300, 5)).astype(np.float32)
    targets = values[:, :3] > 0
    examples = Examples(values, targets, 3, np.arange(300), "multi")
    received = fit("linear", examples)
    assert ((received > 0.5) == targets).mean() > 0.97
    alone = LogisticRegression(C=0.1, tol=1e-8).fit(standardise(examples), targets[:, 1])
    expected = alone.predict_proba(standardise(examples))[:, 1]
    np.testing.assert_allclose(fit("linear", examples, {"C": 0.1})[:, 1], expected, atol=1e-4)


@pytest.mark.parametrize(("per_class", "width"), [(40, 8), (4, 30)])
def test_lda_is_that_of_scikit_learn_with_this_shrinkage(per_class: int, width: int) -> None:
    examples = clouds(3, per_class, width)
    values = standardise(examples)
    design = make_design(examples)
    shrinkage = find_shrinkage(design, find_moments(design)[0])
    means = np.stack([values[examples.targets == number].mean(axis=0) for number in range(3)])
    _, expected = ledoit_wolf(values - means[examples.targets], assume_centered=True)
    assert shrinkage == pytest.approx(expected, rel=1e-4)
    received = fit("lda", examples, {"temperature": 1.0})

    class Covariance:
        def fit(self, centred: np.ndarray) -> None:  # Of one class after the other.
            covariance = np.cov((values - means[examples.targets]).T, bias=True)
            size = np.trace(covariance) / width
            self.covariance_ = (1 - shrinkage) * covariance + shrinkage * size * np.eye(width)

    reference = LinearDiscriminantAnalysis("lsqr", covariance_estimator=Covariance())
    probabilities = reference.fit(values, examples.targets).predict_proba(values)
    np.testing.assert_allclose(received, probabilities, atol=2e-3)


def test_the_loss_of_knn_is_that_of_its_predictions() -> None:
    examples, head = clouds(4, 30, 6), HEADS["knn"]
    chosen = head.choose(examples, FitJob())
    losses, right = [], []
    for train, test in make_folds(examples, seed=0):
        weights = head.fit(examples.take(train), chosen.settings, FitJob())
        probabilities = compute(head.operations(weights), examples.values[test])
        losses.append(-np.log(probabilities[np.arange(len(test)), examples.targets[test]]))
        right.append(probabilities.argmax(axis=1) == examples.targets[test])
    assert chosen.loss == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    assert chosen.accuracy == np.concatenate(right).mean()
    assert chosen.num_held_out == len(examples)


def test_knn_votes_as_scikit_learn() -> None:
    examples = clouds(4, 30, 6)
    unit = examples.values / np.linalg.norm(examples.values, axis=1, keepdims=True)

    def weigh(distances: np.ndarray) -> np.ndarray:  # |a - b|^2 = 2 - 2 cos
        return np.exp((1 - np.square(distances) / 2) / 0.07)

    reference = KNeighborsClassifier(20, weights=weigh).fit(unit, examples.targets)
    settings = {"neighbours": 20, "temperature": 0.07, "smoothing": 0.0}
    received = fit("knn", examples, settings)
    np.testing.assert_allclose(received, reference.predict_proba(unit), atol=1e-4)


def test_mlp_learns_what_no_line_divides() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 2)).astype(np.float32)
    targets = (values[:, 0] * values[:, 1] > 0).astype(int)
    examples = Examples(values, targets, 2, np.arange(400))
    job = FitJob(options=HeadOptions("mlp", hidden=(32, 16), dropout=0.0))
    chosen = HEADS["mlp"].choose(examples, job)
    assert chosen.settings["hidden"] == [32, 16]
    assert chosen.settings["epochs"] > 1
    assert chosen.accuracy is not None
    assert chosen.accuracy > 0.9
    weights = HEADS["mlp"].fit(examples, chosen.settings, job)
    assert weights["coefficients_1"].shape == (16, 32)
    assert HEADS["linear"].choose(examples, FitJob()).accuracy < 0.6  # type: ignore[operator]


@pytest.mark.parametrize("kind", HEADS.names)
def test_constant_values_and_one_wide_example_of_each_class(kind: str) -> None:
    values = np.ones((3, 50), np.float32)
    values[:, :3] += np.eye(3, dtype=np.float32)
    examples = Examples(values, np.arange(3), 3, np.arange(3))
    assert fit(kind, examples).argmax(axis=1).tolist() == [0, 1, 2]
    nothing = Examples(np.ones((6, 4), np.float32), np.arange(6) % 2, 2, np.arange(6))
    np.testing.assert_allclose(fit(kind, nothing), 0.5, atol=0.01)


@pytest.mark.parametrize("kind", [name for name in HEADS.names if name != "mlp"])
def test_probabilities_are_calibrated_enough_to_compare(kind: str) -> None:
    # What the loss on held-out rows promises holds on rows that were never seen.
    examples = clouds(4, 400, 6, spread=2)
    seen, unseen = examples.take(slice(0, 800)), examples.take(slice(800, 1600))
    chosen = HEADS[kind].choose(seen, FitJob())
    weights = HEADS[kind].fit(seen, chosen.settings, FitJob())
    probabilities = compute(HEADS[kind].operations(weights), unseen.values)
    loss = -np.log(probabilities[np.arange(800), unseen.targets]).mean()
    assert loss == pytest.approx(chosen.loss, rel=0.15)


# Rows that are held out


def test_folds_fit_on_every_class_and_keep_groups_together() -> None:
    random = np.random.default_rng(0)
    for count in (30, 500, 3_000):
        targets = np.minimum(random.geometric(0.4, count) - 1, 5)
        groups = random.integers(0, count // 2, count)
        targets = targets[np.unique(groups, return_inverse=True)[1]]  # One class for each group.
        _, targets = np.unique(targets, return_inverse=True)
        examples = Examples(np.zeros((count, 1)), targets, int(targets.max()) + 1, groups)
        folds = make_folds(examples, seed=1)
        assert folds.count in (2, 3, 4, 5)
        for train, test in folds:
            assert set(targets[train]) == set(targets)
            assert not set(groups[train]) & set(groups[test])
            assert len(train) + len(test) == count
        assert len(np.unique(folds.held_out)) == len(folds.held_out)


def test_many_rows_have_one_part_held_out() -> None:
    targets = np.arange(200_000) % 7
    examples = Examples(np.zeros((len(targets), 1)), targets, 7, np.arange(len(targets)))
    folds = make_folds(examples, seed=0)
    assert folds.count == 1
    assert len(folds.held_out) == 20_000
    assert np.bincount(targets[folds.held_out]).min() > 2_000
    assert len(make_folds(examples.take(np.arange(50_000)), seed=0).held_out) == 10_000


def test_a_sample_keeps_small_classes() -> None:
    targets = np.repeat([0, 1], [9_990, 10])
    examples = Examples(np.zeros((10_000, 1)), targets, 2, np.arange(10_000))
    rows = sample_rows(examples, 1_000, seed=0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(targets[rows]).tolist() == [999, 2]
    assert len(sample_rows(examples, 10_000, seed=0)) == 10_000


def test_the_factor_is_the_best_one() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(300, 4))
    targets = np.array([random.choice(4, p=np.exp(3 * s) / np.exp(3 * s).sum()) for s in scores])
    found = find_factor(scores, targets)
    assert found == pytest.approx(3, rel=0.2)
    best = cross_entropy(found * scores, targets)
    assert all(best <= cross_entropy(other * scores, targets) for other in np.arange(1, 6, 0.5))


def test_the_factor_is_no_surer_than_the_number_of_examples_allows() -> None:
    scores, targets = np.eye(3)[np.arange(30) % 3], np.arange(30) % 3  # All are right.
    factor = find_factor(scores, targets)
    own = np.exp(factor) / (np.exp(factor) + 2)
    assert 0.9 < own < 31 / 32


# The choice


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tried: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def trying(self, what: str) -> None:
        self.tried.append(what.split(",")[0])


def test_auto_takes_the_least_loss_and_says_the_figures() -> None:
    listener = Notes()
    picked = choose_kind(clouds(3, 30, 5), FitJob(listener=listener))
    losses = [trial.loss for trial in picked.trials if trial.loss is not None]
    assert losses == sorted(losses)
    assert {trial.kind for trial in picked.trials} == {"linear", "ridge", "lda", "knn", "centroid"}
    assert picked.kind == picked.trials[0].kind
    assert set(listener.tried) >= {"linear", "ridge", "lda", "knn", "centroid"}
    (text,) = listener.texts
    assert text.startswith(f"{picked.kind} has the least loss on images held out: ")
    for trial in picked.trials:
        assert f"{trial.kind} {trial.loss:.3f}" in text


def test_kinds_are_compared_on_the_same_rows() -> None:
    random = np.random.default_rng(0)
    targets = random.choice(3, 25_000, p=[0.11, 0.33, 0.56])
    values = random.normal(size=(25_000, 1)).astype(np.float32)
    examples = Examples(values, targets, 3, np.arange(25_000))
    sample = examples.take(sample_rows(examples, COMPARED_ROWS, seed=0))
    assert len(sample) > COMPARED_ROWS, "of unequal classes a few more are taken"
    counts = {kind: HEADS[kind].choose(sample, FitJob()).num_held_out for kind in LINEAR_ONES}
    assert len(set(counts.values())) == 1, counts


@pytest.mark.slow
def test_auto_takes_a_curve_where_no_line_will_do() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(2_500, 3)).astype(np.float32)
    targets = (values[:, 0] * values[:, 1] > 0).astype(int)
    picked = choose_kind(Examples(values, targets, 2, np.arange(2_500)), FitJob())
    assert picked.kind in ("mlp", "knn")


def test_auto_with_one_example_of_each_class() -> None:
    listener = Notes()
    picked = choose_kind(clouds(4, 1, 9), FitJob(listener=listener))
    assert picked.kind == "centroid"
    assert listener.texts == ["too few examples to compare kinds of heads: centroid"]


def test_a_kind_that_cannot_learn_the_task_is_refused() -> None:
    values = np.zeros((4, 2), np.float32)
    examples = Examples(values, np.arange(4.0), 1, np.arange(4), "regression")
    with pytest.raises(HeadError, match="A head of kind lda cannot learn numbers. Choose .*ridge"):
        choose_kind(examples, FitJob(options=HeadOptions("lda")))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": (0,)}, "at least 1"), ({"hidden": ()}, "at least 1"), ({"dropout": 1.0}, "share")],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        HeadOptions("mlp", **options)


@pytest.mark.parametrize("text", ["a", "128,", "1.5"])
def test_widths_that_are_no_numbers(text: str) -> None:
    with pytest.raises(InvalidValue, match="such as 128,64"):
        parse_hidden(text)


@pytest.mark.slow
def test_auto_with_ten_thousand_classes() -> None:
    examples = clouds(10_000, 2, 24, spread=0.05)
    picked = choose_kind(examples, FitJob())
    assert {trial.kind for trial in picked.trials} == {"ridge", "lda", "knn", "centroid"}
    weights = HEADS[picked.kind].fit(examples, picked.choice.settings, FitJob())
    probabilities = compute(HEADS[picked.kind].operations(weights), examples.values[:500])
    assert probabilities.shape == (500, 10_000)
    assert (probabilities.argmax(axis=1) == examples.targets[:500]).mean() > 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": np.array([0, 9, 1, 1])},
        {"targets": np.array([0, -1, 1, 1])},
        {"targets": np.array([0, 1])},
        {"counts": np.ones(1, np.float32)},
        {"classes": np.array(10**9)},
        {"neighbours": np.array(0)},
        {"temperature": np.array(0.0)},
        {"smoothing": np.array(-1.0)},
    ],
)
def test_arrays_of_a_stranger_that_vote_for_nothing_are_refused(wrong: dict[str, Any]) -> None:
    head, examples = HEADS["knn"], clouds(2, 2, 3)
    weights = head.fit(examples, head.choose(examples, FitJob()).settings, FitJob())
    assert head.operations(weights)
    with pytest.raises(ValueError, match="range|classes|each example"):
        head.operations(weights | wrong)


# Memory


def test_rows_that_follow_one_another_are_not_copied() -> None:
    examples = clouds(3, 10, 4)
    middle = np.zeros(30, bool)
    middle[5:20] = True
    for rows in (slice(5, 20), np.arange(5, 20), middle):
        part = examples.take(rows)
        assert np.shares_memory(part.values, examples.values)
        np.testing.assert_array_equal(part.values, examples.values[5:20])
    for scattered in (np.array([3, 1, 2]), np.array([1, 1, 3]), np.array([1, 3])):
        part = examples.take(scattered)
        np.testing.assert_array_equal(part.values, examples.values[scattered])
    assert len(examples.take(np.zeros(30, bool))) == 0


def test_a_fit_goes_on_from_an_earlier_one() -> None:
    examples = clouds(3, 4_000, 10, spread=2)
    head, settings = HEADS["linear"], {"C": 1.0}
    first = head.fit(examples.take(slice(0, 10_000)), settings, FitJob())
    job = FitJob(start=first)
    anew, further = head.fit(examples, settings, FitJob()), head.fit(examples, settings, job)
    values, rows = standardise(examples), np.arange(12_000)
    reference = LogisticRegression(C=1.0, tol=1e-6, max_iter=1000).fit(values, examples.targets)
    own = reference.predict_proba(values)[rows, examples.targets]
    least = -np.log(own).mean() + np.square(reference.coef_).sum() / 2 / 12_000
    for weights in (anew, further):
        own = compute(head.operations(weights), examples.values)[rows, examples.targets]
        loss = -np.log(own).mean() + np.square(weights["coefficients"]).sum() / 2 / 12_000
        assert loss == pytest.approx(least, abs=1e-3)
