"""A search of a client: which pictures the network has to see, and then the matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.images.sources import ImageFailure
from featx.index.answering import Answerer, Asked
from featx.index.asking import Asker, Known
from featx.index.asking import Term as AskedTerm
from featx.index.locating import RegionFinder
from featx.index.matches import Match
from featx.index.options import MatchOptions
from featx.report.text import short_path
from featx.serving.network import ComputedPicture, Results, Upload
from featx.serving.questions import MOST_CHOSEN, MOST_RANKED, SearchQuestion, Term
from featx.serving.route_items import read_picture
from featx.serving.search_queue import AT_ONCE, Search
from featx.serving.snapshot import Snapshot
from featx.serving.web import Problem, refuse_only


@dataclass(frozen=True, slots=True)
class Prepared:
    """A search before the network has seen its pictures.

    Attributes:
        question: What is asked.
        terms: What is added or subtracted, with its sign.
        whole: Pictures that are computed whole: those of the terms, first, and the queries.
        parts: Pictures of which only a part is asked.
        numbers: Number of an upload in the request → its place in `whole`, of the terms.
    """

    question: SearchQuestion
    terms: tuple[tuple[int, Term], ...]
    whole: list[Upload]
    parts: list[Upload]
    numbers: dict[int, int]


def prepare_search(
    snapshot: Snapshot, question: SearchQuestion, pictures: Sequence[Upload]
) -> Prepared:
    """Return which pictures have to be computed; with a crop, stored ones are read for that.

    Raises:
        Problem: If nothing is asked, or a term is none.
    """
    terms = (*((1, term) for term in question.add), *((-1, term) for term in question.subtract))
    numbers: dict[int, int] = {}
    for _, term in terms:
        if (term.key is None) == (term.upload is None):
            raise Problem(422, "A term has a key, or the number of an upload.")
        if term.key is not None:
            snapshot.columns.row(term.key)
        elif term.upload is not None:
            if term.upload >= len(pictures):
                raise Problem(422, f"There is no upload {term.upload} in this request.")
            numbers.setdefault(term.upload, len(numbers))
    queries = [one for number, one in enumerate(pictures) if number not in numbers]
    if not queries and not question.keys:
        raise Problem(422, "Send a picture, or name stored images with keys.")
    for key in question.keys:
        snapshot.columns.row(key)
    _check_size(question, len(queries) + len(question.keys))
    whole = [pictures[number] for number in numbers]
    if question.crop is None:
        return Prepared(question, terms, [*whole, *queries], [], numbers)
    stored = [Upload(key, read_picture(snapshot, key)) for key in question.keys]
    return Prepared(question, terms, whole, [*stored, *queries], numbers)


def _check_size(question: SearchQuestion, num_queries: int) -> None:
    """Refuse what would keep a core busy for minutes."""
    depth = question.skip + question.k
    if depth > MOST_CHOSEN and (question.unique or question.diverse):
        raise Problem(422, f"With unique or diverse, skip + k is at most {MOST_CHOSEN:,}.")
    if num_queries * depth > MOST_RANKED:
        raise Problem(
            422,
            f"Queries times skip + k are at most {MOST_RANKED:,}. Received: {num_queries} times "
            f"{depth:,}. Send several requests.",
        )


@dataclass(frozen=True, slots=True)
class PlannedSearch:
    """A search whose questions are made.

    Attributes:
        question: What is asked.
        answerer: What finds the matches.
        asked: The questions.
        failures: Pictures that could not be used, as JSON-serialisable values.
    """

    question: SearchQuestion
    answerer: Answerer
    asked: list[Asked]
    failures: list[dict[str, str]]

    def divide(self, deadline: float) -> Iterator[Search]:
        """Yield the questions, as many at a time as may be answered in one pass."""
        for start in range(0, len(self.asked), AT_ONCE):
            some = self.asked[start : start + AT_ONCE]
            yield Search(self.answerer, some, self._describe, deadline)

    def describe(self, results: list[Any]) -> dict[str, Any]:
        """Return the answer to a client, as JSON-serialisable values."""
        index = self.answerer.index
        return {
            "layer": index.description.feature.name,
            "index_size": len(index),
            "searched": self.answerer.num_allowed,
            "results": results,
            "failures": self.failures,
        }

    def _describe(self, asked: Asked, matches: tuple[Match, ...]) -> dict[str, Any]:
        lines = [_describe(asked.query, match, self.question) for match in matches]
        return {"query": asked.query, "terms": list(asked.terms), "matches": lines}


def plan_search(
    snapshot: Snapshot,
    prepared: Prepared,
    computed: tuple[Results, Results],
    allowed: np.ndarray | None,
) -> PlannedSearch:
    """Return the questions of a search.

    Args:
        snapshot: What is searched.
        prepared: What is asked.
        computed: Features of its whole pictures, and of the parts.
        allowed: bool (N,): rows that are searched; all when None.

    Raises:
        Problem: If its only picture cannot be used.
        InvalidValue: If one that is added or subtracted cannot, or nothing is left of a sum.
    """
    question = prepared.question
    asked, failures = _Questions(snapshot, prepared, computed).make()
    if not asked:
        refuse_only(failures)
    finder = RegionFinder(snapshot.index) if question.where else None
    choice = MatchOptions(
        skip=question.skip, unique=question.unique, diverse=question.diverse, where=question.where
    )
    compares_regions = question.where and question.crop is not None
    answerer = Answerer(
        snapshot.index, question.k, question.threshold, choice, allowed, finder, compares_regions
    )
    return PlannedSearch(question, answerer, asked, failures)


class _Questions:
    """Makes the questions of a search from features."""

    def __init__(
        self, snapshot: Snapshot, prepared: Prepared, computed: tuple[Results, Results]
    ) -> None:
        self._snapshot, self._prepared = snapshot, prepared
        self._whole, self._parts = computed
        self._asker = Asker(snapshot.index)

    def make(self) -> tuple[list[Asked], list[dict[str, str]]]:
        """Return the questions, and the pictures that could not be used."""
        question = self._prepared.question
        queries = self._parts if question.crop else self._whole[len(self._prepared.numbers) :]
        failures = [
            {"key": one.key, "reason": one.reason}
            for one in queries
            if isinstance(one, ImageFailure)
        ]
        keys = set(question.keys) if question.crop else set()
        known = [
            self._know(one, key=one.name if one.name in keys else None)
            for one in queries
            if isinstance(one, ComputedPicture)
        ]
        terms = [(self._say(sign, term), [self._find(term)]) for sign, term in self._prepared.terms]
        if question.crop is None and not terms:
            stored = [self._asker.ask_key(key) for key in question.keys]
            return [*stored, *map(self._asker.ask, known)], failures
        if question.crop is None:
            known = [*map(self._asker.know_key, question.keys), *known]
        if not terms:
            return [self._asker.ask(one) for one in known], failures
        return self._asker.combine([(1.0, one) for one in known], terms), failures

    def _know(self, picture: ComputedPicture, key: str | None = None) -> Known:
        feature = self._snapshot.index.description.feature
        vector = picture.features[feature.name]
        if key is not None:
            return Known(key, key, vector, (self._snapshot.index.row(key),))
        if not self._prepared.terms:
            return Known(picture.name, picture.name, vector)
        return self._asker.know_picture(picture.name, picture.content_hash, vector)

    def _find(self, term: Term) -> Known:
        if term.key is not None:
            return self._asker.know_key(term.key)
        assert term.upload is not None
        picture = self._whole[self._prepared.numbers[term.upload]]
        if isinstance(picture, ImageFailure):
            raise InvalidValue(f"{picture.key!r} cannot be used: {picture.reason.rstrip('.')}.")
        return self._asker.know_picture(
            picture.name,
            picture.content_hash,
            picture.features[self._snapshot.index.description.feature.name],
        )

    def _say(self, sign: int, term: Term) -> AskedTerm:
        name = term.key
        if name is None:
            assert term.upload is not None
            name = self._prepared.whole[self._prepared.numbers[term.upload]].name
        weight = "" if term.weight == 1 else f"{term.weight:g}:"
        return AskedTerm(sign * term.weight, name, f"{'+' if sign > 0 else '-'}{weight}{name}")


def _describe(query: str, match: Match, question: SearchQuestion) -> dict[str, Any]:
    """Return a match with the fields of ``featx search --json``."""
    line = {
        "query": query,
        "rank": match.rank,
        "key": match.key,
        "path": short_path(match.path),
        "score": match.score,
        "label": match.label,
    }
    if question.where:
        line["box"] = None if match.box is None else list(match.box)
        line["size"] = None if match.size is None else list(match.size)
    return line | ({"copies": list(match.copies)} if match.copies else {})
