"""Examples for batch systems: they parse, and run in the environment that these set."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from featx.cli.commands import make_command
from featx.images.sharding import find_shard
from tests.doc_pages import ROOT

FOLDER = ROOT / "examples" / "clusters"


@pytest.fixture
def spoken(tmp_path: Path) -> Any:
    """Return what runs a script with a `featx` that writes down how it was called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "log"
    program = f'#!/bin/sh\nprintf "%s\\n" "$(printf "%s\\t" "$@")" >> "{log}"\n'
    program += '[ "$1" = merge ] || exit ${STATUS:-0}\n'
    # Of GNU parallel: the last word before ::: is run with each of those behind it.
    parallel = '#!/bin/sh\necho "$@" > "$PARALLEL_CALL"\nuntil [ "$2" = ::: ]; do shift; done\n'
    parallel += "run=$1; shift 2; for each; do\n"
    parallel += 'sh -c "$(printf %s "$run" | sed "s/{}/$each/g")" || exit 1; done\n'
    for name, text in (("featx", program), ("parallel", parallel)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)

    def run(script: list[str], **variables: str) -> list[list[str]]:
        environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **variables}
        environment["PARALLEL_CALL"] = str(tmp_path / "parallel")
        subprocess.run(script, env=environment, cwd=tmp_path, check=True)
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return [line.rstrip("\t").split("\t") for line in text.splitlines()]

    return run


def check_call(call: list[str]) -> dict[str, Any]:
    """Parse a call of `featx` as the program does, without running it; return its values."""
    command = make_command(call[0])
    context = command.make_context(call[0], list(call[1:]), resilient_parsing=True)
    assert not context.args, call
    return context.params


def test_slurm(spoken: Any) -> None:
    script = FOLDER / "slurm.sh"
    text = script.read_text(encoding="utf-8")
    assert re.search(r"^#SBATCH --array=1-8$", text, re.MULTILINE)
    task = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "4"}
    (call,) = spoken(["sh", str(script), "photos", "shards"], **task)
    values = check_call(call)
    assert find_shard(values["shard"], task)[0] == (3, 8)
    assert str(values["output"]) == "shards/shard-3.h5"


def test_kubernetes(spoken: Any) -> None:
    job = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    (container,) = spec["template"]["spec"]["containers"]
    task = {"JOB_COMPLETION_INDEX": "7"}
    (call,) = spoken(container["command"], **task)
    values = check_call(call)
    assert find_shard(values["shard"], task)[0] == (spec["completions"], spec["completions"])
    assert str(values["output"]) == "/data/shards/shard-7.h5"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}


def test_one_index_on_slurm(spoken: Any, tmp_path: Path) -> None:
    """Each job runs here, when it is submitted, with the tasks of its array."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(
        "#!/bin/sh\n"
        "for last; do case $last in --array=1-*) tasks=${last#--array=1-};; esac; done\n"
        'for task in $(seq "${tasks:-1}"); do SLURM_ARRAY_TASK_ID=$task sh -c "$last"; done\n'
        "echo 1\n",
        encoding="utf-8",
    )
    sbatch.chmod(0o755)
    (tmp_path / "shards").mkdir()
    for number in (1, 2):
        (tmp_path / "shards" / f"shard-{number}.faiss").touch()
    calls = spoken(["sh", str(FOLDER / "index.sh"), "shards", "features.h5", "1000"])
    train, *fill, merge = calls
    assert train == "index shards/shard-1.h5 --train-for 1000 -o shards/trained.faiss".split()
    assert [call[1] for call in fill] == [f"shards/shard-{number}.h5" for number in range(1, 9)]
    assert {tuple(call[2:]) for call in fill} == {("--trained-by", "shards/trained.faiss")}
    assert merge[1:3] == ["shards/shard-1.faiss", "shards/shard-2.faiss"]
    assert merge[3:] == ["--features", "features.h5", "-o", "features.faiss"]
    for call in calls:
        check_call(call)


@pytest.mark.parametrize("machines", [{}, {"MACHINES": "machines.txt"}])
def test_gnu_parallel(spoken: Any, tmp_path: Path, machines: dict[str, str]) -> None:
    photos = "Bob's new photos"
    *extracts, merge = spoken(["sh", str(FOLDER / "parallel.sh"), photos, "all shards"], **machines)
    assert merge[0] == "merge"
    check_call(merge)
    options = shlex.split((tmp_path / "parallel").read_text(encoding="utf-8"))
    assert ("--sshloginfile" in options) == bool(machines)
    assert {"photos", "folder"} <= {options[i + 1] for i in range(20) if options[i] == "--env"}
    for number, call in enumerate(extracts, start=1):
        values = check_call(call)
        assert values["shard"] == f"{number}/{len(extracts)}"
        assert values["images"] == (photos,)
        assert str(values["output"]) == f"all shards/shard-{number}.h5"


def test_pictures_that_cannot_be_used_are_no_failure_of_a_job(spoken: Any) -> None:
    job = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    task = {"SLURM_ARRAY_TASK_ID": "3", "JOB_COMPLETION_INDEX": "3"}
    for script in (
        ["sh", str(FOLDER / "slurm.sh"), "my photos", "shards"],
        job["spec"]["template"]["spec"]["containers"][0]["command"],
        ["sh", str(FOLDER / "parallel.sh"), "my photos", "shards"],
    ):
        spoken(script, STATUS="3", **task)
        with pytest.raises(subprocess.CalledProcessError):
            spoken(script, STATUS="1", **task)
