"""The kind ``factory``: what an expert asks for with a factory string of FAISS.

FAISS trains it. featx keeps what was trained as arrays, which are checked when they are read:
FAISS's own files are not safe to open when they come from a stranger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from featx.errors import InvalidValue
from featx.index.codes import SHARED_ARRAYS, Coder
from featx.index.container import Arrays, Section
from featx.index.hnsw import Hnsw
from featx.index.ivf import TRAINING_PER_LIST, Ivf
from featx.index.kinds import IndexKind, IndexPart, Space, Update, Vectors, VectorSearch
from featx.index.recipes import Recipe, parse_recipe
from featx.index.training import train_recipe
from featx.wording import option

LEAST_TRAINING = 16_384
"""Vectors to train on, where there are as many: 64 for each word of 8 bits."""


class _Lists(Ivf):
    """Lists of any recipe."""

    def training_rows(self, space: Space) -> int:
        """Return how many vectors it is trained on."""
        return max(LEAST_TRAINING, TRAINING_PER_LIST * _recipe_of(space).lists)

    def train(self, training: np.ndarray, space: Space) -> Coder:
        """Return centres and codes for vectors like some vectors."""
        return train_recipe(training, _recipe_of(space), space)


class Factory:
    """The kind ``factory``: lists or a graph, as `Space.factory` says."""

    is_exact = False
    shared_arrays = SHARED_ARRAYS

    def training_rows(self, space: Space) -> int:
        """Return how many vectors it is trained on."""
        return _kind_of(space).training_rows(space)

    def build(self, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index."""
        return _kind_of(space).build(vectors, space)

    def update(
        self, arrays: Arrays, vectors: Vectors, space: Space, old_rows: np.ndarray
    ) -> Update | None:
        """Return the arrays of an index of changed vectors; None to build it anew."""
        return _kind_of(space).update(arrays, vectors, space, old_rows)

    def open(self, arrays: Arrays, space: Space) -> VectorSearch:
        """Return the index that some arrays are; see `featx.index.kinds.IndexKind.open`."""
        return _kind_of(space).open(arrays, space)

    def check_shared(self, space: Space) -> None:
        """Refuse graphs; see `featx.index.kinds.SharedKind`."""
        _lists_of(space)

    def train_arrays(self, training: np.ndarray, space: Space) -> Sequence[Section]:
        """Return centres and codes; see `featx.index.kinds.SharedKind`."""
        return _lists_of(space).train_arrays(training, space)

    def fill(self, trained: Arrays, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index by centres and codes that there are."""
        return _lists_of(space).fill(trained, vectors, space)

    def merge(
        self, trained: Arrays, parts: Iterable[IndexPart], vectors: Vectors, space: Space
    ) -> Sequence[Section]:
        """Return the arrays of an index of the vectors of several others."""
        return _lists_of(space).merge(trained, parts, vectors, space)


factory = Factory()


def _recipe_of(space: Space) -> Recipe:
    if space.factory is None:
        raise ValueError("it has no factory string")
    return parse_recipe(space.factory)


def _lists_of(space: Space) -> _Lists:
    """Return the kind of a space whose vectors are in lists.

    Raises:
        InvalidValue: If they are in a graph.
    """
    if _recipe_of(space).links is not None:
        raise InvalidValue(
            "Several machines fill lists, not graphs: a factory string with IVF… is expected. "
            f"Received: {option('factory', space.factory)}."
        )
    return _Lists(_recipe_of)


def _kind_of(space: Space) -> IndexKind:
    recipe = _recipe_of(space)
    return _Lists(_recipe_of) if recipe.links is None else Hnsw(recipe)
