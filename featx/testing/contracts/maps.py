"""The contracts of layouts and clusterings; `featx.testing.contracts` shows how to run them."""

from __future__ import annotations

import numpy as np
import pytest

from featx.curation.clustering import CLUSTERINGS, ClusterJob
from featx.curation.layout import LAYOUTS
from featx.index.all_neighbours import Directions

SIZES = (1, 2, 5, 60)


def make_directions(count: int) -> Directions:
    """Return vectors around three centres.

    Example:
        >>> make_directions(5).take(slice(None)).shape
        (5, 16)
    """
    random = np.random.default_rng(5)
    centres = random.normal(size=(3, 16))
    values = centres[np.arange(count) % 3] + 0.1 * random.normal(size=(count, 16))
    return Directions(values.astype(np.float32), np.zeros(16, np.float32))


class LayoutContract:
    """Tests that take the name of a layout.

    Example::

        @pytest.mark.parametrize("layout", ["pca"])
        class TestLayouts(LayoutContract):
            pass
    """

    def test_finite_places_for_every_size_that_suits(self, layout: str) -> None:
        """One place for each image, and the same ones again with the same seed."""
        assert LAYOUTS[layout].title
        for count in SIZES:
            if LAYOUTS[layout].unsuited(count) is None:
                first, again = (
                    LAYOUTS[layout].place(make_directions(count), seed=1) for _ in range(2)
                )
                assert first.shape == (count, 2)
                assert np.isfinite(first).all()
                assert np.array_equal(first, again)

    def test_similar_images_are_near_each_other(self, layout: str) -> None:
        """Most of the nearest image of each on the map are of the same centre."""
        if LAYOUTS[layout].unsuited(60) is not None:
            pytest.skip(str(LAYOUTS[layout].unsuited(60)))
        places = LAYOUTS[layout].place(make_directions(60), seed=1)
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        same = distances.argmin(axis=1) % 3 == np.arange(60) % 3
        assert same.mean() > 0.9

    def test_equal_vectors_are_no_error(self, layout: str) -> None:
        """Images that are all equal have some place."""
        equal = Directions(np.ones((30, 16), np.float32), np.ones(16, np.float32))
        if LAYOUTS[layout].unsuited(30) is None:
            assert np.isfinite(LAYOUTS[layout].place(equal, seed=1)).all()


class ClusteringContract:
    """Tests that take the name of a clustering.

    Example::

        @pytest.mark.parametrize("clustering", ["kmeans"])
        class TestClusterings(ClusteringContract):
            pass
    """

    def test_a_number_for_each_image(self, clustering: str) -> None:
        """For any number of images, also equal ones; -1 for those of no cluster."""
        for count in SIZES:
            numbers = self._assign(clustering, make_directions(count))
            assert numbers.shape == (count,)
            assert numbers.min() >= -1
        equal = Directions(np.ones((30, 16), np.float32), np.ones(16, np.float32))
        assert self._assign(clustering, equal).shape == (30,)

    def test_clusters_are_found(self, clustering: str) -> None:
        """Images of two centres are not in one cluster."""
        numbers = self._assign(clustering, make_directions(60))
        of_centre = [set(numbers[centre::3].tolist()) - {-1} for centre in range(3)]
        assert all(of_centre)
        assert not of_centre[0] & of_centre[1]

    def _assign(self, clustering: str, directions: Directions) -> np.ndarray:
        positions = np.asarray(directions.take(slice(None))[:, :2])
        count = 3 if CLUSTERINGS[clustering].takes_count else None
        job = ClusterJob(directions, positions, count, seed=1)
        return np.asarray(CLUSTERINGS[clustering].assign(job))
