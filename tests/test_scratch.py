"""Temporary folders: gone afterwards, and after the next one where their process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from featx.scratch import remove_leftovers, scratch_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders have no locks there")

IS_KILLED = """
import os, signal
from featx.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "half").write_text("done")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_folder_of_a_killed_process_is_deleted_by_the_next(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", IS_KILLED], check=False)
    (left,) = temporary.iterdir()
    assert (left / "files/half").exists()
    with scratch_folder() as folder:
        assert list(temporary.iterdir()) == [folder.parent]
        assert not list(folder.iterdir())
    assert not list(temporary.iterdir())


def test_what_is_in_use_or_of_others_stays(temporary: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "lock").touch()
    (temporary / "featx-link").symlink_to(other)
    (temporary / "featx-linked-lock").mkdir()
    (temporary / "featx-linked-lock/lock").symlink_to(other / "lock")
    (temporary / "featx-without-lock").mkdir()
    (temporary / "featx-file").touch()
    (temporary / "another").mkdir()
    (temporary / "another/lock").touch()
    with scratch_folder() as folder:
        (folder / "mine").touch()
        before = sorted(temporary.rglob("*"))
        remove_leftovers()
        assert sorted(temporary.rglob("*")) == before
    assert (other / "lock").exists()
