"""Adding something is one file and one registration, and it works everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.cli.commands import COMMANDS
from featx.errors import NotInstalled
from featx.exports.formats import EXPORTS
from featx.heads.kinds import HEADS
from featx.images.sources import IMAGE_SOURCES, find_images
from featx.index.kinds import INDEXES
from featx.index.opening import open_index
from featx.models.sources import SOURCES
from featx.poolings import POOLINGS
from featx.registry import Registry
from featx.testing import write_images
from featx.testing.contracts.exports import ExportContract
from featx.testing.contracts.heads import HeadContract
from featx.testing.contracts.indexes import IndexContract
from featx.testing.contracts.models import ModelCase, ModelSourceContract
from featx.testing.contracts.poolings import PoolingContract
from tests.cli.program import Program

ADDITIONS: tuple[tuple[Registry[Any], str, str], ...] = (
    (HEADS, "class-mean", "tests.additions.centroid_head:centroid"),
    (INDEXES, "numpy", "tests.additions.numpy_index:numpy_index"),
    (EXPORTS, "jsonl", "tests.additions.json_lines_export"),
    (POOLINGS, "median", "tests.additions.median_pooling:median"),
    (SOURCES, "shrink", "tests.additions.shrink_source:SOURCE"),
    (COMMANDS, "count", "tests.additions.count_command:count"),
)
"""Registry, name, and where it is: all that an addition consists of besides its own file."""

pytestmark = pytest.mark.usefixtures("additions")


@pytest.fixture
def additions() -> Iterator[None]:
    for registry, name, path in ADDITIONS:
        registry.add(name, path)
    yield
    for registry, name, _ in ADDITIONS:
        registry.remove(name)


@pytest.fixture
def program(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The program, beside a folder of twelve pictures in two classes."""
    write_images(12, tmp_path / "photos", classes=("dark", "light"))
    monkeypatch.chdir(tmp_path)
    return Program(monkeypatch, capsys)


@pytest.fixture
def run(program: Program) -> Callable[..., str]:
    """Run a command that succeeds, and return what it prints."""

    def run(*arguments: object) -> str:
        outcome = program(*arguments)
        assert outcome.status == 0, outcome.err
        return outcome.out

    return run


@pytest.fixture
def shrink(tmp_path: Path) -> Path:
    """The file of a model of the source ``shrink``."""
    path = tmp_path / "net.shrink"
    path.write_text("4")
    return path


@pytest.mark.parametrize("kind", ["class-mean"])
class TestHeads(HeadContract):
    pass


@pytest.mark.parametrize("kind", ["numpy"])
class TestIndexes(IndexContract):
    pass


@pytest.mark.parametrize("format", ["jsonl"])
class TestExports(ExportContract):
    pass


@pytest.mark.parametrize("pool", ["median"])
class TestPoolings(PoolingContract):
    pass


class TestModelSources(ModelSourceContract):
    @pytest.fixture
    def case(self, shrink: Path) -> ModelCase:
        return ModelCase(f"shrink:{shrink}", ("small", "classes"), path=shrink)


def test_a_head(run: Callable[..., str], program: Program) -> None:
    assert "class-mean" in run("fit-head", "--help")
    run("extract", "photos", "-m", "toy:colors", "--layer", "mean")
    assert json.loads(run("fit-head", "--kind", "class-mean", "--json"))["kind"] == "class-mean"
    lines = [json.loads(line) for line in run("predict", "photos", "--json").splitlines()]
    best = {(Path(line["path"]).parent.name, line["class"]) for line in lines if line["rank"] == 1}
    assert best == {("dark", "dark"), ("light", "light")}
    HEADS.remove("class-mean")
    outcome = program("predict", "photos")
    assert outcome.status == 1
    assert "The head 'head' needs the kind of head 'class-mean'" in outcome.err


def test_an_index_is_built_again_in_its_kind(run: Callable[..., str], program: Program) -> None:
    assert "numpy" in run("index", "--help")
    extract = ("extract", "photos", "-m", "toy:colors", "--layer", "mean")
    run(*extract)
    assert "exact, by NumPy, cosine similarity" in run("index", "--kind", "numpy")
    assert run("search", "photos/dark/image_0.png", "-f", "-k", "1").endswith("dark/image_0.png\n")
    write_images(14, "photos", classes=("dark", "light"))
    run(*extract)
    assert run("search", "--key", "light/image_13.png", "-f", "-k", "1")
    index = open_index("features.faiss")
    assert (index.description.kind, len(index)) == ("numpy", 14)
    INDEXES.remove("numpy")
    outcome = program("search", "--key", "light/image_13.png")
    assert outcome.status == 1
    assert "'features.faiss' needs the kind of index 'numpy'" in outcome.err
    assert "exact, cosine" in run("index")  # It may be replaced on purpose.


def test_an_export_format(run: Callable[..., str]) -> None:
    assert "jsonl" in run("export", "--help")
    run("extract", "photos", "-m", "toy:colors", "--layer", "mean")
    run("export", "-o", "out.jsonl")
    lines = [json.loads(line) for line in Path("out.jsonl").read_text("utf-8").splitlines()]
    assert [line["key"] for line in lines[:2]] == ["dark/image_0.png", "dark/image_2.png"]
    assert len(lines[0]["features"]) == 3


