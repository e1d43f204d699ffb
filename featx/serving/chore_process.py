"""Map, duplicates and audit of large stores in a process of their own.

It can be ended at any moment, gives its memory back, and others do not wait for it. It says on
stdout how far it is, a JSON object in each line, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, NoReturn

from featx.errors import FeatxError
from featx.scratch import scratch_folder
from featx.serving.chores import Chore, ChoreFailed, GivenUp
from featx.serving.curated import MAKERS, MapPoints
from featx.serving.listings import Listing
from featx.serving.remarks import Remarks
from featx.serving.snapshot import Snapshot

SMALL_ROWS, SMALL_VALUES = 2_000, 1 << 22
"""Rows and values of features up to which it is done in this process: a new one takes a second."""

TELL_EVERY, LOOK_EVERY = 0.25, 0.2
"""Seconds between two reports, and between two looks at whether it is still wanted."""

NICER = 5
"""So much less urgent than answers is it, as ``nice`` counts."""


def make_chore(name: str, snapshot: Snapshot, chore: Chore) -> MapPoints | Listing:
    """Make one of `MAKERS`.

    Raises:
        GivenUp: If nobody waits for it any more.
        FeatxError: If it cannot be made.
    """
    values = sum(math.prod(spec.shape) for spec in snapshot.store.header.features)
    if len(snapshot) <= SMALL_ROWS and len(snapshot) * values <= SMALL_VALUES:
        return MAKERS[name](snapshot.store.path, chore)
    return make_apart(name, snapshot.store.path, len(snapshot), chore)


def make_apart(name: str, store: Path, count: int, chore: Chore) -> MapPoints | Listing:
    """Make one of `MAKERS` in another process.

    Args:
        name: Which.
        store: The store.
        count: Its rows.
        chore: Is told how far it is, and says whether it is wanted.
    """
    with scratch_folder() as folder:
        result = folder / "result"
        command = [sys.executable, __file__, name, str(store.absolute()), str(result)]
        paths = os.pathsep.join(path for path in sys.path if path)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ | {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"},
        )
        told = _Told(chore)
        assert process.stdout is not None
        reader = threading.Thread(target=told.read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                if not chore.is_wanted:
                    raise GivenUp("nobody waits for it any more")
                time.sleep(LOOK_EVERY)
            reader.join()
        finally:
            process.kill()
            process.wait()
            reader.join()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        if process.returncode:
            reason = told.reason or f"Its process has ended with status {process.returncode}."
            raise ChoreFailed(reason)
        return MapPoints.read(result, count) if name == "map" else Listing.read(result)


class _Told:
    """What the process has said.

    Attributes:
        reason: Why it failed.
    """

    def __init__(self, chore: Chore) -> None:
        self._chore, self.reason = chore, ""

    def read(self, stream: IO[str]) -> None:
        """Read until it ends."""
        for line in stream:
            # A line may be cut off, or what some library prints. It is read all the same, or the
            # process would wait for a reader.
            with contextlib.suppress(ValueError, AttributeError, KeyError):
                said = json.loads(line)
                self.reason = said.get("error", self.reason)
                if "stage" in said:
                    chore = self._chore
                    chore.stage, chore.done, chore.total, chore.remarks = (
                        said[field] for field in ("stage", "done", "total", "remarks")
                    )


class _Teller(Remarks):
    """Says how far it is, not too often."""

    def __init__(self) -> None:
        super().__init__()
        self._state: dict[str, Any] = {"stage": "", "done": 0, "total": 0, "remarks": []}
        self._next = 0.0

    def note(self, text: str) -> None:
        """Keep a message, and pass it on."""
        super().note(text)
        self._tell(remarks=self.remarks)

    def trying(self, what: str) -> None:
        """Say what is being done."""
        self._tell(stage=what, done=0, total=0)

    def start(self, total: int, what: str) -> None:
        """Say what is being done, and how much there is."""
        self._tell(stage=what, done=0, total=total)

    def advance(self, count: int) -> None:
        """Say how much of it is done."""
        self._state["done"] += count
        if time.monotonic() >= self._next:
            self._tell()

    def finish(self) -> None:
        """Forget how much there was."""
        self._state |= {"done": 0, "total": 0}

    def _tell(self, **change: Any) -> None:
        self._state |= change
        self._next = time.monotonic() + TELL_EVERY
        print(json.dumps(self._state), flush=True)


def main() -> None:
    """Make what the command line names."""
    name, store, result = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICER)
    try:
        MAKERS[name](Path(store), _Teller()).write(Path(result))
    except FeatxError as error:
        _fail(str(error).replace(store, Path(store).name))  # Clients are not told where it is.
    except MemoryError:
        _fail("There is not enough memory for it.")
    except OSError as error:  # Not its text, which names a file.
        _fail(f"It could not be made: {error.strerror}.")


def _fail(reason: str) -> NoReturn:
    print(json.dumps({"error": reason}), flush=True)
    sys.exit(1)


def _end_with_parent() -> None:
    sys.stdin.read()  # It holds the other end, and writes nothing.
    os._exit(1)


if __name__ == "__main__":
    main()
