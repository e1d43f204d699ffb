"""The example of an add-on, installed into a new environment, used there, and missed elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.testing import write_images
from tests.cli.program import Program

ROOT = Path(featx.__file__).parents[1]
PLUGIN = ROOT / "examples" / "plugin"


@dataclass(frozen=True)
class Environment:
    """A Python, and a folder to work in.

    Attributes:
        python: The interpreter.
        folder: The current folder of what it runs.
    """

    python: Path
    folder: Path

    def run(self, *arguments: object) -> str:
        """Run Python; return what it prints."""
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=self.folder,
            env=variables | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def featx(self, *arguments: object) -> str:
        """Run the program."""
        return self.run("-m", "featx", *arguments)


@pytest.fixture(scope="module")
def with_plugin(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new environment that sees the packages of this one, with the add-on installed."""
    folder = tmp_path_factory.mktemp("plugin")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    scheme = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = Path(sysconfig.get_path("scripts", "venv", scheme)) / "python"
    source = Path(shutil.copytree(PLUGIN, folder / "source"))  # Building leaves files in it.
    install = ("install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", source)
    Environment(Path(sys.executable), folder).run("-m", "pip", "--python", python, *install)
    write_images(12, folder / "photos", classes=("dark", "light"))
    return Environment(python, folder)


@pytest.fixture(scope="module")
def fitted(with_plugin: Environment) -> dict[str, Any]:
    """What the program said of the head, after the add-on was used for a store and a head."""
    with_plugin.featx("extract", "photos", "-m", "color:histogram,bins=2")
    told: dict[str, Any] = json.loads(with_plugin.featx("fit-head", "--kind", "nearest", "--json"))
    return told


@pytest.fixture
def without_plugin(
    with_plugin: Environment,
    fitted: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Program:
    """The program in this process, which does not see the add-on, in the folder of its store."""
    monkeypatch.chdir(with_plugin.folder)
    return Program(monkeypatch, capsys)


def test_it_is_used_from_the_model_to_the_export(
    with_plugin: Environment, fitted: dict[str, Any]
) -> None:
    assert (fitted["kind"], fitted["evaluation"]["accuracy"]) == ("nearest", 1.0)
    assert "|mlp|nearest>" in with_plugin.featx("fit-head", "--help")
    printed = with_plugin.featx("predict", "photos", "--json").splitlines()
    lines = [json.loads(line) for line in printed]
    best = {(Path(line["path"]).parent.name, line["class"]) for line in lines if line["rank"] == 1}
    assert best == {("dark", "dark"), ("light", "light")}
    with_plugin.featx("export", "-o", "out.jsonl")
    rows = (with_plugin.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(json.loads(rows[0])["features"]) == 8


def test_its_own_tests_pass(with_plugin: Environment) -> None:
    source = with_plugin.folder / "source"
    with_plugin.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", source, source)


def test_without_it_its_head_is_named(without_plugin: Program) -> None:
    done = without_plugin("predict", "photos")
    assert (done.status, done.err) == (
        1,
        "featx: The head 'head' needs the kind of head 'nearest', which is not installed. It comes "
        "with the package 'featx-example': pip install featx-example.\n",
    )


def test_without_it_its_store_is_read_and_its_model_named(without_plugin: Program) -> None:
    assert "color:histogram" in without_plugin("info").out
    for arguments in (
        ("search", "--key", "dark/image_0.png"),
        ("fit-head", "--kind", "linear", "-o", "linear"),
    ):
        assert without_plugin(*arguments).status == 0
    done = without_plugin("search", "photos/dark/image_0.png")
    assert done.status == 1
    assert done.err.endswith(
        "needs the model source 'color', which is not installed. It comes with the package "
        "'featx-example': pip install featx-example.\n"
    )
