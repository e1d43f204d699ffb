"""In a forked process: what lost its threads is refused, and locks are free."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.engines.tensorflow import import_tensorflow
from featx.errors import ForkError
from featx.forks import (
    ProcessLock,
    has_lost_threads,
    refuse_lost_threads,
    start_threads,
)
from featx.testing.contracts.indexes import open_fully, space_of, write

PIXELS = np.zeros((2, 32, 32, 3), np.uint8)


def become_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)


def test_a_library_may_be_used_where_its_threads_are(monkeypatch: pytest.MonkeyPatch) -> None:
    start_threads("here")
    refuse_lost_threads("here")
    become_a_fork(monkeypatch)
    assert not has_lost_threads("never used")
    start_threads("first used in the child")
    refuse_lost_threads("first used in the child")


def test_a_library_that_was_used_before_a_fork_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    start_threads("Somelib")
    become_a_fork(monkeypatch)
    assert has_lost_threads("Somelib")
    for use in (refuse_lost_threads, start_threads):
        with pytest.raises(ForkError, match=r"Somelib cannot run .*get_context\('spawn'\)"):
            use("Somelib")


def test_a_network_on_openvino_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = featx.Extractor(engine="openvino")
    extractor(PIXELS)
    become_a_fork(monkeypatch)
    with pytest.raises(ForkError, match="OpenVINO"):
        extractor(PIXELS)
    with pytest.raises(ForkError, match="OpenVINO"):  # Not TensorFlow instead: it is slower.
        featx.embed(PIXELS)


@pytest.mark.tensorflow
def test_tensorflow_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    import_tensorflow()
    become_a_fork(monkeypatch)
    with pytest.raises(ForkError, match="TensorFlow"):
        import_tensorflow()
    with pytest.raises(ForkError, match="TensorFlow"):
        featx.embed(PIXELS, engine="tensorflow")


def test_an_index_searches_after_a_fork_with_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import faiss

    threads: list[int] = []
    vectors = np.eye(4, dtype=np.float32)
    index = open_fully("flat", write("flat", vectors, tmp_path / "a.faiss"), space_of(vectors))
    index.search(vectors, 1)  # With the threads that a child loses.
    become_a_fork(monkeypatch)
    monkeypatch.setattr(faiss, "omp_set_num_threads", threads.append)
    _, rows = index.search(vectors, 1)
    assert rows[:, 0].tolist() == [0, 1, 2, 3]
    assert threads == [1]


def test_a_lock_that_another_thread_held_is_free_after_a_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = ProcessLock()
    done = []

    def enter() -> None:
        with lock:
            done.append(os.getpid())

    thread = threading.Thread(target=enter, daemon=True)
    with lock:
        thread.start()
        thread.join(0.05)
        assert not done  # It is a lock.
    thread.join()
    parent = os.getpid()
    lock.__enter__()
    become_a_fork(monkeypatch)
    enter()
    assert done == [parent, parent + 1]
