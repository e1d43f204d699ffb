"""An export that is killed while it writes leaves what was there, and is cleared away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from featx.deploy.placing import folder_beside

WRITER = """
import sys, time
from pathlib import Path
from featx.deploy.placing import folder_beside

with folder_beside(Path(sys.argv[1])) as folder:
    (folder / "half.keras").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    output = tmp_path / "flowers.keras"
    output.write_bytes(b"old")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, output], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 2
        with folder_beside(output):
            assert len(list(tmp_path.iterdir())) == 3, "that of a living process was removed"
        process.kill()
    assert output.read_bytes() == b"old"

    with folder_beside(output):
        assert len(list(tmp_path.iterdir())) == 2

    assert list(tmp_path.iterdir()) == [output]
