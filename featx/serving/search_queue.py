"""Questions of several clients in one pass over the index: those that wait together, and alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.index.answering import Answerer, Asked
from featx.index.matches import Match

MOST_QUESTIONS = 64
"""In one pass: more would let the first client wait for the last."""

AT_ONCE = 16
"""Questions of one client in a pass: a thread cannot be stopped, and others wait for it."""


@dataclass(slots=True, eq=False)
class Search:
    """Questions of one client, at most `AT_ONCE`.

    Attributes:
        answerer: What finds their matches.
        asked: The questions.
        describe: Makes of a question and its matches what the client gets.
        deadline: When the client is told that it took too long, as `time.monotonic` counts.
        done: Gets what was made, in the order of the questions.
    """

    answerer: Answerer
    asked: Sequence[Asked]
    describe: Callable[[Asked, tuple[Match, ...]], Any]
    deadline: float
    done: Future[list[Any]] = field(default_factory=Future)

    def is_like(self, other: Search) -> bool:
        """Whether both can be answered in one pass, each as if it were alone."""
        one, two = self.answerer, other.answerer
        is_same = (
            one.index is two.index
            and (one.k, one.threshold, one.choice) == (two.k, two.threshold, two.choice)
            and one.compares_regions == two.compares_regions
            and (one.allowed is None) == (two.allowed is None)
            and _most_own(self) == _most_own(other)
        )
        if not is_same or one.allowed is None or two.allowed is None:
            return is_same
        return one.allowed is two.allowed or np.array_equal(one.allowed, two.allowed)


class SearchQueue:
    """Answers what waits, in the threads that are given to it.

    Args:
        observe: Is given the number of questions of each pass.
    """

    def __init__(self, observe: Callable[[int], None]) -> None:
        self._observe = observe
        self._lock = threading.Lock()
        self._waiting: list[Search] = []

    def put(self, search: Search) -> None:
        """Let a search wait; `run_next` is to be called until none does."""
        with self._lock:
            self._waiting.append(search)

    @property
    def is_empty(self) -> bool:
        """Whether no search waits."""
        return not self._waiting

    def run_next(self, leave: Callable[[], object] = lambda: None) -> None:
        """Answer the search that has waited longest, and those that are like it.

        Args:
            leave: Is called before that, if others are left to wait.
        """
        searches = self._take()
        if not self.is_empty:
            leave()
        if not searches:
            return  # It was answered together with another one, or nobody waits for it.
        try:
            _answer(searches)
        except Exception as error:
            if len(searches) == 1:
                searches[0].done.set_exception(error)
                return
            for one in searches:  # What is wrong with one is not wrong with the others.
                _answer_alone(one)
        self._observe(sum(len(one.asked) for one in searches))

    def _take(self) -> list[Search]:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            taken: list[Search] = []
            count = 0
            for place, search in enumerate(waiting):
                is_full = count + len(search.asked) > MOST_QUESTIONS and bool(taken)
                if is_full:
                    self._waiting += waiting[place:]
                    break
                if taken and not search.is_like(taken[0]):
                    self._waiting.append(search)
                elif _begin(search):
                    taken.append(search)
                    count += len(search.asked)
            return taken


def _most_own(search: Search) -> int:
    return max((len(asked.own) for asked in search.asked), default=0)


def _begin(search: Search) -> bool:
    """Return whether somebody waits for a search."""
    if not search.done.set_running_or_notify_cancel():
        return False
    if search.deadline < time.monotonic():
        search.done.set_exception(TimeoutError("nobody waits for it any more"))
        return False
    return True


def _answer(searches: Sequence[Search]) -> None:
    asked = [one for search in searches for one in search.asked]
    matches = iter(searches[0].answerer.answer(asked))
    made = [[search.describe(one, next(matches)) for one in search.asked] for search in searches]
    for search, lines in zip(searches, made, strict=True):
        search.done.set_result(lines)


def _answer_alone(search: Search) -> None:
    try:
        _answer([search])
    except Exception as error:
        search.done.set_exception(error)
