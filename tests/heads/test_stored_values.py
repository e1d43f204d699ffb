"""Heads that are fitted on features in the store, read again and again."""

from __future__ import annotations

import numpy as np
import pytest

from featx.heads import kinds, operations
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.operations import compute
from featx.heads.stored_values import StoredValues, are_stored, take_rows

NUM_ROWS, WIDTH = 1_200, 24


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make examples many blocks; return the bytes of one."""
    for module in (kinds, operations):
        monkeypatch.setattr(module, "BLOCK_VALUES", 100 * WIDTH)
    return 400 * WIDTH


def make_values(offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return overlapping classes, one after the other as in folders."""
    random = np.random.default_rng(0)
    targets = np.arange(NUM_ROWS) * 4 // NUM_ROWS
    centres = random.normal(size=(4, WIDTH))
    values = 0.6 * centres[targets] + random.normal(size=(NUM_ROWS, WIDTH)) + offset
    return values.astype(np.float32), targets


def store(values: np.ndarray, most: int) -> np.ndarray:
    """Put values where they are read in parts; no more than `most` bytes may be read at once."""

    def read(rows: np.ndarray) -> np.ndarray:
        assert 4 * len(rows) * WIDTH <= most
        return values[rows]

    stored: np.ndarray = StoredValues(read, np.arange(len(values)), WIDTH, most)  # type: ignore[assignment]
    return stored


@pytest.mark.parametrize("offset", [0.0, 1_000.0])
@pytest.mark.parametrize("kind", ["linear", "ridge", "lda", "centroid"])
def test_the_same_head_comes_of_values_in_the_store(
    kind: str, offset: float, small_blocks: int
) -> None:
    values, targets = make_values(offset)
    probabilities = []
    for given in (values, store(values, small_blocks)):
        examples = Examples(given, targets, 4, np.arange(NUM_ROWS))
        settings = HEADS[kind].choose(examples, FitJob()).settings
        weights = HEADS[kind].fit(examples, settings, FitJob())
        probabilities.append(compute(HEADS[kind].operations(weights), values))
    np.testing.assert_allclose(*probabilities, atol=2e-4)


def test_a_network_learns_from_short_runs_of_rows(small_blocks: int) -> None:
    values, targets = make_values()
    right = []
    for given in (values, store(values, 2 * small_blocks)):
        examples = Examples(given, targets, 4, np.arange(NUM_ROWS))
        weights = HEADS["mlp"].fit(
            examples, {"hidden": [16], "dropout": 0.0, "epochs": 8}, FitJob()
        )
        best = compute(HEADS["mlp"].operations(weights), values).argmax(axis=1)
        right.append(float((best == targets).mean()))
    assert right[0] > 0.85
    assert abs(right[0] - right[1]) < 0.02


def test_parts_are_read_if_they_are_small() -> None:
    values, _ = make_values()
    stored = store(values, 4 * WIDTH * 10)
    large = take_rows(stored, np.arange(5, 100))
    assert are_stored(large)
    assert len(large) == 95
    part = take_rows(large, np.array([3, 0]))
    assert not are_stored(part)
    np.testing.assert_array_equal(part, values[[8, 5]])
    np.testing.assert_array_equal(large[90:], values[95:100])
