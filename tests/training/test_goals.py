"""What a network learns: outputs, losses that choose an epoch, and the way back to a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from featx.heads.calibration import cross_entropy, find_factor
from featx.heads.operations import Affine, Operation, Relu, Sigmoid, Softmax, Standardise, compute
from featx.training.goals import Stretch, apply_end, choose_goal
from featx.training.top import stretch, weights_of

VECTORS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def make_top(end: tuple[Operation, ...], count: int) -> tuple[Operation, ...]:
    random = np.random.default_rng(1)
    maps = Affine(random.normal(size=(count, 4)), random.normal(size=count))
    return (Standardise(np.full(4, 0.5), np.full(4, 2.0)), maps, *end)


@pytest.mark.parametrize(
    ("task", "end", "targets", "kind"),
    [
        ("single", (Softmax(),), np.arange(50) % 3, "linear"),
        ("multi", (Sigmoid(),), np.arange(150).reshape(50, 3) % 2 == 0, "linear"),
        ("regression", (), np.linspace(1900, 2000, 50), "ridge"),
    ],
)
def test_a_head_that_was_not_trained_predicts_what_it_did(
    task: Any, end: tuple[Operation, ...], targets: np.ndarray, kind: str
) -> None:
    operations = make_top(end, 1 if task == "regression" else 3)
    goal = choose_goal(task, targets, 3)
    atol = 1e-6 * max(10.0, float(np.abs(targets).max()))  # float32 holds years to four places.
    trained = stretch(operations[: len(operations) - len(goal.end)], goal.begin())
    outputs = compute(trained, VECTORS)
    before = compute(operations, VECTORS)
    np.testing.assert_allclose(apply_end(goal, outputs, 1.0), before, rtol=1e-4, atol=atol)
    again = (*stretch(trained, goal.finish(1.0)), *goal.end)
    np.testing.assert_allclose(compute(again, VECTORS), before, rtol=1e-4, atol=atol)
    found = weights_of(again)
    assert found is not None
    assert found[0] == kind
    assert ("multi" in found[1]) is (task == "multi")
    assert ("number" in found[1]) is (task == "regression")


def test_classes_are_compared_at_their_best_temperature() -> None:
    targets = np.arange(6_000) % 3
    goal = choose_goal("single", targets, 3)
    logits = np.eye(3)[targets] + np.random.default_rng(2).normal(size=(6_000, 3))
    plain, sure = goal.validate(logits, targets), goal.validate(20 * logits, targets)
    assert sure.loss == pytest.approx(plain.loss, rel=1e-3)
    assert sure.loss < cross_entropy(20 * logits, targets)
    assert sure.temperature == pytest.approx(20 * plain.temperature, rel=0.02)
    assert sure.figure == plain.figure == (logits.argmax(axis=1) == targets).mean()
    tempered = apply_end(goal, 20 * logits, sure.temperature)
    own = np.log(tempered[np.arange(6_000), targets])
    assert -own.mean() == pytest.approx(sure.loss, rel=1e-3)


def test_few_images_do_not_choose_the_temperature_alone() -> None:
    """Of three images two are right; the logits were trained to be right more often."""
    logits, targets = 3 * np.eye(3)[[0, 1, 0]], np.arange(3)
    found = choose_goal("single", targets, 3).validate(logits, targets)
    alone = 1 / find_factor(logits, targets)
    assert 1 < found.temperature < 0.75 * alone


def test_numbers_have_their_unit_in_errors_and_none_in_losses() -> None:
    targets = np.array([10.0, 20.0, 30.0, 40.0])
    goal = choose_goal("regression", targets, 0)
    mean = goal.validate(np.zeros((4, 1), np.float32), targets)
    assert mean.loss == pytest.approx(1.0)
    assert mean.figure == pytest.approx(10.0)
    right = goal.validate(goal.encode(targets), targets)
    assert right.loss == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(apply_end(goal, goal.encode(targets), 1.0)[:, 0], targets)


def test_right_labels_are_counted_each() -> None:
    targets = np.array([[True, False], [True, True]])
    goal = choose_goal("multi", targets, 2)
    found = goal.validate(np.array([[3.0, -3.0], [-3.0, 3.0]]), targets)
    assert found.figure == 0.75


def test_what_is_not_dense_layers_is_no_top() -> None:
    maps = Affine(np.eye(2), np.zeros(2))
    assert weights_of([maps, Relu(), maps]) is None  # No kind of head of numbers has hidden layers.
    assert weights_of([Softmax()]) is None
    (scaled,) = stretch([maps], Stretch(2.0, 1.0))
    assert scaled(np.array([[1.0, 0.0]])).tolist() == [[3.0, 1.0]]
