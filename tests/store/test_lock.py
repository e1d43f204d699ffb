"""One writer for each store, and nothing stale after a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from featx.errors import StoreError, StoreLocked
from featx.store.lock import lock_for_writing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="advisory locks need a POSIX system")

OWNER = """
import sys, time
from pathlib import Path
from featx.store.lock import lock_for_writing
with lock_for_writing(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_second_writer_is_refused_with_process_and_time(tmp_path: Path) -> None:
    folder = tmp_path / "features.h5.parts"
    with other_process(folder) as owner:
        with (
            pytest.raises(
                StoreLocked,
                match=rf"Process {owner.pid} on .* \(since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\) is "
                r"writing to '.*features\.h5'\. Wait for it, or choose another file with -o",
            ) as caught,
            lock_for_writing(folder),
        ):
            pytest.fail("two writers at once")
        assert isinstance(caught.value, StoreError)
        assert isinstance(caught.value, BlockingIOError)
        assert owner.poll() is None  # The owner's lock is untouched by the refusal,
        assert (folder / "lock").exists()  # and so is its file.
        owner.communicate()
    assert not folder.exists()
    with lock_for_writing(folder):
        assert (folder / "lock").exists()


def test_killed_owner_leaves_nothing_stale(tmp_path: Path) -> None:
    folder = tmp_path / "features.h5.parts"
    with other_process(folder) as owner:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert (folder / "lock").exists()
        with lock_for_writing(folder):
            assert f'"pid": {os.getpid()}' in (folder / "lock").read_text()
    assert not folder.exists()


def test_same_process_is_refused_too(tmp_path: Path) -> None:
    with (
        lock_for_writing(tmp_path / "p"),
        pytest.raises(StoreLocked, match=f"Process {os.getpid()} "),
        lock_for_writing(tmp_path / "p"),
    ):
        pytest.fail("two writers at once")


def test_folder_with_parts_stays(tmp_path: Path) -> None:
    with lock_for_writing(tmp_path / "p"):
        (tmp_path / "p" / "part-000000.h5").touch()
    assert (tmp_path / "p" / "part-000000.h5").exists()


def test_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_for_writing(tmp_path / "p"):
        raise ZeroDivisionError
    assert not (tmp_path / "p").exists()
    with lock_for_writing(tmp_path / "p"):
        pass
