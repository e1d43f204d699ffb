"""One thread for numerical libraries: for all that ask, until the last of them is done."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from threading import Event

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from featx.heads.kinds import Examples
from featx.heads.threads import threads_for
from featx.index.nearest import FAISS_API
from featx.machine import available_cores
from featx.numeric_threads import one_thread

pytestmark = pytest.mark.skipif(available_cores() == 1, reason="there is one thread anyway")


def count_threads() -> list[int]:
    """Return how many threads each library uses, of the thread that asks."""
    return [one["num_threads"] for one in threadpool_info()]


def test_libraries_have_one_thread_inside_and_their_own_again_behind() -> None:
    assert FAISS_API is not None  # Its module is loaded, with an OpenMP and a BLAS of its own.
    before = count_threads()
    assert max(before) > 1
    with one_thread():
        with one_thread():
            assert set(count_threads()) == {1}
        assert set(count_threads()) == {1}
    assert count_threads() == before


def test_the_last_of_several_gives_threads_back() -> None:
    before = count_threads()
    first_is_in, last_is_in, first_is_out = Event(), Event(), Event()

    def begin_first() -> list[int]:
        with one_thread():
            first_is_in.set()
            assert last_is_in.wait(10)
        behind = count_threads()
        first_is_out.set()
        return behind

    def end_last() -> tuple[list[int], list[int]]:
        assert first_is_in.wait(10)
        with one_thread():
            last_is_in.set()
            assert first_is_out.wait(10)
            inside = count_threads()
        return inside, count_threads()

    with ThreadPoolExecutor(2) as pool:
        first, last = pool.submit(begin_first), pool.submit(end_last)
        inside, behind = last.result()
    assert set(inside) == {1}
    assert (behind, count_threads()) == (before, before)
    # OpenMP counts for each thread, so that the first one has several again; BLAS waits.
    is_openmp = [one["user_api"] == "openmp" for one in threadpool_info()]
    assert list(compress(first.result(), is_openmp)) == list(compress(before, is_openmp))


def test_a_fork_of_a_program_at_work_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_threads()
    with one_thread(), monkeypatch.context() as patch:
        child = os.getpid() + 1
        patch.setattr(os, "getpid", lambda: child)
        with one_thread():
            assert set(count_threads()) == {1}
    assert count_threads() == before


def test_an_error_and_large_problems_leave_threads_alone() -> None:
    before = count_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert count_threads() == before
    rows = np.arange(2)
    small = Examples(np.zeros((2, 3), np.float32), rows, 2, rows)
    wide = np.broadcast_to(np.float32(0), (2, 300_000_000))
    with threads_for(Examples(wide, rows, 2, rows)):
        assert count_threads() == before
        with threads_for(small):
            assert set(count_threads()) == {1}
    assert count_threads() == before
