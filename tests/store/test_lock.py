"""One writer for each store, and nothing stale after a crash."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import featx.store.lock as lock_module
from featx.errors import StoreError, StoreLocked
from featx.events import Listener
from featx.store.lock import CLAIM_NAME, LOCK_NAME, lock_for_writing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="advisory locks need a POSIX system")

OWNER = """
import sys, time
from pathlib import Path
import featx.store.lock
from featx.store.lock import lock_for_writing
if sys.argv[2] == "claim":
    featx.store.lock.fcntl = None
with lock_for_writing(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""

REFUSAL = (
    r"Process {pid} on {host} \(since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\) is writing to "
    r"'.*features\.h5'\. Wait for it \(wait=True\), or choose another file with output="
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features.h5.parts"


@pytest.fixture(params=["flock", "ENOLCK", "EOPNOTSUPP", "no fcntl"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of lock; of all but ``flock`` the file that names its owner is the lock."""
    if request.param == "no fcntl":
        monkeypatch.setattr(lock_module, "fcntl", None)
    elif request.param != "flock":
        forbid_locks(monkeypatch, getattr(errno, request.param))
    return str(request.param)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""
    forbid_locks(monkeypatch, errno.ENOLCK)


def forbid_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)


@contextmanager
def other_process(folder: Path, kind: str = "flock") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), "flock" if kind == "flock" else "claim"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def dead_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def claim(folder: Path, **changes: Any) -> Path:
    """Make the claim of another owner: of this process, unless changed."""
    folder.mkdir(exist_ok=True)
    path = folder / CLAIM_NAME
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": 1_700_000_000.0,
        "process_started": lock_module.process_start(os.getpid()),
    }
    path.write_text(json.dumps(owner | changes))
    return path


# Any kind of lock


@pytest.mark.parametrize("kind", ["flock", "claim"])
def test_second_writer_is_refused_with_process_and_time(
    folder: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "claim":
        request.getfixturevalue("no_locks")
    with other_process(folder, kind) as owner:
        expected = REFUSAL.format(pid=owner.pid, host=re.escape(socket.gethostname()))
        before = sorted(path.name for path in folder.iterdir())
        with pytest.raises(StoreLocked, match=expected) as caught, lock_for_writing(folder):
            pytest.fail("two writers at once")
        assert isinstance(caught.value, StoreError)
        assert isinstance(caught.value, BlockingIOError)
        assert owner.poll() is None  # The owner's lock is untouched by the refusal,
        assert sorted(path.name for path in folder.iterdir()) == before  # and so is its file.
        owner.communicate()
    assert not folder.exists()
    with lock_for_writing(folder):
        assert (folder / LOCK_NAME).exists()


@pytest.mark.parametrize("kind", ["flock", "claim"])
def test_killed_owner_leaves_nothing_stale(
    folder: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "claim":
        request.getfixturevalue("no_locks")
    name = LOCK_NAME if kind == "flock" else CLAIM_NAME
    with other_process(folder, kind) as owner:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert f'"pid": {owner.pid}' in (folder / name).read_text()
        with lock_for_writing(folder):
            assert f'"pid": {os.getpid()}' in (folder / name).read_text()
    assert not folder.exists()


def test_same_process_is_refused_too(folder: Path, system: str) -> None:
    with (
        lock_for_writing(folder),
        pytest.raises(StoreLocked, match=f"Process {os.getpid()} "),
        lock_for_writing(folder),
    ):
        pytest.fail("two writers at once")
    assert not folder.exists()


def test_folder_with_parts_stays(folder: Path, system: str) -> None:
    with lock_for_writing(folder):
        (folder / "part-000000.h5").touch()
    assert (folder / "part-000000.h5").exists()
    with lock_for_writing(folder):
        (folder / "part-000000.h5").unlink()
    assert not folder.exists()


def test_lock_is_given_back_after_an_error(folder: Path, system: str) -> None:
    with pytest.raises(ZeroDivisionError), lock_for_writing(folder):
        raise ZeroDivisionError
    assert not folder.exists()
    with lock_for_writing(folder):
        pass


def test_half_written_files_do_not_keep_the_folder(folder: Path, system: str) -> None:
    with lock_for_writing(folder):
        (folder / "part-000000.h5.123.tmp").touch()
    assert not folder.exists()


@pytest.mark.skipif(os.name != "nt" and os.getuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with (
            pytest.raises(StoreError, match="Choose another path"),
            lock_for_writing(tmp_path / "p"),
        ):
            pytest.fail("written where it must not")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a file system that takes no folders")
def test_a_file_system_without_folders_is_given_up() -> None:
    with pytest.raises(StoreError, match=r"'/proc/features\.h5' cannot be written: No such file"):
        lock_for_writing(Path("/proc/features.h5.parts")).__enter__()


def test_other_errors_of_the_file_system_are_not_taken_for_no_locks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_locks(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"), lock_for_writing(folder):
        pytest.fail("locked")
    assert not (folder / CLAIM_NAME).exists()


# Claims, where there are no locks


@pytest.mark.usefixtures("no_locks")
def test_claim_of_a_dead_process_is_taken_over(folder: Path) -> None:
    path = claim(folder, pid=dead_process(), process_started=1)
    with lock_for_writing(folder):
        assert json.loads(path.read_text())["pid"] == os.getpid()
        assert sorted(p.name for p in folder.iterdir()) == [LOCK_NAME, CLAIM_NAME]
    assert not folder.exists()


@pytest.mark.usefixtures("no_locks")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells when it began")
def test_claim_of_a_process_whose_number_was_given_away_is_taken_over(folder: Path) -> None:
    path = claim(folder, process_started=1)
    with lock_for_writing(folder):
        assert json.loads(path.read_text())["process_started"] > 1
    assert not folder.exists()


@pytest.mark.usefixtures("no_locks")
def test_claim_of_a_living_process_is_refused_where_starts_are_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "process_start", lambda pid: None)
    claim(folder, process_started=None)
    with pytest.raises(StoreLocked), lock_for_writing(folder):
        pytest.fail("two writers at once")
    claim(folder, pid=dead_process(), process_started=None)
    with lock_for_writing(folder):
        pass


@pytest.mark.usefixtures("no_locks")
def test_claim_of_another_machine_is_refused_and_says_how_to_remove_it(folder: Path) -> None:
    path = claim(folder, host="another-machine", pid=dead_process())
    with (
        pytest.raises(
            StoreLocked,
            match=rf"on another-machine \(since 2023-11-1.*If it no longer runs, delete "
            rf"{re.escape(repr(str(path)))}\.",
        ),
        lock_for_writing(folder),
    ):
        pytest.fail("two writers at once")
    assert path.exists()
    path.unlink()  # As the message says.
    with lock_for_writing(folder):
        pass


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"pid": "x"}', '{"pid": 1, "since": 1e99, "host": "h"}']
)
def test_claim_that_names_nobody_is_refused_and_says_how_to_remove_it(
    folder: Path, text: str
) -> None:
    path = claim(folder)
    path.write_text(text)  # Half written, by a process between two steps or killed there.
    with (
        pytest.raises(StoreLocked, match=r"is writing to .*delete '.*lock\.claim'"),
        lock_for_writing(folder),
    ):
        pytest.fail("two writers at once")


# Waiting


class Notes(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_waiting_lasts_until_the_owner_ends_and_tells_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, attempts, notes = lock_module.try_lock, 0, Notes()
    monkeypatch.setattr(lock_module, "WAIT_SECONDS", 0.01)
    with other_process(folder) as owner:

        def count(folder: Path) -> Any:
            nonlocal attempts
            attempts += 1
            if attempts == 4:
                assert owner.stdin is not None
                owner.stdin.close()
            return real(folder)

        monkeypatch.setattr(lock_module, "try_lock", count)
        with lock_for_writing(folder, notes):
            assert owner.wait() == 0
    assert attempts >= 4
    (note,) = notes.notes
    assert re.match(rf"Process {owner.pid} on .* is writing to '.*features\.h5': waiting", note)
    assert not folder.exists()


def test_waiting_for_nobody_tells_nothing(folder: Path) -> None:
    notes = Notes()
    with lock_for_writing(folder, notes):
        pass
    assert notes.notes == []


def test_ctrl_c_ends_the_waiting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with lock_for_writing(folder):
        monkeypatch.setattr("featx.store.lock.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt), lock_for_writing(folder, Notes()):
            pytest.fail("two writers at once")
        assert (folder / LOCK_NAME).exists()
    assert not folder.exists()


def test_a_folder_that_vanishes_while_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Path.mkdir` raises FileExistsError for a folder that is gone when it looks at it."""
    real, attempts = lock_module.make_folder, 0

    def make_folder(path: Path) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise FileExistsError(17, "File exists")
        real(path)

    monkeypatch.setattr(lock_module, "make_folder", make_folder)
    with lock_for_writing(folder):
        assert attempts == 3


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_where_the_folder_should_be(folder: Path, kind: str) -> None:
    if kind == "file":
        folder.write_text("")
    else:
        folder.symlink_to("nowhere")
    with pytest.raises(StoreError, match="cannot be written"), lock_for_writing(folder):
        pytest.fail("nothing can hold the lock")


# Many writers in turn


@pytest.mark.parametrize("kind", ["flock", "claim"])
def test_of_many_writers_one_at_a_time_gets_in(tmp_path: Path, kind: str) -> None:
    # Each adds 1 to a number that it reads and writes in two steps, and removes the folder.
    script = (
        "import sys, time; from pathlib import Path\n"
        "import featx.store.lock as lock; from featx.events import Listener\n"
        "lock.WAIT_SECONDS = 0.0005\n"
        f"if {kind!r} == 'claim': lock.fcntl = None\n"
        "folder = Path(sys.argv[1]); total = folder.with_name('total')\n"
        "for _ in range(25):\n"
        "    with lock.lock_for_writing(folder, Listener()):\n"
        "        number = int(total.read_text()); time.sleep(0.0005)\n"
        "        total.write_text(str(number + 1))\n"
    )
    (tmp_path / "total").write_text("0")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "p")], cwd=Path(__file__).parents[2]
        )
        for _ in range(3)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert (tmp_path / "total").read_text() == "75"
