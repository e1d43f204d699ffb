"""Sets of classes hold the true one at the stated rate, and what is unlike is told."""

from __future__ import annotations

import numpy as np
import pytest

from featx.heads.evidence import (
    MAX_REFERENCE_BYTES,
    MAX_REFERENCES,
    MAX_SCORES,
    Evidence,
    collect_evidence,
    take_evidence,
)


def _keep(train: np.ndarray, test: np.ndarray, own: np.ndarray) -> Evidence:
    """Return what is kept of vectors that were fitted on and of held-out ones."""
    held_out = np.arange(len(train) + len(test)) >= len(train)
    return collect_evidence(np.concatenate([train, test]), held_out, own, seed=0)


def _collect(random: np.random.Generator, num_held_out: int) -> Evidence:
    own = random.beta(4, 1, num_held_out)
    train, test = random.normal(size=(60, 8)), random.normal(size=(num_held_out, 8))
    return _keep(train, test, own)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_the_true_class_is_in_the_set_at_the_stated_rate(coverage: float) -> None:
    random = np.random.default_rng(1)
    rates = []
    for _ in range(200):
        least = _collect(random, 150).least_probability(coverage)
        rates.append(float((random.beta(4, 1, 500) >= least).mean()))
    # The mean over samples lies between the rate and the rate + 1 / (M + 1) (Vovk et al., 2005).
    assert coverage - 0.006 <= np.mean(rates) <= coverage + 1 / 151 + 0.006


@pytest.mark.parametrize("num_classes", range(2, 40))
def test_equal_probabilities_are_in_the_set(num_classes: int) -> None:
    own = np.full(50, 1 / num_classes, np.float32)  # As of a head that can tell nothing.
    values = np.eye(51, 4)
    evidence = collect_evidence(values, np.arange(51) > 0, own, seed=0)
    assert own[0] >= evidence.least_probability(0.9)


def test_a_rate_that_the_held_out_pictures_cannot_show_gives_all_classes() -> None:
    evidence = _collect(np.random.default_rng(0), 20)
    assert evidence.least_probability(0.95) > 0
    assert evidence.least_probability(0.96) == 0.0


def test_far_vectors_are_new_and_near_ones_are_not() -> None:
    random = np.random.default_rng(0)
    centre = np.zeros(16)
    centre[0] = 5
    train, test = (random.normal(centre, size=(200, 16)) for _ in range(2))
    evidence = _keep(train, test, np.full(200, 0.9))
    assert evidence.novelty(-train).min() == 1.0
    fresh = evidence.novelty(random.normal(centre, size=(2000, 16)))
    assert np.mean(fresh) == pytest.approx(0.5, abs=0.06), "a percentile is uniform"
    assert np.mean(fresh > 0.9) == pytest.approx(0.1, abs=0.06)


def test_without_held_out_pictures_novelty_is_measured_among_those_fitted_on() -> None:
    random = np.random.default_rng(0)
    train = random.normal(size=(100, 4)) + 3
    evidence = _keep(train, train[:0], np.zeros(0))
    assert evidence.least_probability(0.5) == 0.0
    assert np.mean(evidence.novelty(random.normal(size=(500, 4)) + 3)) == pytest.approx(
        0.5, abs=0.1
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_examples_are_enough(count: int) -> None:
    values = np.eye(4)[:count]
    evidence = _keep(values, values[:0], np.zeros(0))
    assert evidence.novelty(np.zeros((2, 4))).shape == (2,)


def test_what_is_kept_is_bounded() -> None:
    values = np.ones((MAX_SCORES + 10, 1), np.float32)
    evidence = _keep(
        np.ones((120, 20_000), np.float32), np.ones((2, 20_000), np.float32), np.ones(2)
    )
    assert 0 < evidence.references.nbytes <= MAX_REFERENCE_BYTES
    many = _keep(values, values, np.ones(len(values)))
    assert sum(array.nbytes for array in many.to_arrays().values()) < 60_000


def test_arrays_of_a_file_are_checked() -> None:
    evidence = _collect(np.random.default_rng(0), 20)
    read = evidence.to_arrays() | {"mean": np.zeros(8)}
    again = take_evidence(read, 8)
    assert again is not None
    assert list(read) == ["mean"]
    assert again.least_probability(0.8) == evidence.least_probability(0.8)
    assert take_evidence({"mean": np.zeros(8)}, 8) is None
    for name, values in (
        ("featx.scores", evidence.scores[::-1]),
        ("featx.references", evidence.references[:, :3]),
        ("featx.references", evidence.references[:0]),
        ("featx.references", np.zeros((MAX_REFERENCES + 1, 8), np.float16)),
        ("featx.distances", evidence.distances.astype(np.float64)),
    ):
        with pytest.raises(ValueError, match="ascend|vectors|references"):
            take_evidence(evidence.to_arrays() | {name: values}, 8)
