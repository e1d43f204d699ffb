"""Clusters of several raylets, and programs that connect to them or start one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.testing import write_images
from tests.clusters.stores import check_same

pytestmark = [
    pytest.mark.slow,
    # Of Ray's own files, when it starts nodes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODEL = ("-m", "builtin:mini", "--engine", "openvino", "--precision", "float32")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_images(700, tmp_path / "photos", classes=("cat", "dog"), size=(64, 48))


@pytest.fixture
def alone(pictures: Path, tmp_path: Path) -> Path:
    output = tmp_path / "alone.h5"
    featx.extract(pictures, "builtin:mini", engine="openvino", precision="float32", output=output)
    return output


@pytest.fixture
def nodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster with so many raylets of a core each, beside a head without any."""
    utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    port = 20_000 + os.getpid() % 10_000
    head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
    cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    cluster.port = port
    for _ in range(request.param):
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    yield cluster
    cluster.shutdown()


def start(pictures: Path, output: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "featx", "extract", str(pictures), *MODEL, "--json"]
    return subprocess.Popen(
        [*command, "-o", str(output), *options],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(program: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a program; return its report, all that it may write to its standard output."""
    out, err = program.communicate(timeout=300)
    assert program.returncode == 0, err
    assert "state-dump" not in err
    (line,) = out.splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


@pytest.mark.parametrize("nodes", [1, 2, 4], indirect=True)
def test_the_store_is_that_of_one_machine(
    nodes: Any, pictures: Path, alone: Path, store: Path
) -> None:
    report = finish(start(pictures, store, "--cluster", "auto", RAY_ADDRESS=nodes.address))
    assert (report["rows"], report["done"]) == (700, 700)
    check_same(alone, store)
    with featx.open_store(store) as opened:
        assert opened.header.runs[0]["workers"] == len(nodes.worker_nodes)


@pytest.mark.parametrize("nodes", [1], indirect=True)
def test_workers_with_gpus_and_without_share_the_work(
    nodes: Any, pictures: Path, alone: Path, store: Path
) -> None:
    """Ray believes that a node has GPUs; two workers share one of them."""
    nodes.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 << 20)
    shares = ("--num-gpus", "0.5", "--num-cpus", "0.5", "--cpu-workers", "1")
    program = start(pictures, store, "--cluster", "auto", *shares, RAY_ADDRESS=nodes.address)
    assert finish(program)["done"] == 700
    check_same(alone, store)
    with featx.open_store(store) as opened:
        assert opened.header.runs[0]["workers"] == 3


@pytest.mark.parametrize("nodes", [2], indirect=True)
def test_a_node_that_dies_and_a_client_elsewhere(
    nodes: Any, pictures: Path, alone: Path, store: Path
) -> None:
    program = start(pictures, store, "--cluster", f"ray://127.0.0.1:{nodes.port}")
    parts = store.with_name("features.h5.parts")
    while program.poll() is None and not list(parts.glob("part-*")):
        time.sleep(0.05)
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    assert finish(program)["rows"] == 700
    check_same(alone, store)


def test_a_cluster_of_its_own_ends_with_the_call(
    pictures: Path, alone: Path, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("ray")
    scratch = tmp_path_factory.getbasetemp().parent / f"r{os.getpid()}"
    program = start(pictures, store, "--cluster", "local", RAY_TMPDIR=str(scratch))
    assert finish(program)["done"] == 700
    assert processes_that_name(scratch) == []
    check_same(alone, store)

    program = start(pictures, store, "--cluster", "local", "--overwrite", RAY_TMPDIR=str(scratch))
    parts = store.with_name("features.h5.parts")
    while program.poll() is None and not list(parts.glob("work-*")):
        time.sleep(0.05)
    program.kill()
    program.communicate()
    deadline = time.monotonic() + 30
    while processes_that_name(scratch) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_that_name(scratch) == []
    check_same(alone, store)


def processes_that_name(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text[:200])
    return found


def test_a_program_keeps_what_it_does_when_it_is_told_to_end(pictures: Path, store: Path) -> None:
    pytest.importorskip("ray")
    code = f"""
import os, signal, featx
def mine(*_): ...
signal.signal(signal.SIGTERM, mine)
before = dict(os.environ)
featx.extract({str(pictures)!r}, output={str(store)!r}, cluster="local", concurrency=1)
import ray
assert not ray.is_initialized()
assert signal.getsignal(signal.SIGTERM) is mine
changed = {{k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}}
print(sorted(changed))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
