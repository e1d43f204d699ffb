"""The vectors of an open index: found in it, and ranked or taken from its store where it has them.

Rows only; names, classes and what people ask are in `featx.index.vector_index`.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import numpy as np

from featx.errors import IndexFileError
from featx.index.container import Arrays, damaged
from featx.index.description import IndexDescription
from featx.index.kinds import INDEXES, VectorSearch
from featx.index.projection import Projection, SelfFinder, read_projection, read_self_finder
from featx.index.ranking import Found, StoreReader, put_selves_first, rank_exactly
from featx.index.tuning import NEIGHBOURS


class IndexVectors:
    """The vectors of an index.

    Attributes:
        search: Searches in its arrays.
        description: What it is.
        path: The file.
        arrays: The arrays of the file, by name.
    """

    def __init__(
        self, search: VectorSearch, description: IndexDescription, path: Path, arrays: Arrays
    ) -> None:
        self.search, self.description = search, description
        self.path, self.arrays = path, arrays

    @property
    def is_exact(self) -> bool:
        """Whether the best are always found."""
        return INDEXES[self.description.kind].is_exact

    @property
    def candidates(self) -> int:
        """How many are ranked by the store's own vectors for 10 matches; 0 for none."""
        return int(self.description.parameters.get("candidates", 0))

    @cached_property
    def projection(self) -> Projection:
        """What is done to features before they are compared."""
        width = math.prod(self.description.feature.shape)
        return read_projection(self.arrays, self.description.options, width)

    def ranks_exactly(self) -> bool:
        """Whether matches are in the order of exact vectors: those of its own, or the store's."""
        return self.is_exact or (bool(self.candidates) and self._reader.is_here)

    def find(
        self,
        projected: np.ndarray,
        prepared: np.ndarray | None,
        count: int,
        allowed: np.ndarray | None = None,
    ) -> Found:
        """Find rows; see `VectorIndex.find`. `prepared` are queries before projection, if known."""
        try:
            found = Found(*self.search.search(projected, self._count_asked(count), allowed))
            finder = None if self.is_exact or prepared is None else self._selves
        except IndexFileError:
            raise
        except (ValueError, KeyError) as error:
            raise damaged(self.path, error) from error
        if not np.isfinite(found.scores[found.rows >= 0]).all():
            raise damaged(self.path, "it holds NaN or infinity")
        if not self.is_exact:
            metric = self.description.space.metric
            if self.candidates:
                found = rank_exactly(self._reader, projected, found, metric)
            own = (projected**2).sum(axis=1) if metric == "ip" else np.zeros(len(projected))
            if self.description.options.metric != "ip":  # Compression may add to a score.
                found = Found(np.minimum(found.scores, own[:, None]), found.rows)
            if finder is not None and prepared is not None:
                selves = finder.find(prepared)
                if allowed is not None:
                    selves = [same[allowed[same]] for same in selves]
                found = put_selves_first(found, selves, own)
        return Found(found.scores[:, :count], found.rows[:, :count])

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return vectors of rows, (n, P), from the store where they are compressed here.

        Also what they were before they were projected, (n, D), where they came from there.
        """
        prepared = None if self.is_exact else self._reader.take_prepared(rows)
        if prepared is None:
            return self.search.vectors(rows), None
        return self.projection.project(prepared), prepared

    def take_features(self, rows: np.ndarray) -> np.ndarray:
        """Return vectors of rows before they are projected, (n, D).

        Raises:
            IndexFileError: If only the store has them, and it is not here or has changed.
        """
        if self.projection.components is None:
            return self.take(rows)[0]
        prepared = self._reader.take_prepared(rows)
        if prepared is None:
            raise IndexFileError(
                f"The store {self.description.store.path!r} is not here, or has changed: the "
                "features of its images are needed to add and subtract them."
            )
        return prepared

    def _count_asked(self, count: int) -> int:
        """Return how many matches to ask the kind for.

        One more than are ranked, as when recall was measured with vectors of the index itself:
        how much a kind looks at may depend on the count.
        """
        if self.is_exact:
            return count
        ranked = math.ceil(self.candidates * count / NEIGHBOURS)
        return min(self.description.space.count, max(count, self.candidates, ranked) + 1)

    @cached_property
    def _reader(self) -> StoreReader:
        """The store's own vectors."""
        return StoreReader(
            self.description,
            self.path.absolute().parent,
            self.projection,
            (lambda: self._selves) if "vector_hashes" in self.arrays else None,
        )

    @cached_property
    def _selves(self) -> SelfFinder:
        try:
            return read_self_finder(self.arrays, self.description.space.count)
        except IndexFileError:
            raise
        except (ValueError, KeyError) as error:
            raise damaged(self.path, error) from error
