"""The contract of a pooling; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

import numpy as np

from featx.poolings import POOLINGS, pool_features, pooled_shape

SHAPES = ((1, 1, 1), (2, 2, 3), (5, 4, 3), (6, 8), (2, 3, 2, 4))
"""Shapes of one row: maps, a sequence of tokens, volumes."""


def make_maps(shape: tuple[int, ...], count: int = 7) -> np.ndarray:
    """Return float32 (count, *shape), normally distributed.

    Example:
        >>> make_maps((2, 2, 3)).shape
        (7, 2, 2, 3)
    """
    return np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)


class PoolingContract:
    """Tests that take the name of a pooling.

    Example::

        @pytest.mark.parametrize("pool", ["median"])
        class TestPoolings(PoolingContract):
            pass
    """

    def test_shapes_are_those_announced(self, pool: str) -> None:
        """Rows have the shape that `shape_of` says, in float32; one axis if it says so."""
        for shape in SHAPES:
            pooled = pool_features(make_maps(shape), pool)
            assert pooled.dtype == np.float32
            assert pooled.shape == (7, *pooled_shape(shape, pool))
            if POOLINGS[pool].gives_vectors:
                assert pooled.ndim == 2

    def test_an_empty_batch(self, pool: str) -> None:
        """No images give no rows, of the right shape."""
        pooled = pool_features(np.zeros((0, 2, 2, 3), np.float32), pool)
        assert pooled.shape == (0, *pooled_shape((2, 2, 3), pool))

    def test_each_image_by_itself(self, pool: str) -> None:
        """An image's result does not depend on the others of its batch."""
        maps = make_maps((4, 5, 3))
        together = pool_features(maps, pool)
        for row in range(len(maps)):
            alone = pool_features(maps[row : row + 1], pool)
            np.testing.assert_allclose(together[row : row + 1], alone, rtol=1e-6, atol=1e-7)

    def test_vectors_are_only_cast(self, pool: str) -> None:
        """Features without space are left as they are."""
        pooled = pool_features(np.array([[1, -2], [3, 4]], np.float16), pool)
        assert pooled.dtype == np.float32
        assert pooled.tolist() == [[1, -2], [3, 4]]
        assert pooled_shape((1000,), pool) == (1000,)

    def test_half_precision_does_not_overflow(self, pool: str) -> None:
        """float16 is reduced in a wider type: sums over 112 x 112 positions pass 65504."""
        maps = np.full((1, 112, 112, 2), 60, np.float16)
        expected = pool_features(maps.astype(np.float32), pool)
        np.testing.assert_allclose(pool_features(maps, pool), expected, rtol=1e-4)

    def test_the_input_is_not_modified(self, pool: str) -> None:
        """The maps that are given are left as they are."""
        maps = make_maps((2, 2, 3))
        before = maps.copy()
        pool_features(maps, pool)
        np.testing.assert_array_equal(maps, before)

    def test_nothing_is_hidden_when_an_activation_is_not_a_number(self, pool: str) -> None:
        """NaN stays visible in the result."""
        maps = make_maps((2, 2, 3), count=1)
        maps[0, 0, 0, 0] = np.nan
        assert np.isnan(pool_features(maps, pool)).any()
