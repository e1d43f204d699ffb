"""Registries: names of featx's own things, of installed packages, of this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

import featx
from featx.errors import AddOnError, NotInstalled, UnknownName
from featx.registry import Registry


class _Distribution:
    def __init__(self, name: str) -> None:
        self.name = name


class _Point:
    """An entry point of an installed package."""

    def __init__(self, name: str, load: Callable[[], Any], package: str = "featx-demo") -> None:
        self.name = name
        self.load = load
        self.dist = _Distribution(package)


def _fail() -> Any:
    raise ModuleNotFoundError("No module named 'torch'")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    points = [
        _Point("zeta", lambda: "zeta"),
        _Point("alpha", lambda: "alpha"),
        _Point("broken", _fail),
        _Point("own", lambda: "an intruder"),
    ]
    monkeypatch.setattr("featx.registry.find_entry_points", lambda group: points)
    return Registry("kind of thing", "demo.things", {"own": "json:dumps", "module": "json"})


def test_an_object_is_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [_Point("counted", lambda: loads.append(1) or loads)]
    monkeypatch.setattr("featx.registry.find_entry_points", lambda group: points)
    registry: Registry[list[int]] = Registry("kind of thing", "demo.things", {})
    loads: list[int] = []
    assert registry["counted"] is registry["counted"]
    assert loads == [1]


def test_a_name_that_two_packages_bring_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [_Point("twin", lambda: 1), _Point("twin", lambda: 2, "featx-other")]
    monkeypatch.setattr("featx.registry.find_entry_points", lambda group: points)
    registry: Registry[int] = Registry("thing", "demo.things", {})
    assert registry.names == ("twin",)
    with pytest.raises(AddOnError, match="'featx-demo' and 'featx-other' both bring a thing"):
        registry["twin"]


def test_own_names_come_first_and_cannot_be_taken(registry: Registry[Any]) -> None:
    assert registry.names == ("own", "module", "alpha", "broken", "zeta")
    assert registry["own"]([]) == "[]"
    assert registry["module"].dumps([]) == "[]"
    assert registry["alpha"] == "alpha"


def test_who_brings_what(registry: Registry[Any]) -> None:
    assert registry.package_of("alpha") == "featx-demo"
    assert registry.package_of("own") is None


def test_what_is_added_replaces_and_can_be_removed(registry: Registry[Any]) -> None:
    registry.add("own", len)
    assert registry["own"]("abc") == 3
    registry.remove("own")
    assert registry["own"]([]) == "[]"
    registry.add("later", "string:digits")
    assert registry["later"] == "0123456789"
    assert "later" in registry
    registry.remove("later")
    assert "later" not in registry


def test_an_unknown_name_is_refused_with_those_that_there_are(registry: Registry[Any]) -> None:
    with pytest.raises(UnknownName, match="no kind of thing named 'alfa'. Did you mean alpha"):
        registry["alfa"]
    with pytest.raises(UnknownName, match="Choose own, module, alpha, broken or zeta"):
        registry.check("nothing")


def test_a_package_that_cannot_be_imported_is_named(registry: Registry[Any]) -> None:
    assert "broken" in registry  # The others are not affected.
    with pytest.raises(AddOnError, match="'featx-demo' cannot be loaded: .*'torch'"):
        registry["broken"]


def test_an_object_of_a_package_has_what_the_protocol_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Whole:
        @property
        def size(self) -> int:
            raise OSError("Computing a property may be slow, or fail.")

        def __init__(self) -> None:
            self.title = ""

        def __call__(self) -> None: ...

    class Thing(Protocol):
        title: str

        @property
        def size(self) -> int: ...

        def __call__(self) -> None: ...

    points = [_Point("five", lambda: 5), _Point("half", lambda: len), _Point("whole", Whole)]
    monkeypatch.setattr("featx.registry.find_entry_points", lambda group: points)
    things: Registry[Any] = Registry("thing", "demo.things", {}, Thing)
    assert things["whole"].title == ""
    message = "thing 'five' of the package 'featx-demo' lacks title, size and __call__: .*'int'"
    with pytest.raises(AddOnError, match=message):
        things["five"]
    with pytest.raises(AddOnError, match="'half' of the package 'featx-demo' lacks title and size"):
        things["half"]


def test_a_wrong_object_is_refused_in_every_registry(tmp_path: Path) -> None:
    groups = (
        "models engines heads indexes exports poolings images findings strategies layouts "
        "clusterings datasets commands"
    ).split()
    info = tmp_path / "featx_five-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: featx-five\nVersion: 1.0\n")
    points = "".join(f"[featx.{group}]\nfive = featx_five:FIVE\n" for group in groups)
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "featx_five.py").write_text("FIVE = 5\n")
    code = (
        "from featx.cli.commands import COMMANDS\n"
        "from featx.curation.findings import FINDINGS\n"
        "from featx.curation.clustering import CLUSTERINGS\n"
        "from featx.curation.layout import LAYOUTS\n"
        "from featx.curation.strategy import STRATEGIES\n"
        "from featx.datasets.kinds import DATASETS\n"
        "from featx.engines.engines import ENGINES\n"
        "from featx.errors import AddOnError\n"
        "from featx.exports.formats import EXPORTS\n"
        "from featx.heads.kinds import HEADS\n"
        "from featx.images.sources.kinds import IMAGE_SOURCES\n"
        "from featx.index.kinds import INDEXES\n"
        "from featx.models import SOURCES\n"
        "from featx.poolings import POOLINGS\n"
        "from featx.poolings.pooling import vector_poolings\n"
        "for registry in (SOURCES, ENGINES, HEADS, INDEXES, EXPORTS, POOLINGS, IMAGE_SOURCES,\n"
        "                 FINDINGS, STRATEGIES, LAYOUTS, CLUSTERINGS, DATASETS, COMMANDS):\n"
        "    try:\n"
        "        registry['five']\n"
        "    except AddOnError as error:\n"
        "        print(registry.group, error)\n"
        "assert 'avg' in vector_poolings()\n"  # The others are not affected.
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(featx.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"featx.{group}" for group in groups]
    assert all("'five' of the package 'featx-five' lacks " in line for line in lines)


def test_a_file_that_names_something_absent_says_what_to_install(registry: Registry[Any]) -> None:
    assert registry.restore("alpha", "'head'") == "alpha"
    with pytest.raises(NotInstalled, match="'head' needs the kind of thing 'x'.*newer featx"):
        registry.restore("x", "'head'")
    with pytest.raises(NotInstalled, match="pip install featx-x"):
        registry.restore("x", "'head'", "featx-x")


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys\n"
        "from featx.registry import Registry\n"
        "things = Registry('thing', 'demo.things', {'a': 'xmlrpc.client:loads'})\n"
        "assert 'a' in things and 'xmlrpc.client' not in sys.modules\n"
        "things['a']\n"
        "assert 'xmlrpc.client' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