def test_a_pooling_of_extract(
    run: Callable[..., str], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {"median": "featx-median"}
    monkeypatch.setattr(POOLINGS, "package_of", packages.get)
    run("extract", "photos", "-m", "toy:colors", "--layer", "map", "--pool", "median")
    for command in ("fit-head", "index"):
        run(command)
    run("search", "photos/dark/image_0.png", "-k", "1")
    POOLINGS.remove("median")
    assert "median" in run("info")
    run("search", "--key", "dark/image_0.png")
    for command in (["predict", "photos"], ["search", "photos/dark/image_0.png"]):
        outcome = program(*command)
        assert outcome.status == 1
        assert "needs the pooling 'median', which is not installed" in outcome.err
        assert "pip install featx-median" in outcome.err


@pytest.mark.parametrize(
    ("command", "listed"),
    [
        ("fit-head", "flatten or median"),
        ("index", "flatten|median"),
        ("export -o out.npy", "flatten|median"),
    ],
)
def test_a_pooling_of_stored_maps(command: str, listed: str, run: Callable[..., str]) -> None:
    name, *options = command.split()
    assert listed in " ".join(run(name, "--help").split())
    run("extract", "photos", "-m", "toy:colors", "--layer", "map")
    run(name, *options, "--pool", "median")
    if name == "index":
        assert run("search", "photos/dark/image_0.png", "-k", "1", "--json")
        POOLINGS.remove("median")
        with pytest.raises(NotInstalled, match="needs the pooling 'median'"):
            featx.search("photos/dark/image_0.png", features="features.h5")
    elif name == "export":
        assert np.load("out.npy").shape == (12, 3)


def test_a_model_source(run: Callable[..., str], program: Program, shrink: Path) -> None:
    assert "shrink:FILE" in run("extract", "--help")
    assert program("extract", "-m", "missing").err.rstrip().endswith("or a .shrink file.")
    assert "small" in run("layers", "net.shrink")
    run("extract", "photos", "-m", "net.shrink", "--layer", "small")
    run("fit-head")
    run("predict", "photos", "--json")
    assert run("predict", "photos", "-m", "net.shrink", "--json")
    assert run("search", "photos/dark/image_0.png", "-k", "1").endswith("dark/image_0.png\n")
    SOURCES.remove("shrink")
    assert run("search", "--key", "dark/image_0.png", "-k", "1")
    for command in (["predict", "photos"], ["search", "photos/dark/image_0.png"]):
        outcome = program(*command)
        assert outcome.status == 1
        assert "needs the model source 'shrink', which is not installed" in outcome.err


def test_a_command(run: Callable[..., str]) -> None:
    assert re.search(r"^  count +Count the images of each class\.$", run("--help"), re.MULTILINE)
    assert "Leave out classes with fewer images" in run("count", "--help")
    run("extract", "photos", "-m", "toy:colors", "--layer", "mean")
    assert run("count", "features.h5") == "dark 6\nlight 6\n"


class _Distribution:
    name = "featx-broken"


class _BrokenPoint:
    """The entry point of a package that cannot be imported."""

    name = "broken"
    dist = _Distribution()

    def load(self) -> Any:
        raise ModuleNotFoundError("No module named 'torch'")


def test_a_command_that_cannot_be_imported_breaks_no_other(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {COMMANDS.group: [_BrokenPoint()]}
    monkeypatch.setattr("featx.registry.find_entry_points", lambda group: points.get(group, []))
    commands: Registry[Any] = Registry("command", COMMANDS.group, {"info": "featx.cli.info:info"})
    monkeypatch.setattr("featx.cli.commands.COMMANDS", commands)
    monkeypatch.setattr("featx.cli.app.COMMANDS", commands)
    listed = program("--help")
    assert listed.status == 0
    assert "broken  (of featx-broken, which cannot be loaded)" in listed.out
    assert program("info", "--help").status == 0
    for arguments in (["broken"], ["broken", "--option", "x"]):
        outcome = program(*arguments)
        assert outcome.status == 1
        assert outcome.err.startswith("featx: The command 'broken' of the package 'featx-broken'")
        assert len(outcome.err.splitlines()) == 1
        assert "pip uninstall featx-broken" in outcome.err


def test_a_source_of_images_that_cannot_be_imported_breaks_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {IMAGE_SOURCES.group: [_BrokenPoint()]}
    monkeypatch.setattr("featx.registry.find_entry_points", lambda group: points.get(group, []))
    own = {"zips": "featx.images.sources.zips:SOURCE", "all": "featx.images.sources.folders:SOURCE"}
    sources: Registry[Any] = Registry("source of images", IMAGE_SOURCES.group, own)
    monkeypatch.setattr("featx.images.sources.kinds.IMAGE_SOURCES", sources)
    found = find_images(write_images(3, tmp_path))
    assert len(found.items) == 3
    (note,) = found.notes
    assert note.startswith("not asked: The source of images 'broken' of the package 'featx-broken'")
