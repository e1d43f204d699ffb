"""What a hostile file must not make a process do, watched from inside the process.

Audit hooks of Python see sockets, programs and files that Python opens. What C libraries open by
themselves shows in what is read (`SECRET`), or as a hang (a pipe).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fuzzing.supervisor import OtherValues

SECRET = b"4c8f:root:x:0:0:a secret of the system\n"
"""The line of which the file is made that nothing may show."""

SECRET_FILE = "secret.txt"
PIPE = "pipe"
VICTIM = "victim"
"""A folder into which nothing may be written."""

ADDRESS = "http://127.0.0.1:9/pictures"
"""Where hostile files say that models and pictures are: a port on which nothing listens."""

_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class")
_CONNECTIONS = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Watch:
    """What this process has done while it was watched; a hook cannot be taken away."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        self.installed = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _PROGRAMS or event in _CONNECTIONS:
            self.seen.append(f"{event} {arguments!r:.200}")
            raise OSError(f"forbidden: {event}")
        if event == "open":
            path, _, flags = arguments
            self._check_path(path, isinstance(flags, int) and bool(flags & _WRITING))
        elif event in _CHANGES:
            for path in arguments[:2]:
                self._check_path(path, True)

    def _check_path(self, path: Any, writes: bool) -> None:
        if not isinstance(path, (str, bytes)):
            return
        text = os.path.abspath(os.fsdecode(path))
        assert self.folder is not None
        outside = self.folder.parent / SECRET_FILE, self.folder.parent / VICTIM
        if text.startswith(tuple(map(str, outside))):
            self.seen.append(f"{'written' if writes else 'read'}: {text}")


_WATCH = _Watch()


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Watch this process; `folder` is where the hostile files are.

    Raises:
        OtherValues: If it did something that a file must not make it do.
    """
    if not _WATCH.installed:
        sys.addaudithook(_WATCH.hook)
        _WATCH.installed = True
    _WATCH.seen.clear()
    _WATCH.folder = folder
    try:
        yield
    finally:
        _WATCH.folder = None
        if _WATCH.seen:
            raise OtherValues("; ".join(dict.fromkeys(_WATCH.seen)))


def make_outside(folder: Path) -> None:
    """Make what is outside of the hostile files: a secret, a pipe, a folder."""
    (folder / SECRET_FILE).write_bytes(SECRET * 2000)
    (folder / VICTIM).mkdir(exist_ok=True)
    if not (folder / PIPE).exists():
        os.mkfifo(folder / PIPE)


def check_shows_nothing(value: object, folder: Path) -> None:
    """Refuse results, or files that were written, that show the secret.

    Raises:
        OtherValues: If they do.
    """
    shown = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    if _is_in(shown):
        raise OtherValues(f"shows the secret: {shown[:300]!r}")
    for file in folder.rglob("out*"):
        if file.is_file() and _is_in(file.read_bytes()):
            raise OtherValues(f"the secret is in {file.name!r}")


def _is_in(data: bytes) -> bool:
    # Of values of 1, 2 or 4 bytes that were read from it, a part is enough.
    return any(SECRET[start : start + 12] in data for start in (0, 4, 8, 12))
