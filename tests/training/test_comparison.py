"""Two classifiers compared on the same pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from featx.heads.judging import Judge
from featx.heads.temperature import Scored
from featx.images.roots import MEMORY
from featx.training.comparison import compare_paired, compare_predictions, tango_interval


def test_interval_is_where_the_score_is_the_quantile() -> None:
    # Without discordant pairs, Tango's interval has a closed form: z^2 / (n + z^2).
    squared = 1.959963984540054**2
    low, high = tango_interval(0, 0, 100)
    assert high == pytest.approx(squared / (100 + squared), abs=1e-6)
    assert low == pytest.approx(-high)


@pytest.mark.parametrize(("gained", "lost"), [(9, 4), (4, 9), (16, 0), (0, 44), (44, 0)])
def test_interval_holds_the_difference_and_mirrors(gained: int, lost: int) -> None:
    low, high = tango_interval(gained, lost, 44)
    assert -1 <= low <= (gained - lost) / 44 <= high <= 1
    mirrored = tango_interval(lost, gained, 44)
    np.testing.assert_allclose(mirrored, (-high, -low), atol=1e-9)


def test_interval_covers_in_95_of_100_experiments() -> None:
    random = np.random.default_rng(0)
    drawn = random.multinomial(200, [0.10, 0.05, 0.85], size=1000)
    covered = 0
    for gained, lost, _ in drawn.tolist():
        low, high = tango_interval(gained, lost, 200)
        covered += low <= 0.05 <= high
    assert covered == pytest.approx(950, abs=20)


def test_test_is_mcnemars() -> None:
    before, after = np.arange(50) < 30, (np.arange(50) < 28) | (np.arange(50) > 40)
    found = compare_paired(before, after)
    assert (found.num_gained, found.num_lost) == (9, 2)
    assert found.gain == pytest.approx(7 / 50)
    assert found.p_value == pytest.approx(binomtest(9, 11).pvalue)


def hold(targets: np.ndarray, outputs: np.ndarray) -> Any:
    """Return what was said of pictures: numbers (N,), or labels (N, C)."""
    rows = len(targets)
    pictures = (MEMORY, tuple(map(str, range(rows))), np.zeros((rows, 16), np.uint8))
    judge = Judge("multi" if targets.ndim == 2 else "regression", ("a", "b", "c"), 0, True)
    outputs = outputs.reshape(rows, -1)
    return judge.look_at(pictures, Scored(outputs, targets, np.arange(rows)), np.zeros(rows, bool))


def test_smaller_errors_are_a_gain() -> None:
    random = np.random.default_rng(0)
    targets = random.normal(50, 10, 200)
    old, new = (targets + random.normal(0, scale, 200) for scale in (6, 3))
    found = compare_predictions(hold(targets, old), hold(targets, new))
    assert found.figure == "mean absolute error"
    assert found.gain == pytest.approx(np.abs(old - targets).mean() - np.abs(new - targets).mean())
    low, high = found.interval
    assert 0 < low < found.gain < high
    assert found.num_gained + found.num_lost == 200
    assert found.p_value == pytest.approx(binomtest(found.num_gained, 200).pvalue)
    back = compare_predictions(hold(targets, new), hold(targets, old))
    assert back.gain == pytest.approx(-found.gain)


def test_intervals_of_errors_cover() -> None:
    """Two predictors that are equally good: 0 is in 95 of 100 intervals."""
    random, covered = np.random.default_rng(1), 0
    for _ in range(200):
        numbers = random.normal(size=80)
        one, other = (hold(numbers, numbers + random.normal(size=80)) for _ in range(2))
        low, high = compare_predictions(one, other).interval
        covered += low <= 0 <= high
    assert covered == pytest.approx(190, abs=9)


def test_labels_are_compared_by_mean_average_precision() -> None:
    random = np.random.default_rng(2)
    truth = random.random((120, 3)) < 0.4
    old, new = (share * truth + (1 - share) * random.random((120, 3)) for share in (0.2, 0.4))
    found = compare_predictions(hold(truth, old), hold(truth, new))
    assert found.figure == "mean average precision"
    assert found.gain == pytest.approx(found.after - found.before)
    assert found.interval[0] < found.gain < found.interval[1]
    assert found.num_gained > found.num_lost
