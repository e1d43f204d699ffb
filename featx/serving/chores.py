"""Work that takes longer than a request: map, duplicates, audit; made once for each version.

It goes on while somebody asks for it: what nobody has asked for in `PATIENCE` seconds is given up.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from featx.errors import FeatxError
from featx.serving.remarks import Remarks
from featx.serving.snapshot import Snapshot

PATIENCE = 150.0
"""Seconds: tabs that are not looked at ask once a minute."""


class GivenUp(FeatxError, RuntimeError):
    """Nobody waits for it any more."""


class ChoreFailed(FeatxError, RuntimeError):
    """It could not be made."""


class ChangedMeanwhile(FeatxError, RuntimeError):
    """The store was replaced while something was made of it."""


@dataclass(eq=False)
class Chore(Remarks):
    """A piece of work, and how far it is. What is reported to it once it is given up fails.

    Attributes:
        promise: Gets what is made.
        stage: What is being done, in words; empty before it is begun.
        done: Items of the stage that are done.
        total: Items of the stage; 0 if that is not known.
        began: When work began, as `time.monotonic` counts; None before.
        asked: When somebody asked for it last.
        is_cancelled: Whether it is to end.
        remarks: What it has said.
    """

    promise: Future[Any] = field(default_factory=Future)
    stage: str = ""
    done: int = 0
    total: int = 0
    began: float | None = None
    asked: float = field(default_factory=time.monotonic)
    is_cancelled: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it."""
        return not self.is_cancelled and time.monotonic() - self.asked < PATIENCE

    def note(self, text: str) -> None:
        """Keep a message."""
        self._check()
        super().note(text)

    def trying(self, what: str) -> None:
        """Take note of what is being done."""
        self._report(what, 0)

    def start(self, total: int, what: str) -> None:
        """Start a stage."""
        self._report(what, total)

    def advance(self, count: int) -> None:
        """Take note of what is done."""
        self._check()
        self.done += count

    def finish(self) -> None:
        """End a stage."""
        self.total = self.done = 0

    def _report(self, stage: str, total: int) -> None:
        self._check()
        self.stage, self.total, self.done = stage, total, 0

    def _check(self) -> None:
        if not self.is_wanted:
            raise GivenUp("nobody waits for it any more")

    def describe(self) -> dict[str, Any]:
        """Return how far it is, as JSON-serialisable values."""
        if self.began is None:
            return {"stage": "waiting for other work", "seconds": 0}
        known = {"done": min(self.done, self.total), "total": self.total} if self.total else {}
        about = {"seconds": round(time.monotonic() - self.began), "remarks": list(self.remarks)}
        return {"stage": self.stage} | about | known


Make = Callable[[Snapshot, Chore], Any]


class Chores:
    """Does one piece of work after the other, and keeps what it gives for the newest version."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._version = ""
        self._known: dict[str, Chore] = {}
        # A daemon: what takes minutes does not keep a process that was told to end.
        threading.Thread(target=self._work, name="featx-chore", daemon=True).start()

    def get(self, name: str, snapshot: Snapshot, make: Make) -> Chore:
        """Return a piece of work, which is done or will be.

        Args:
            name: What it is.
            snapshot: What it is made of.
            make: Makes it; may take minutes. It tells the chore how far it is.
        """
        with self._lock:
            if snapshot.version != self._version:
                self._forget()
                self._version = snapshot.version
            known = self._known.get(name)
            if known is None or (known.is_cancelled or not _is_of_use(known)):
                known = self._known[name] = Chore()
                self._waiting.put(lambda chore=known: _make(chore, snapshot, make))  # type: ignore[misc]
            elif _may_be_tried_again(known):
                del self._known[name]  # Who is told why it failed may ask again.
            known.asked = time.monotonic()
            return known

    def close(self) -> None:
        """Begin nothing more, and give up what is being made."""
        with self._lock:
            self._forget()
        self._waiting.put(None)

    def _forget(self) -> None:
        for chore in self._known.values():
            chore.is_cancelled = True
            chore.promise.cancel()  # Of what was not begun.
        self._known = {}

    def _work(self) -> None:
        while (chore := self._waiting.get()) is not None:
            chore()


def _is_of_use(chore: Chore) -> bool:
    """Whether it will be made, or is; not if it was given up because nobody asked."""
    if not chore.promise.done():
        return chore.is_wanted
    return chore.promise.cancelled() or not isinstance(chore.promise.exception(), GivenUp)


def _may_be_tried_again(chore: Chore) -> bool:
    """Whether the store was away, or its process failed: perhaps for a lack of memory."""
    promise = chore.promise
    is_over = promise.done() and not promise.cancelled()
    return is_over and isinstance(promise.exception(), (ChangedMeanwhile, ChoreFailed))


def _make(chore: Chore, snapshot: Snapshot, make: Make) -> None:
    """Keep a promise, unless nobody wants it any more."""
    if not chore.promise.set_running_or_notify_cancel():
        return
    try:
        chore.began = time.monotonic()
        chore.trying("beginning")
        _check_current(snapshot)  # Not only after minutes: it is read by its path.
        result = make(snapshot, chore)
        _check_current(snapshot)
    except BaseException as error:
        chore.promise.set_exception(error)
    else:
        chore.promise.set_result(result)


def _check_current(snapshot: Snapshot) -> None:
    if not snapshot.is_current():
        raise ChangedMeanwhile("The store was replaced meanwhile; ask again.")
