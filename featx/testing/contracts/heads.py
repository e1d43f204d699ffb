"""The contract of a kind of head; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import get_args

import numpy as np
import pytest

from featx.heads.kinds import HEADS, Examples, FitJob, Task
from featx.heads.operations import compute


def make_examples(num_classes: int, per_class: int = 12, width: int = 6) -> Examples:
    """Return clouds that a classifier can tell apart, with axes of very different scale.

    Example:
        >>> make_examples(3).values.shape
        (36, 6)
    """
    random = np.random.default_rng(num_classes)
    targets = np.arange(num_classes * per_class) % num_classes
    centres = 8 * random.normal(size=(num_classes, width))
    values = centres[targets] + random.normal(size=(len(targets), width))
    values *= 10.0 ** np.linspace(-1, 1, width)
    return Examples(values.astype(np.float32), targets, num_classes, np.arange(len(targets)))


def fit(kind: str, examples: Examples, seed: int = 0) -> dict[str, np.ndarray]:
    """Choose settings and fit; the weights.

    Example:
        >>> sorted(fit("linear", make_examples(2)))
        ['coefficients', 'intercepts', 'mean', 'scale']
    """
    job, head = FitJob(seed), HEADS[kind]
    return head.fit(examples, head.choose(examples, job).settings, job)


def predict(kind: str, weights: Mapping[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return what a head predicts for vectors (N, D), float32 (N, C).

    Example:
        >>> examples = make_examples(2)
        >>> predict("linear", fit("linear", examples), examples.values).shape
        (24, 2)
    """
    return compute(HEADS[kind].operations(weights), values)


class HeadContract:
    """Tests that take the name of a kind of head.

    Example::

        @pytest.mark.parametrize("kind", ["centroid"])
        class TestHeads(HeadContract):
            pass
    """

    def test_probabilities(self, kind: str) -> None:
        """Probabilities are float32 (N, C), in [0, 1], and sum to 1."""
        for num_classes in (2, 3, 5):
            examples = make_examples(num_classes)
            probabilities = predict(kind, fit(kind, examples), examples.values)
            assert probabilities.dtype == np.float32
            assert probabilities.shape == (len(examples), num_classes)
            assert probabilities.min() >= 0
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    def test_it_learns(self, kind: str) -> None:
        """Clouds that are far apart are told apart, also in examples it has not seen."""
        examples = make_examples(3, per_class=30)
        train = np.arange(len(examples)) < 45
        weights = fit(kind, examples.take(train))
        unseen = examples.take(~train)
        right = predict(kind, weights, unseen.values).argmax(axis=1) == unseen.targets
        assert right.mean() >= 0.9, f"{right.mean():.0%} of easy examples are right"

    def test_what_is_chosen(self, kind: str) -> None:
        """Settings are JSON, and of many examples the loss on held-out ones is known."""
        examples, head = make_examples(3), HEADS[kind]
        chosen = head.choose(examples, FitJob())
        settings = json.loads(json.dumps(chosen.settings))
        assert settings == chosen.settings
        assert chosen.loss is not None
        assert 0 <= chosen.loss < np.log(3), "worse than equal probabilities"
        assert 0 < chosen.num_held_out <= len(examples)
        weights, again = (
            head.fit(examples, either, FitJob()) for either in (settings, chosen.settings)
        )
        for name, array in weights.items():
            np.testing.assert_array_equal(array, again[name], err_msg=name)

    def test_it_says_its_tasks(self, kind: str) -> None:
        """There is at least one, and examples of a few dozen rows suit it."""
        assert set(HEADS[kind].tasks) <= set(get_args(Task))
        assert HEADS[kind].tasks
        assert HEADS[kind].suits(make_examples(3)) in (True, False)

    def test_weights_survive_the_file(self, kind: str) -> None:
        """Weights are arrays without Python objects, and predict the same when read back."""
        examples = make_examples(3)
        weights = fit(kind, examples)
        assert "fitted_on" not in weights, "featx itself writes an array of that name"
        file = io.BytesIO()
        np.savez(file, **weights)  # type: ignore[arg-type]
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            read = {name: arrays[name] for name in arrays.files}
        np.testing.assert_array_equal(
            predict(kind, read, examples.values), predict(kind, weights, examples.values)
        )

    @pytest.fixture(scope="class")
    @classmethod
    def another_process(cls) -> Iterator[Executor]:
        """A process that inherits nothing of this one; all kinds of heads are fitted in it."""
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            yield process

    def test_the_same_seed_gives_the_same_weights_in_another_process(
        self, kind: str, another_process: Executor
    ) -> None:
        """Nothing depends on the process: hash seeds, the clock, NumPy's global generator."""
        examples, head, job = make_examples(3), HEADS[kind], FitJob(seed=1)
        chosen = head.choose(examples, job)
        here = head.fit(examples, chosen.settings, job)
        assert another_process.submit(head.choose, examples, job).result() == chosen
        there = another_process.submit(head.fit, examples, chosen.settings, job).result()
        assert sorted(here) == sorted(there)
        for name, array in here.items():
            np.testing.assert_array_equal(array, there[name], err_msg=name)

    def test_few_examples(self, kind: str) -> None:
        """One example of each class is enough to fit, though not to choose settings."""
        examples = make_examples(3, per_class=1)
        assert HEADS[kind].choose(examples, FitJob()).loss is None
        assert np.isfinite(predict(kind, fit(kind, examples), examples.values)).all()

    def test_identical_files_with_different_labels(self, kind: str) -> None:
        """Groups that are in several classes do not stop the fit."""
        values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
        groups = np.array([2, 1, 0, 0, 2, 0, 2])
        weights = fit(kind, Examples(values, np.array([0, 1, 0, 1, 0, 1, 0]), 2, groups))
        assert predict(kind, weights, values).shape == (7, 2)

    def test_values_that_are_all_equal(self, kind: str) -> None:
        """Constant values, as of a dead unit, and a vector of zeros give finite numbers."""
        examples = make_examples(2)
        examples.values[:, 2] = 7
        queries = np.stack([examples.values[0], np.zeros(6, np.float32)])
        assert np.isfinite(predict(kind, fit(kind, examples), queries)).all()

    def test_each_row_by_itself(self, kind: str) -> None:
        """A prediction does not depend on the others; there may be none to make."""
        examples = make_examples(3)
        weights = fit(kind, examples)
        together = predict(kind, weights, examples.values)
        for row in range(3):
            alone = predict(kind, weights, examples.values[row : row + 1])
            np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
        assert predict(kind, weights, examples.values[:0]).shape == (0, 3)

    def test_nothing_that_is_given_is_changed(self, kind: str) -> None:
        """Values, weights and settings are left as they are."""
        examples, head = make_examples(3), HEADS[kind]
        values = examples.values.copy()
        chosen = head.choose(examples, FitJob())
        settings = dict(chosen.settings)
        weights = head.fit(examples, chosen.settings, FitJob())
        kept = {name: array.copy() for name, array in weights.items()}
        predict(kind, weights, examples.values)
        np.testing.assert_array_equal(examples.values, values)
        assert chosen.settings == settings
        for name, array in weights.items():
            np.testing.assert_array_equal(array, kept[name], err_msg=name)
