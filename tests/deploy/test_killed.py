"""An export that is killed while it writes leaves what was there, and is cleared away."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import featx
from featx.deploy.placing import folder_beside
from tests.deploy.pictures import write_noise

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


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "seconds"), [("flowers.keras", 0.0), ("flowers", 0.0), ("flowers.keras", 1.0)]
)
def test_a_killed_export_leaves_the_old_one_or_nothing(
    name: str, seconds: float, tmp_path: Path
) -> None:
    photos = write_noise(tmp_path / "photos")
    featx.extract(photos, model="builtin:mini", output=tmp_path / "f.h5")
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", kind="lda")
    out = tmp_path / "out"
    out.mkdir()
    featx.export_head(tmp_path / "head", output=out / name)
    before = read_all(out)

    command = [sys.executable, "-m", "featx", "export-head", str(tmp_path / "head")]
    with subprocess.Popen([*command, "-o", str(out / name), "--overwrite"]) as process:
        while process.poll() is None and not list(out.glob(".*.tmp")):
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()

    assert process.returncode < 0
    assert {key: data for key, data in read_all(out).items() if ".tmp" not in key} == before
    featx.export_head(tmp_path / "head", output=out / name, overwrite=True)
    assert set(read_all(out)) == set(before)


def read_all(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
