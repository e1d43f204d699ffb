"""Strategies of choosing pictures, and what they choose from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from featx.events import Listener
from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from featx.heads.head import Head
    from featx.index.all_neighbours import Directions

BLOCK = 16_384
"""Rows that are looked at a time: 16 MB of 256 values."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """N pictures to choose from.

    Attributes:
        values: Features, finite, float32 (N, D).
        head: A head on these features, if one was named.
        seed: For whatever is random.
        listener: Receives progress and notes.
    """

    values: np.ndarray
    head: Head | None = None
    seed: int = 0
    listener: Listener = field(default_factory=Listener)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def directions(self) -> Directions:
        """The features less their mean, as vectors of unit length, made block by block."""
        from featx.heads.near_duplicates import mean_of
        from featx.index.all_neighbours import Directions

        return Directions(self.values, mean_of(self.values))

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield which rows, and their directions, float32 (n, D)."""
        for start in range(0, len(self), BLOCK):
            rows = slice(start, min(start + BLOCK, len(self)))
            yield rows, self.directions.take(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Pictures that a strategy has chosen, the best first.

    Attributes:
        rows: Their numbers, all different, int64 (n,).
        scores: What speaks for each, (n,); NaN where nothing was measured.
    """

    rows: np.ndarray
    scores: np.ndarray


class Strategy(Protocol):
    """A way of choosing pictures.

    The contract tests in `featx.testing.contracts.strategies` say what must hold.

    Attributes:
        title: Which pictures it chooses, in some words.
        score: What the score of a picture is, in some words.
        uses_head: Whether a head decides. What it was fitted on is then not among the candidates.
    """

    title: str
    score: str
    uses_head: bool

    def unsuited(self, candidates: Candidates) -> str | None:
        """Return why it cannot choose from these pictures; None if it can."""
        ...

    def choose(self, candidates: Candidates, count: int) -> Chosen:
        """Choose `count` of the pictures, of which there are at least as many."""
        ...


STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    "featx.strategies",
    {
        "diverse": "featx.curation.strategies.diverse:diverse",
        "typical": "featx.curation.strategies.typical:typical",
        "uncertain": "featx.curation.strategies.uncertain:uncertain",
        "random": "featx.curation.strategies.random:random",
    },
    Strategy,
)
