"""Work that takes longer than a request: map, duplicates, audit; made once for each version."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from featx.errors import FeatxError
from featx.serving.snapshot import Snapshot


class Chores:
    """Runs one piece of work after the other, and keeps what it gives for the newest version."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._version = ""
        self._results: dict[str, Future[Any]] = {}
        # A daemon: what takes minutes does not keep a process that was told to end.
        threading.Thread(target=self._work, name="featx-chore", daemon=True).start()

    def get(self, name: str, snapshot: Snapshot, make: Callable[[Snapshot], Any]) -> Future[Any]:
        """Return a result, or the promise of one.

        Args:
            name: What it is.
            snapshot: What it is made of.
            make: Makes it; may take minutes.
        """
        with self._lock:
            if snapshot.version != self._version:
                self._forget()
                self._version = snapshot.version
            if name not in self._results:
                promise: Future[Any] = Future()
                self._results[name] = promise
                self._waiting.put(lambda: _make(promise, snapshot, make))
            return self._results[name]

    def close(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._forget()
        self._waiting.put(None)

    def _forget(self) -> None:
        for promise in self._results.values():
            promise.cancel()  # Of what was not begun.
        self._results = {}

    def _work(self) -> None:
        while (chore := self._waiting.get()) is not None:
            chore()


class ChangedMeanwhile(FeatxError, RuntimeError):
    """The store was replaced while something was made of it."""


def _make(promise: Future[Any], snapshot: Snapshot, make: Callable[[Snapshot], Any]) -> None:
    """Keep a promise, unless nobody wants it any more."""
    if not promise.set_running_or_notify_cancel():
        return
    try:
        result = make(snapshot)
        if not snapshot.is_current():
            raise ChangedMeanwhile("The store was replaced meanwhile; ask again.")
    except BaseException as error:
        promise.set_exception(error)
    else:
        promise.set_result(result)
