"""The program ends at once, and nothing that was to be done at the end is left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import atexit, sys, tempfile, threading, time
import featx.__main__ as start

class Main:
    @staticmethod
    def main():
        global folder, thread
        atexit.register(lambda: print("registered"))
        folder = tempfile.TemporaryDirectory()
        thread = threading.Thread(target=lambda: (time.sleep(0.1), print("thread")))
        thread.start()
        print(folder.name)
        ENDING

class Slow:
    def __del__(self):
        sys.stderr.write("freed")

slow = Slow()
sys.modules["featx.cli.app"] = Main
start.program()
"""


@pytest.mark.parametrize(
    ("ending", "status", "freed"),
    [("sys.exit(3)", 3, ""), ("sys.exit()", 0, ""), ("raise KeyError(1)", 1, "freed")],
)
def test_what_was_to_be_done_at_the_end_is_done(ending: str, status: int, freed: str) -> None:
    code = CODE.replace("ENDING", ending)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    folder, *lines = done.stdout.splitlines()
    assert done.returncode == status
    assert lines == ["thread", "registered"]
    assert not Path(folder).exists()
    assert done.stderr.endswith(freed)
    assert ("freed" in done.stderr) == bool(freed)
