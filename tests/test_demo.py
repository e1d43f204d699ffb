"""The demo, and the built wheel in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import sklearn.datasets
from PIL import Image

from featx.cli.app import main
from featx.demo import run_demo
from featx.report.demo_screen import DemoScreen

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).parents[1]


FEW_DIGITS = """
import sklearn.datasets
from sklearn.utils import Bunch
digits = sklearn.datasets.load_digits()
few = Bunch(images=digits.images[:500], target=digits.target[:500])
sklearn.datasets.load_digits = lambda: few
"""
"""Fewer than a third; the code of the tutorial runs on all of them."""


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "load_digits", sklearn.datasets.load_digits)
    exec(FEW_DIGITS, {})


@pytest.mark.usefixtures("few_digits")
def test_the_demo_runs_twice_and_its_commands_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_demo("demo", DemoScreen())
    first = capsys.readouterr().out
    assert "300 rows (300 computed now" in first
    commands = [line[2:] for line in first.splitlines() if line.startswith("$ ")]
    assert [command.split()[1] for command in commands] == [
        "extract",
        "fit-head",
        "predict",
        "index",
        "search",
    ]
    with Image.open("demo/matches.png") as sheet:
        assert sheet.size[0] > 1000
    assert min(accuracies(first)) > 0.8

    Path("demo/digits/3/digit_020.png").write_bytes(b"")  # As a power cut may leave it.
    assert run_demo("demo", DemoScreen())
    assert "300 rows (0 computed now)" in capsys.readouterr().out

    Path("demo/matches.png").unlink()
    search = ["bash", "-c", commands[-1].replace("featx", "printf '%s\\n'", 1)]
    arguments = subprocess.run(search, capture_output=True, text=True, check=True).stdout
    monkeypatch.setattr(sys, "argv", ["featx", *arguments.splitlines()])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert capsys.readouterr().out.count("query_00") == 10
    assert Path("demo/matches.png").exists()


@pytest.mark.slow
def test_odd_folders_and_files_between_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_demo("my dämo", DemoScreen())
    assert "featx extract 'my dämo/digits' -o 'my dämo/digits.h5'" in capsys.readouterr().out
    (tmp_path / "my dämo" / "queries" / "0" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "my dämo" / "digits" / "3" / "digit_050.png").write_bytes(b"broken")
    assert not run_demo("my dämo", DemoScreen()), "one picture is broken"
    assert "of 80 matches" in capsys.readouterr().out


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    from featx.errors import InvalidValue

    (tmp_path / "demo").write_text("")
    with pytest.raises(InvalidValue, match="The demo writes into a folder"):
        run_demo(tmp_path / "demo", DemoScreen())
    with pytest.raises(InvalidValue, match="holds other files; the demo leaves them alone"):
        run_demo(tmp_path, DemoScreen())


def test_the_wheel_holds_the_weights_and_runs_the_demo(tmp_path: Path) -> None:
    # With the setuptools that is there: an environment of its own for it takes as long as the rest.
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    built = subprocess.run(
        [sys.executable, *build, ROOT], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("featx-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "featx/models/weights/mini.npz" in names
    assert "featx/py.typed" in names
    assert not any(name.startswith("tests/") for name in names)

    # A new environment that sees the dependencies of this one, but not this checkout.
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for folder in {Path(path) for path in sys.path if path.endswith("site-packages")}:
        for entry in folder.iterdir():
            if "featx" not in entry.name and not (dependencies / entry.name).exists():
                (dependencies / entry.name).symlink_to(entry)
    (site / "dependencies.pth").write_text(str(dependencies))
    outside = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    # Modules are compiled when they are imported, and the demo needs a part of them.
    options = ["--quiet", "--no-deps", "--no-compile"]
    install = ["-m", "pip", "--python", python, "install", *options, wheel]
    subprocess.run([sys.executable, *install], check=True, cwd=tmp_path, env=outside)
    program = [tmp_path / "env" / "bin" / "featx", "--version"]
    version = subprocess.run(program, capture_output=True, check=True, cwd=tmp_path, env=outside)
    assert version.stdout
    code = (
        f"{FEW_DIGITS}\nimport sys, featx\nfrom featx.cli.app import main\n"
        "print(featx.__file__)\nsys.argv = ['featx', 'demo']\nmain()"
    )
    result = subprocess.run(
        [python, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=outside,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(tmp_path / "env"))
    assert "300 rows (300 computed now" in result.stdout
    assert min(accuracies(result.stdout)) > 0.85
    assert (tmp_path / "featx-demo" / "matches.png").exists()


def accuracies(shown: str) -> list[float]:
    """The numbers that the demo shows: of the held-out digits, and of those never stored."""
    found = [float(line.split()[1]) for line in shown.splitlines() if line[:8] == "accuracy"]
    assert len(found) == 2
    return found
