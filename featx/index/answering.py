"""From a vector to its matches: within the images that are searched, chosen, and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from featx.heads.grouping import LEAST_WIDTH
from featx.heads.near_duplicates import DEFAULT_SIMILARITY
from featx.index.kinds import Space
from featx.index.matches import Match
from featx.index.nearest import find_nearest
from featx.index.options import MatchOptions
from featx.index.projection import normalize_rows
from featx.index.ranking import Found, sort_found
from featx.index.scores import check_threshold, is_wanted, show_scores
from featx.index.vector_index import VectorIndex

if TYPE_CHECKING:
    from featx.index.locating import RegionFinder

EXACT_ROWS = 10_000
"""Up to so many images that a filter leaves, their own vectors are compared instead of those in
the index: lists that are near a query need not hold any of them."""

DIVERSE_POOL = 5
"""Candidates for each match from which diverse ones are chosen."""

RELEVANCE = 0.5
"""How much a match's likeness to the query counts against its difference from better matches:
lambda of maximal marginal relevance (Carbonell and Goldstein, 1998), here as much as the other."""

REGION_CANDIDATES = 200
"""Images, the nearest as wholes, whose regions are compared with a region. It does not depend on
how many are shown, so that pages fit together."""

MEAN_ROWS = 512
"""Vectors that the mean is taken of, less which near-copies are compared."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is compared.

    Attributes:
        query: What the user named: a picture, or the key of an image in the index.
        path: The picture.
        vector: float32 (P,), projected.
        prepared: float32 (D,), before it was projected; None if that is not known.
        own: Rows that are not matches: the images that the question is made of.
        terms: What was added or subtracted, as it was written, with ``+`` or ``-`` before it.
    """

    query: str
    path: str
    vector: np.ndarray
    prepared: np.ndarray | None
    own: tuple[int, ...] = ()
    terms: tuple[str, ...] = ()


@dataclass
class Answerer:
    """Finds the matches of questions; refuses a threshold that nothing reaches (InvalidValue).

    Attributes:
        index: The index.
        k: Matches for each question.
        threshold: The least similarity, or largest distance.
        choice: Which matches are shown.
        allowed: bool (N,): rows that are searched; all when None.
        finder: Finds the regions of matches, if they are asked for.
        compares_regions: Whether questions are regions of pictures, compared with regions.
    """

    index: VectorIndex
    k: int
    threshold: float | None = None
    choice: MatchOptions = field(default_factory=MatchOptions)
    allowed: np.ndarray | None = None
    finder: RegionFinder | None = None
    compares_regions: bool = False

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.index.metric)

    def answer(self, questions: Sequence[Asked]) -> list[tuple[Match, ...]]:
        """Return the matches of each question, best first."""
        if not questions or not self.num_allowed:
            return [() for _ in questions]
        most = self._needed * (DIVERSE_POOL if self.choice.diverse else 1)
        num_own = max(len(asked.own) for asked in questions)
        count = (REGION_CANDIDATES if self.compares_regions else most) + num_own
        lines = self._find(questions, count)
        if self.finder is not None and self.compares_regions:
            lines = [
                self.finder.rank(self._features(asked), asked.vector, line)
                for asked, line in zip(questions, lines, strict=True)
            ]
        return [
            self._choose(asked, line, most, count)
            for asked, line in zip(questions, lines, strict=True)
        ]

    @cached_property
    def num_allowed(self) -> int:
        """How many images are searched."""
        return len(self.index) if self.allowed is None else int(self.allowed.sum())

    @property
    def _needed(self) -> int:
        return self.choice.skip + self.k

    def _find(self, questions: Sequence[Asked], count: int) -> list[Found]:
        """Return the best `count` rows of each question, or all that are searched."""
        count = min(count, self.num_allowed)
        found: dict[int, Found] = {}
        for is_known in (True, False):  # What is not known cannot be in one array with the others.
            places = [
                place
                for place, asked in enumerate(questions)
                if (asked.prepared is not None) is is_known
            ]
            if not places:
                continue
            vectors = np.stack([questions[place].vector for place in places])
            known = [one for place in places if (one := questions[place].prepared) is not None]
            scores, rows = self._find_rows(vectors, np.stack(known) if is_known else None, count)
            found |= {place: Found(scores[line], rows[line]) for line, place in enumerate(places)}
        return [found[place] for place in range(len(questions))]

    def _find_rows(self, vectors: np.ndarray, prepared: np.ndarray | None, count: int) -> Found:
        index, allowed = self.index, self.allowed
        if allowed is None:
            return index.find_projected(vectors, prepared, count)
        if not index.is_exact and self.num_allowed <= EXACT_ROWS:
            return self._compare_all(vectors, count)
        found = index.find_projected(vectors, prepared, count, allowed)
        few = np.flatnonzero((found.rows < 0).any(axis=1))
        if len(few):  # The lists that were read hold too few of the images that are searched.
            exact = self._compare_all(vectors[few], count)
            found.scores[few], found.rows[few] = exact
        return found

    def _compare_all(self, vectors: np.ndarray, count: int) -> Found:
        """Compare every image that is searched, by its own vector, some at a time."""
        assert self.allowed is not None
        rows = np.flatnonzero(self.allowed)
        best = Found(np.empty((len(vectors), 0), np.float32), np.empty((len(vectors), 0), np.int64))
        for start in range(0, len(rows), EXACT_ROWS):
            block = rows[start : start + EXACT_ROWS]
            space = Space(len(block), vectors.shape[1], self.index.description.space.metric)
            scores, places = find_nearest(
                np.ascontiguousarray(vectors, np.float32),
                np.ascontiguousarray(self.index.take(block)[0], np.float32),
                min(count, len(block)),
                space,
            )
            joined = Found(
                np.concatenate([best.scores, scores], axis=1),
                np.concatenate([best.rows, block[places]], axis=1),
            )
            best = Found(*(part[:, :count] for part in sort_found(joined)))
        return best

    def _choose(self, asked: Asked, line: Found, most: int, count: int) -> tuple[Match, ...]:
        """Return the matches among the rows that were found; find more where they are too few."""
        while True:
            rows, scores = self._keep(asked, line)
            is_cut = len(rows) < (line.rows >= 0).sum() - len(asked.own)
            is_all = is_cut or self.compares_regions or count >= self.num_allowed
            if self.choice.unique:
                kept = self._leave_out_copies(rows)
                rows, scores = rows[kept], scores[kept]
            if len(rows) >= most or is_all:
                break
            count = min(4 * count, self.num_allowed)
            (line,) = self._find([asked], count)
        order = np.arange(len(rows))
        if self.choice.diverse:
            order = self._diversify(asked.vector, rows)
        order = order[: self._needed][self.choice.skip :]
        return self._locate(asked, self._name(rows[order], scores[order]), rows[order])

    def _keep(self, asked: Asked, line: Found) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and scores without those of the question, and within the threshold."""
        scores = show_scores(line.scores, self.index.metric)
        kept = [
            row >= 0
            and row not in asked.own
            and is_wanted(score, self.threshold, self.index.metric)
            for row, score in zip(line.rows.tolist(), scores.tolist(), strict=True)
        ]
        return line.rows[kept], scores[kept]

    def _leave_out_copies(self, rows: np.ndarray) -> list[int]:
        """Return the places of rows that are no copy or near-copy of one before them."""
        seen: set[bytes] = set()
        kept: list[int] = []
        vectors = self._centred(rows) if self.index.width >= LEAST_WIDTH else None
        for place, row in enumerate(rows.tolist()):
            content = self._hashes[row].tobytes()
            if content in seen:
                continue
            is_near = (
                vectors is not None
                and bool(kept)
                and (vectors[kept] @ vectors[place]).max() >= DEFAULT_SIMILARITY
            )
            if is_near:
                continue
            seen.add(content)
            kept.append(place)
        return kept

    def _centred(self, rows: np.ndarray) -> np.ndarray:
        return normalize_rows(self.index.take(rows)[0] - self._mean)

    @cached_property
    def _mean(self) -> np.ndarray:
        count = len(self.index)
        sample = np.unique(np.linspace(0, count - 1, min(count, MEAN_ROWS)).astype(np.int64))
        return np.asarray(self.index.take(sample)[0].mean(axis=0))

    @cached_property
    def _hashes(self) -> np.ndarray:
        return self.index.content_hash()

    def _diversify(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return places in the order in which each is like the query and unlike those before."""
        vectors = normalize_rows(self.index.take(rows)[0])
        likeness = vectors @ normalize_rows(vector[np.newaxis])[0]
        nearest = np.zeros(len(rows), np.float32)
        chosen: list[int] = []
        left = np.ones(len(rows), bool)
        for _ in range(min(self._needed, len(rows))):
            gain = RELEVANCE * likeness - (1 - RELEVANCE) * nearest
            place = int(np.argmax(np.where(left, gain, -np.inf)))
            chosen.append(place)
            left[place] = False
            close = vectors @ vectors[place]
            nearest = close if len(chosen) == 1 else np.maximum(nearest, close)
        return np.array(chosen, np.int64)

    def _name(self, rows: np.ndarray, scores: np.ndarray) -> tuple[Match, ...]:
        root = self.index.root
        first = self.choice.skip + 1
        matches = [
            self.index.match(rank, row, score, root)
            for rank, (row, score) in enumerate(
                zip(rows.tolist(), scores.tolist(), strict=True), first
            )
        ]
        if not self.choice.unique:
            return tuple(matches)
        return tuple(
            replace(match, copies=self._list_copies(row))
            for match, row in zip(matches, rows.tolist(), strict=True)
        )

    def _locate(
        self, asked: Asked, matches: tuple[Match, ...], rows: np.ndarray
    ) -> tuple[Match, ...]:
        """Return matches with the regions that are like the query, if they are asked for."""
        if self.finder is None or not matches:
            return matches
        places = self.finder.locate(self._features(asked), rows)
        return tuple(
            match if place is None else replace(match, box=place.box, size=place.size)
            for match, place in zip(matches, places, strict=True)
        )

    def _features(self, asked: Asked) -> np.ndarray:
        """Return the features of a question before they were projected."""
        if asked.prepared is not None:
            return asked.prepared
        return np.asarray(self.index.take_features(np.array(asked.own))[0])

    def _list_copies(self, row: int) -> tuple[str, ...]:
        same = (self._hashes == self._hashes[row]).all(axis=1)
        if self.allowed is not None:
            same &= self.allowed
        keys = self.index.description.keys
        return tuple(keys[one] for one in np.flatnonzero(same).tolist() if one != row)
