"""Heads that are fitted on features in the store, read again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import HeadError, InvalidValue
from featx.heads import feature_table, kinds, operations
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.operations import compute
from featx.heads.stored_values import StoredValues, are_stored, take_rows
from tests.store_samples import write_sample

NUM_ROWS, WIDTH = 1_200, 24


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make examples many blocks; return the bytes of one."""
    for module in (feature_table, kinds, operations):
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
            examples, {"hidden": [16], "dropout": 0.0, "epochs": 20}, FitJob()
        )
        best = compute(HEADS["mlp"].operations(weights), values).argmax(axis=1)
        right.append(float((best == targets).mean()))
    assert right[0] > 0.75
    assert abs(right[0] - right[1]) < 0.04


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


@pytest.fixture
def stored_features(small_blocks: int, tmp_path: Path) -> Path:
    path = tmp_path / "f.h5"
    values, targets = make_values()
    kept = slice(None, None, 4)
    labels = [None, *(f"class {target}" for target in targets[kept][1:])]
    write_sample(path, {"vector": values[kept]}, labels=labels)
    return path


@pytest.mark.parametrize("kind", ["auto", "linear"])
def test_a_head_in_little_memory_predicts_the_same(
    kind: str, stored_features: Path, tmp_path: Path
) -> None:
    usual = featx.fit_head(stored_features, kind=kind, output=tmp_path / "usual")
    small = featx.fit_head(stored_features, kind=kind, max_memory=1, output=tmp_path / "small")
    assert "knn" not in [trial.kind for trial in small.tried]
    assert small.kind == usual.kind
    assert small.num_train == usual.num_train
    values = make_values()[0]
    heads = [featx.load_head(tmp_path / name) for name in ("usual", "small")]
    np.testing.assert_allclose(*(head.predict_proba(values) for head in heads), atol=1e-4)


def test_what_does_not_fit_into_memory_is_refused(stored_features: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="A knn head holds all vectors.*max_memory"):
        featx.fit_head(stored_features, kind="knn", max_memory=1, output=tmp_path / "head")
    with pytest.raises(InvalidValue, match="max_memory"):
        featx.fit_head(stored_features, max_memory=0, output=tmp_path / "head")
