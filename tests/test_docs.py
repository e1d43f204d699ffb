"""Nothing in the documents goes unexecuted."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import featx
from featx.cli import evaluate, export, extract, fine_tune, fit_head, predict, search
from featx.cli.commands import COMMANDS
from featx.heads.options import EvaluationOptions, FeatureOptions, HeadOptions, TaskOptions
from featx.images.sources import find_images
from featx.index.options import SEARCH_GROUPS
from featx.models.builtin import read_card
from featx.models.contracts import APPLICATIONS
from featx.options import DecisionOptions, InputOptions, RunOptions, Selection, UpdateOptions
from featx.testing import write_images
from featx.training.options import (
    ClassifierOptions,
    FreezingOptions,
    LessonOptions,
    TrainingOptions,
)
from tests.doc_pages import ROOT, read_page

TRAINING = {
    "06_fine_tune_a_network.py": ("--freeze", "0:1", "--epochs", "1"),
    "07_new_last_layer.py": ("--freeze", "0:1"),
}
"""Examples that train a network, and what else they are given for a small one."""

SLOW = {*TRAINING, "08_retrain_and_export.py", "11_train_with_keras.py"}
"""Examples that train, or start a process of their own."""

NEEDED = {"10_train_with_pytorch.py": "torch"}
"""Examples that need what is not installed with featx."""

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands() -> list[str]:
    return [name for name in COMMANDS if COMMANDS.package_of(name) is None]


def test_the_page_of_commands_is_what_help_prints() -> None:
    # In a process of its own: what other tests have registered is no part of featx.
    program = "import make_commands as m, sys; sys.exit(m.PAGE.read_text('utf-8') != m.make_page())"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "docs", check=False)
    assert result.returncode == 0, "run: python docs/make_commands.py"


@pytest.mark.parametrize("command", _commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"featx {command}" in README


def test_numbers_in_the_documents_are_those_of_the_code() -> None:
    from featx.images.limits import CODE_BLOCK, LARGE_PIXELS, MAX_PIXELS
    from featx.images.sources.items import MAX_MEMBER_BYTES
    from featx.store.parts import PART_SECONDS

    images = read_page("how-to/images.md")
    assert f"any of the {len(APPLICATIONS)} networks" in read_page("how-to/models.md")
    assert f"{MAX_PIXELS:,} pixels" in images
    assert f"over {MAX_MEMBER_BYTES >> 30} GiB" in images
    assert f"over {LARGE_PIXELS:,} pixels, more than {CODE_BLOCK:,} for each byte" in images
    assert f"every {PART_SECONDS:.0f} seconds" in README


def test_labels_of_archives_in_the_documents_are_those_given(tmp_path: Path) -> None:
    page = read_page("how-to/images.md")
    table = page.split("<!-- labels of archives", 1)[1].split("<!-- end of labels", 1)[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[3:]]
    assert len(rows) == 5
    for number, (members, labels) in enumerate(rows):
        names = re.findall(r"`(.*?)`", members)
        expected = [None if text == "none" else text for text in re.findall(r"\w+", labels)]
        for path in (tmp_path / f"{number}.zip", tmp_path / f"{number}" / "a.zip"):
            path.parent.mkdir(exist_ok=True)
            with zipfile.ZipFile(path, "w") as archive:
                for name in names:
                    archive.writestr(name, b"x")
        for location in (tmp_path / f"{number}.zip", tmp_path / f"{number}" / "*.zip"):
            items = find_images(location).items
            given = {item.key.removeprefix("a.zip/"): item.label for item in items}
            assert [given[name] for name in names] == expected


def test_the_test_line_is_the_one_that_ci_runs() -> None:
    block = README.split("<!-- test line", 1)[1].split("```sh\n", 1)[1].split("```", 1)[0].strip()
    assert block.endswith(".venv/bin/python -m pytest -q -n 2 --dist worksteal")
    assert "\n" not in block


@pytest.mark.parametrize(
    ("command", "function", "renamed"),
    [
        (
            extract.extract,
            featx.extract,
            {"layer": "layers", "as_json": None},
        ),
        (
            export.export,
            featx.export_store,
            {
                "features": None,
                "force": "overwrite",
                "as_json": None,
                **dict.fromkeys(("to", "table", "thumbnails")),
            },
        ),
        (fit_head.fit_head, featx.fit_head, {"as_json": None, "report": None, "sheet": None}),
        (fine_tune.fine_tune, featx.fine_tune, {"as_json": None, "report": None}),
        (
            predict.predict,
            featx.predict,
            dict.fromkeys(("as_json", "output", "overwrite", "csv_safe")),
        ),
        (
            evaluate.evaluate,
            featx.evaluate,
            {
                **dict.fromkeys(("as_json", "report", "sheet")),
                **dict.fromkeys(("retrieval", "layer", "pool", "pca", "k", "index")),
            },
        ),
        (
            search.search,
            featx.search,
            {
                "key": "keys",
                **dict.fromkeys(("as_json", "filepath_only", "sheet", "html", "as_csv", "null")),
                **dict.fromkeys(("preview", "preview_height", "csv_safe")),
            },
        ),
    ],
)
def test_defaults_of_the_commands_are_those_of_the_library(
    command: object, function: object, renamed: dict[str, str | None]
) -> None:
    library = _library_defaults(function)
    compared = 0
    for name, parameter in inspect.signature(command).parameters.items():  # type: ignore[arg-type]
        own = renamed.get(name, name)
        if own is None or parameter.default is inspect.Parameter.empty:
            continue
        expected = library[own]
        received = parameter.default
        if isinstance(received, Path):
            received = str(received)
        if expected in ((), ".") and received is None:
            continue  # An empty list, and the current folder, are None on the command line.
        assert received == expected, name
        compared += 1
    assert compared >= 3


def _library_defaults(function: object) -> dict[str, object]:
    """Return the defaults of a function's parameters, and of the options in its groups."""
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    groups = (InputOptions, Selection, RunOptions, UpdateOptions, DecisionOptions, *SEARCH_GROUPS)
    tuning = (LessonOptions, ClassifierOptions, FreezingOptions, TrainingOptions)
    for group in (*groups, *tuning, FeatureOptions, TaskOptions, EvaluationOptions, HeadOptions):
        if any(str(one.annotation).startswith(group.__name__) for one in parameters.values()):
            defaults |= {field.name: field.default for field in dataclasses.fields(group)}
    return defaults


