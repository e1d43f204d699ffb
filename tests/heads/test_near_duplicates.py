"""Near-duplicates: all of them, no others, in groups; against a comparison of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from featx.heads.close_points import LEAF
from featx.heads.near_duplicates import group_alike, join_groups


def make_values(count: int, width: int, num_copies: int, noise: float) -> np.ndarray:
    """Clouds of vectors around a few centres, the last rows near-copies of the first."""
    random = np.random.default_rng(count + width)
    centres = 2 * random.normal(size=(8, width))
    values = centres[random.integers(8, size=count)] + random.normal(size=(count, width))
    values[-num_copies:] = values[:num_copies] + noise * random.normal(size=(num_copies, width))
    return np.maximum(values, 0).astype(np.float32)


def compare_all(values: np.ndarray, similarity: float) -> np.ndarray:
    centred = values - values.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(connected_components(unit @ unit.T >= similarity, directed=False)[1])


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = np.unique(np.stack([one, other]), axis=1).shape[1]
    return pairs == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize(
    ("count", "width", "noise"), [(40, 16, 0.02), (2 * LEAF, 48, 0.08), (LEAF + 500, 200, 0.1)]
)
def test_groups_are_those_of_a_comparison_of_all_pairs(
    count: int, width: int, noise: float
) -> None:
    values = make_values(count, width, num_copies=count // 8, noise=noise)
    groups = group_alike(values, similarity=0.995)
    assert groups is not None
    assert same_partition(groups, compare_all(values, 0.995))
    assert 0 < count - len(np.unique(groups)) <= count // 8


def test_different_vectors_stay_apart_though_all_point_in_similar_directions() -> None:
    random = np.random.default_rng(0)
    values = (100 + random.normal(size=(200, 32))).astype(np.float32)  # Cosines above 0.999.
    groups = group_alike(values, similarity=0.995)
    assert groups is not None
    assert len(np.unique(groups)) == 200


def test_rows_without_direction_are_nobodys_copies() -> None:
    half = np.random.default_rng(1).normal(size=(25, 8)).astype(np.float32)
    values = np.concatenate([half, -half, np.zeros((3, 8), np.float32)])  # Their mean is 0.
    groups = group_alike(values, similarity=0.9999)
    assert groups is not None
    assert len(np.unique(groups)) == 53
    constant = group_alike(np.ones((5, 3), np.float32), similarity=0.995)
    assert constant is not None
    assert len(np.unique(constant)) == 5


def test_features_that_are_all_alike_tell_nothing() -> None:
    values = np.zeros((4 * LEAF, 4), np.float32)
    values[::2] = 1
    assert group_alike(values, similarity=0.995) is None


def test_groupings_are_joined_through_any_row_they_share() -> None:
    random = np.random.default_rng(2)
    one, other = random.integers(60, size=(2, 100))
    links = (one[:, None] == one) | (other[:, None] == other)
    expected = connected_components(links, directed=False)[1]
    joined = join_groups(one, other)
    assert same_partition(joined, expected)
    assert joined[0] == 0
    assert joined.max() == len(np.unique(joined)) - 1
