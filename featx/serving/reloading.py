"""Files that change while they are served: the new ones are opened beside, then put in place."""

from __future__ import annotations

import logging
import threading

from featx.errors import FeatxError
from featx.events import Listener
from featx.serving.snapshot import Files, Snapshot, stamp_files, take_snapshot

SECONDS = 1.0
"""Between two looks at the files."""


class Collection:
    """The newest version of some files.

    Who makes an answer takes `current` once. It is never changed; another object takes its place.

    Args:
        files: What is served.
        listener: Is told when files are opened again, and why they cannot be.

    Attributes:
        current: The newest version that could be opened.
        problem: Why a newer one cannot be; None if there is none.
        reloads: How often files were opened again.
    """

    def __init__(self, files: Files, listener: Listener) -> None:
        self._files, self._listener = files, listener
        self.problem: str | None = None
        self.reloads = 0
        self.current: Snapshot = take_snapshot(files, listener)
        self._seen = self.current.stamp
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="featx-watch", daemon=True)

    def start(self) -> None:
        """Begin to look at the files."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.current.close()

    def reload(self) -> bool:
        """Open the files again if they have changed; return whether they have."""
        with self._lock:
            return self._reload()

    def _reload(self) -> bool:
        seen = stamp_files(self._files, self.current.index)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            snapshot = take_snapshot(self._files, self._listener)
            snapshot.prepare()  # Meanwhile the one before is served.
            self.current = snapshot
        except (FeatxError, OSError) as error:
            if str(error) == self.problem:
                return True
            self.problem = str(error)
            self._listener.note(f"still serving the files as they were: {error}")
            return True
        self._seen = self.current.stamp  # Bringing the index up to date has changed it.
        self.problem = None
        self.reloads += 1
        self._listener.note(f"files have changed: serving version {self.current.version}")
        return True

    def prepare(self) -> None:
        """Prepare the first version; what can be read is served even where this fails."""
        try:
            self.current.prepare()
        except Exception as error:
            self.problem = str(error)
            self._listener.note(f"part of the files cannot be read: {error}")

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS):
            try:
                self.reload()
            except Exception as error:  # A mistake of ours: the next files may be read.
                logging.getLogger("featx.serving").error("files were not read", exc_info=error)
