"""The contract of a strategy of choosing; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from featx.curation.strategy import STRATEGIES, Candidates, Chosen
from featx.heads.head import Head
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.input_spec import InputSpec
from featx.specs import FeatureSpec, ModelSpec
from featx.testing.contracts.findings import make_rows

SIZES = (1, 2, 40)


def make_candidates(count: int) -> Candidates:
    """Return pictures of three classes, with a head that knows them.

    Example:
        >>> len(make_candidates(40))
        40
    """
    rows = make_rows(max(count, 6))
    values = rows.collection.values
    examples = Examples(values, rows.targets, len(rows.classes), np.arange(len(values)))
    kind = HEADS["centroid"]
    weights = kind.fit(examples, kind.choose(examples, FitJob()).settings, FitJob())
    feature = FeatureSpec("layer", "layer", "avg", (values.shape[1],))
    head = Head(
        kind="centroid",
        classes=rows.classes,
        feature=feature,
        model=ModelSpec("toy", "toy", (), "random", "0" * 64, InputSpec(8, 8)),
        weights=weights,
        fitted_on=np.zeros((0, 16), np.uint8),
    )
    return Candidates(values[:count], head)


class StrategyContract:
    """Tests that take the name of a strategy.

    Example::

        @pytest.mark.parametrize("strategy", ["diverse"])
        class TestStrategies(StrategyContract):
            pass
    """

    def test_it_says_what_it_chooses(self, strategy: str) -> None:
        """Which pictures, and what their score is."""
        assert STRATEGIES[strategy].title
        assert STRATEGIES[strategy].score

    def test_as_many_as_wanted_each_once(self, strategy: str) -> None:
        """From one to all of the pictures, all different, with a score or NaN for each."""
        for total in SIZES:
            for count in {1, (total + 1) // 2, total}:
                chosen = _choose(strategy, make_candidates(total), count)
                assert chosen.rows.shape == chosen.scores.shape == (count,)
                assert len(set(chosen.rows.tolist())) == count
                assert set(chosen.rows.tolist()) <= set(range(total))
                assert not np.isinf(chosen.scores).any()

    def test_equal_vectors_are_no_error(self, strategy: str) -> None:
        """Pictures that are all equal are chosen, too, if so many are wanted."""
        values = np.ones((40, 16), np.float32)
        chosen = _choose(strategy, replace(make_candidates(40), values=values), 30)
        assert len(set(chosen.rows.tolist())) == 30

    def test_the_same_seed_gives_the_same_pictures(self, strategy: str) -> None:
        """What is random is decided by the seed."""
        first, second = (_choose(strategy, make_candidates(40), 7) for _ in range(2))
        assert np.array_equal(first.rows, second.rows)
        assert np.array_equal(first.scores, second.scores, equal_nan=True)


def _choose(strategy: str, candidates: Candidates, count: int) -> Chosen:
    assert STRATEGIES[strategy].unsuited(candidates) is None
    return STRATEGIES[strategy].choose(candidates, count)
