"""Two classifiers compared on the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from featx.training.comparison import compare_paired, tango_interval


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