def test_every_public_name_is_documented_and_typed() -> None:
    for name in featx.__all__:
        value = getattr(featx, name)
        if inspect.isclass(value) or inspect.isfunction(value):  # Not a name for a type.
            assert value.__doc__, name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in two class folders and a network, as the examples expect them."""
    import keras

    folder = tmp_path_factory.mktemp("examples")
    write_images(12, folder / "photos", classes=("cat", "dog"), size=(40, 30))
    images = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    keras.Model(images, keras.layers.GlobalAveragePooling2D(name="gap")(x)).save(
        folder / "net.keras"
    )
    return folder


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(path, marks=pytest.mark.slow if path.name in SLOW else (), id=path.name)
        for path in sorted((ROOT / "examples").glob("*.py"))
    ],
)
def test_every_example_runs(
    script: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if script.name in NEEDED:
        pytest.importorskip(NEEDED[script.name], reason=f"it needs {NEEDED[script.name]}")
    monkeypatch.chdir(folder)
    images, output = "photos", f"{script.stem}.h5"
    if "archive" in script.name:
        images = shutil.make_archive(str(folder / "photos"), "tar", folder, "photos")
    arguments = [images, "--model", "net.keras", "--output", output]
    arguments += TRAINING.get(script.name, ())
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")
    out = capsys.readouterr().out
    assert "12 computed, 0 already there, 0 failed" in out or script.name in TRAINING
    measured = "12 pictures that it was trained on" if "_train_" in script.name else "2"
    assert f"accuracy 1.000 on {measured}" in out
    assert "export" not in script.name or "difference 0.0 after loading" in out


@pytest.mark.parametrize("step", ["targets", "train", "export", "evaluate", "speed"])
def test_the_training_recipe_explains_its_steps(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Training itself takes hours and needs torch, which is no dependency.
    script = ROOT / "examples" / "train_mini" / "train_mini.py"
    monkeypatch.setattr(sys, "argv", [str(script), step, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code == 0
    assert f"usage: train_mini.py {step}" in capsys.readouterr().out


def test_links_of_the_readme_lead_somewhere() -> None:
    # Those of docs/ are checked by the build of the site.
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).exists(), target


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_arrays_in_the_documents_are_those_that_info_explains() -> None:
    page = read_page("reference/head-and-index.md")
    assert "| `coefficients` | (C, D) |" in page
    assert _load("make_parts").insert_arrays(page) == page, "run: python docs/make_parts.py"


def test_the_measurements_in_the_documents_are_those_of_the_weights() -> None:
    page = read_page("reference/builtin-mini.md")
    assert _load("make_parts").insert_measurements(page) == page, "run: python docs/make_parts.py"
    parameters = read_card().parameters / 1e6
    assert f"{parameters:.1f} million parameters" in page


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_tests_that_security_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert len(named) >= 30
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = set(re.findall(r"^def (test_\w+)", "\n".join(sources), re.MULTILINE))
    assert named <= there


def test_every_package_is_in_the_page_of_design() -> None:
    page = read_page("design.md")
    for path in (ROOT / "featx").iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            assert re.search(rf"^\|.*`{path.name}`.*\|", page, re.MULTILINE), path.name
