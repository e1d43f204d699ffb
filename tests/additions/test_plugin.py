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

import pytest

import featx
from featx.testing import write_images

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

    def run(self, *arguments: object, status: int = 0) -> str:
        """Run Python; return what it prints: results, or errors where some are expected."""
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=self.folder,
            env=variables | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout

    def featx(self, *arguments: object, status: int = 0) -> str:
        """Run the program."""
        return self.run("-m", "featx", *arguments, status=status)


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
def without_plugin(with_plugin: Environment) -> Environment:
    """This environment, in the same folder, after the add-on was used there."""
    with_plugin.featx("extract", "photos", "-m", "color:histogram")
    with_plugin.featx("fit-head", "--kind", "nearest")
    with_plugin.featx("index")
    return Environment(Path(sys.executable), with_plugin.folder)


def test_it_is_used_from_the_model_to_the_export(with_plugin: Environment) -> None:
    assert "|mlp|nearest>" in with_plugin.featx("fit-head", "--help")
    store = ("used.h5", "--json")
    with_plugin.featx("extract", "photos", "-m", "color:histogram,bins=2", "-o", *store)
    fitted = json.loads(with_plugin.featx("fit-head", *store, "--kind", "nearest", "-o", "used"))
    assert (fitted["kind"], fitted["evaluation"]["accuracy"]) == ("nearest", 1.0)
    printed = with_plugin.featx("predict", "photos", "--head", "used", "--json").splitlines()
    lines = [json.loads(line) for line in printed]
    best = {(Path(line["path"]).parent.name, line["class"]) for line in lines if line["rank"] == 1}
    assert best == {("dark", "dark"), ("light", "light")}
    with_plugin.featx("export", "used.h5", "-o", "out.jsonl")
    rows = (with_plugin.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(json.loads(rows[0])["features"]) == 8


def test_its_own_tests_pass(with_plugin: Environment) -> None:
    source = with_plugin.folder / "source"
    with_plugin.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", source, source)


def test_without_it_its_head_is_named(without_plugin: Environment) -> None:
    assert without_plugin.featx("predict", "photos", status=1) == (
        "featx: The head 'head' needs the kind of head 'nearest', which is not installed. It comes "
        "with the package 'featx-example': pip install featx-example.\n"
    )


def test_without_it_its_store_is_read_and_its_model_named(without_plugin: Environment) -> None:
    assert "color:histogram" in without_plugin.featx("info")
    assert without_plugin.featx("search", "--key", "dark/image_0.png")
    assert without_plugin.featx("fit-head", "-o", "linear")
    picture = "photos/dark/image_0.png"
    assert without_plugin.featx("search", picture, status=1).endswith(
        "needs the model source 'color', which is not installed. It comes with the package "
        "'featx-example': pip install featx-example.\n"
    )
