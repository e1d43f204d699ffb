"""The contract of a kind of head; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

import io
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from featx.heads.kinds import HEADS, Examples


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
            weights = HEADS[kind].fit(examples, seed=0).weights
            probabilities = HEADS[kind].predict(weights, examples.values)
            assert probabilities.dtype == np.float32
            assert probabilities.shape == (len(examples), num_classes)
            assert probabilities.min() >= 0
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    def test_it_learns(self, kind: str) -> None:
        """Clouds that are far apart are told apart, also in examples it has not seen."""
        examples = make_examples(3, per_class=30)
        train = np.arange(len(examples)) < 45
        head = HEADS[kind]
        weights = head.fit(examples.take(train), seed=0).weights
        unseen = examples.take(~train)
        right = head.predict(weights, unseen.values).argmax(axis=1) == unseen.targets
        assert right.mean() >= 0.9, f"{right.mean():.0%} of easy examples are right"

    def test_fitting_again_with_the_settings_chooses_nothing(self, kind: str) -> None:
        """`refit` with the settings, read back from JSON, gives what `fit` gave."""
        examples, head = make_examples(3), HEADS[kind]
        fitted = head.fit(examples, seed=3)
        settings = json.loads(json.dumps(fitted.settings))
        assert settings == fitted.settings
        weights = head.refit(examples, settings, seed=3)
        np.testing.assert_allclose(
            head.predict(weights, examples.values),
            head.predict(fitted.weights, examples.values),
            atol=1e-5,
        )

    def test_weights_survive_the_file(self, kind: str) -> None:
        """Weights are arrays without Python objects, and predict the same when read back."""
        examples, head = make_examples(3), HEADS[kind]
        weights = head.fit(examples, seed=0).weights
        assert "fitted_on" not in weights, "featx itself writes an array of that name"
        file = io.BytesIO()
        np.savez(file, **weights)  # type: ignore[arg-type]
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            read = {name: arrays[name] for name in arrays.files}
        np.testing.assert_array_equal(
            head.predict(read, examples.values), head.predict(weights, examples.values)
        )

    def test_the_same_seed_gives_the_same_weights_in_another_process(self, kind: str) -> None:
        """Nothing depends on the process: hash seeds, the clock, NumPy's global generator."""
        examples, head = make_examples(3), HEADS[kind]
        here = head.fit(examples, seed=1)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            there = process.submit(head.fit, examples, 1).result()
        assert here.settings == there.settings
        assert sorted(here.weights) == sorted(there.weights)
        for name, array in here.weights.items():
            np.testing.assert_array_equal(array, there.weights[name], err_msg=name)

    def test_few_examples(self, kind: str) -> None:
        """One example of each class is enough to fit, though not to choose settings."""
        examples, head = make_examples(3, per_class=1), HEADS[kind]
        weights = head.fit(examples, seed=0).weights
        assert np.isfinite(head.predict(weights, examples.values)).all()

    def test_identical_files_with_different_labels(self, kind: str) -> None:
        """Groups that are in several classes do not stop the fit."""
        values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
        groups = np.array([2, 1, 0, 0, 2, 0, 2])
        head = HEADS[kind]
        fitted = head.fit(Examples(values, np.array([0, 1, 0, 1, 0, 1, 0]), 2, groups), seed=0)
        assert head.predict(fitted.weights, values).shape == (7, 2)

    def test_values_that_are_all_equal(self, kind: str) -> None:
        """Constant values, as of a dead unit, and a vector of zeros give finite numbers."""
        examples, head = make_examples(2), HEADS[kind]
        examples.values[:, 2] = 7
        weights = head.fit(examples, seed=0).weights
        queries = np.stack([examples.values[0], np.zeros(6, np.float32)])
        assert np.isfinite(head.predict(weights, queries)).all()

    def test_each_row_by_itself(self, kind: str) -> None:
        """A prediction does not depend on the others; there may be none to make."""
        examples, head = make_examples(3), HEADS[kind]
        weights = head.fit(examples, seed=0).weights
        together = head.predict(weights, examples.values)
        for row in range(3):
            alone = head.predict(weights, examples.values[row : row + 1])
            np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
        assert head.predict(weights, examples.values[:0]).shape == (0, 3)

    def test_nothing_that_is_given_is_changed(self, kind: str) -> None:
        """Values, weights and settings are left as they are."""
        examples, head = make_examples(3), HEADS[kind]
        values = examples.values.copy()
        fitted = head.fit(examples, seed=0)
        weights = {name: array.copy() for name, array in fitted.weights.items()}
        head.predict(fitted.weights, examples.values)
        head.refit(examples, fitted.settings, seed=0)
        np.testing.assert_array_equal(examples.values, values)
        for name, array in fitted.weights.items():
            np.testing.assert_array_equal(array, weights[name], err_msg=name)
