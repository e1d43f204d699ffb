"""Work that takes longer than a request: map, duplicates, audit; made once for each version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from featx.errors import FeatxError
from featx.serving.snapshot import Snapshot


class Chores:
    """Runs one piece of work after the other, and keeps what it gives for the newest version."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="featx-chore")
        self._lock = threading.Lock()
        self._version = ""
        self._results: dict[str, Future[Any]] = {}

    def get(self, name: str, snapshot: Snapshot, make: Callable[[Snapshot], Any]) -> Future[Any]:
        """Return a result, or the promise of one.

        Args:
            name: What it is.
            snapshot: What it is made of.
            make: Makes it; may take minutes.
        """
        with self._lock:
            if snapshot.version != self._version:
                for waiting in self._results.values():
                    waiting.cancel()
                self._version, self._results = snapshot.version, {}
            if name not in self._results:
                self._results[name] = self._pool.submit(_make, snapshot, make)
            return self._results[name]

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class ChangedMeanwhile(FeatxError, RuntimeError):
    """The store was replaced while something was made of it."""


def _make(snapshot: Snapshot, make: Callable[[Snapshot], Any]) -> Any:
    result = make(snapshot)
    if not snapshot.is_current():
        raise ChangedMeanwhile("The store was replaced meanwhile; ask again.")
    return result
