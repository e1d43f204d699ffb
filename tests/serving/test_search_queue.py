"""Searches that wait together are answered in one pass, each as if it were alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from featx.index.options import MatchOptions
from featx.serving.search_queue import MOST_QUESTIONS, Search, SearchQueue


class Answerer:
    """Answers with the names of questions; says how many it was asked at a time."""

    index = SimpleNamespace()
    threshold = None
    compares_regions = False

    def __init__(self, k: int = 3, allowed: np.ndarray | None = None, skip: int = 0) -> None:
        self.k, self.allowed, self.choice = k, allowed, MatchOptions(skip=skip)

    def answer(self, questions: Sequence[Any]) -> list[Any]:
        if len(questions) > 1 and any(one.query == "bad" for one in questions):
            raise ValueError("one of them is bad")
        if questions[0].query == "bad":
            raise ValueError("it is bad")
        passes.append(len(questions))
        return [f"matches of {one.query}" for one in questions]


passes: list[int] = []


@pytest.fixture(autouse=True)
def no_passes() -> None:
    passes.clear()


def search(*queries: str, own: tuple[int, ...] = (), seconds: float = 60, **options: Any) -> Search:
    asked: list[Any] = [SimpleNamespace(query=query, own=own) for query in queries]
    answerer: Any = Answerer(**options)
    deadline = time.monotonic() + seconds
    return Search(answerer, asked, lambda one, matches: (one.query, matches), deadline)


def run(*searches: Search) -> list[int]:
    seen: list[int] = []
    queue = SearchQueue(seen.append)
    for one in searches:
        queue.put(one)
    for _ in searches:
        queue.run_next()
    return seen


def test_alike_searches_are_one_pass() -> None:
    searches = [search(f"{number}", f"{number}b") for number in range(5)]
    assert run(*searches) == passes == [10]
    for number, one in enumerate(searches):
        names = [f"{number}", f"{number}b"]
        assert one.done.result(0) == [(name, f"matches of {name}") for name in names]


def test_what_is_not_alike_is_another_pass() -> None:
    some, others = np.array([True, False]), np.array([False, True])
    searches = [
        search("a"), search("b", k=4), search("c", skip=1), search("d", own=(1,)),
        search("e", allowed=some), search("f", allowed=others), search("g", allowed=some.copy()),
        search("h"),
    ]  # fmt: skip
    assert run(*searches) == [2, 1, 1, 1, 2, 1]
    assert [one.done.result(0)[0][0] for one in searches] == list("abcdefgh")


def test_a_pass_is_limited() -> None:
    searches = [search(*"0123456789") for _ in range(10)]
    assert run(*searches) == [60, 40]
    assert max(passes) <= MOST_QUESTIONS


def test_a_mistake_of_one_is_not_that_of_the_others() -> None:
    good, bad, other = search("good"), search("bad"), search("other")
    run(good, bad, other)
    assert good.done.result(0) == [("good", "matches of good")]
    assert other.done.result(0) == [("other", "matches of other")]
    with pytest.raises(ValueError, match="it is bad"):
        bad.done.result(0)


def test_what_nobody_waits_for_is_left_out() -> None:
    gone, late, here = search("gone"), search("late", seconds=-1), search("here")
    gone.done.cancel()
    run(gone, late, here)
    assert passes == [1]
    assert here.done.result(0) == [("here", "matches of here")]
    with pytest.raises(TimeoutError):
        late.done.result(0)
