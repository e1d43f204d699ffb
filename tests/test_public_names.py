"""What `import featx` offers: every type that a public signature names, and each name once."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
import tomllib
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.keywords import (
    ExtractKeywords,
    InputKeywords,
    PredictKeywords,
    RunKeywords,
    SelectionKeywords,
    UpdateKeywords,
)

ROOT = Path(__file__).parents[1]
IGNORED = "  # type: ignore"


def as_text(hint: Any) -> str:
    return str(getattr(hint, "__forward_arg__", hint))


def annotations_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the signature of a public name says, as text, and where the names are defined."""
    if inspect.isfunction(value):
        yield from ((as_text(hint), value) for hint in value.__annotations__.values())
    elif inspect.isclass(value):
        for kind in value.__mro__:
            if not kind.__module__.startswith("featx"):
                continue
            hints = inspect.get_annotations(kind)
            yield from ((as_text(hint), kind) for hint in hints.values())
            for name, member in vars(kind).items():
                if name.startswith("_") and name not in ("__init__", "__call__", "__getitem__"):
                    continue
                member = getattr(member, "fget", None) or getattr(member, "func", member)
                member = getattr(member, "__func__", member)
                if inspect.isfunction(member):
                    yield from ((as_text(hint), member) for hint in member.__annotations__.values())


def named_types(value: Any) -> set[str]:
    """Return the names of featx's types in the signature of a public name."""
    found = set()
    for text, owner in annotations_of(value):
        namespace = vars(sys.modules[owner.__module__])
        for node in ast.walk(ast.parse(text, mode="eval")):
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
                thing = namespace.get(node.id)
                module = getattr(thing, "__module__", "")
                is_alias = typing.get_origin(thing) is not None and module in ("typing", "types")
                if module.startswith("featx") or is_alias:
                    found.add(node.id)
    return found


@pytest.mark.parametrize("name", featx.__all__)
def test_types_in_public_signatures_are_public(name: str) -> None:
    assert named_types(getattr(featx, name)) <= set(featx.__all__)


def test_the_table_of_names_is_what_type_checkers_read() -> None:
    tree = ast.parse(Path(featx.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("featx.")
        for alias in node.names
    }
    table = {name: module for module, names in featx.PUBLIC_NAMES.items() for name in names}
    assert imported == table | {"__version__": "featx.version"}


def test_names_are_imported_from_where_the_table_says() -> None:
    for module, names in featx.PUBLIC_NAMES.items():
        for name in names:
            assert getattr(featx, name) is getattr(importlib.import_module(module), name)
    assert dir(featx) == sorted([*featx.__all__, "errors"])


@pytest.mark.parametrize(
    ("group", "keywords"),
    [
        (featx.InputOptions, InputKeywords),
        (featx.Selection, SelectionKeywords),
        (featx.RunOptions, RunKeywords),
        (featx.UpdateOptions, UpdateKeywords),
        (featx.FeatureOptions, featx.FeatureKeywords),
        (featx.TaskOptions, featx.TaskKeywords),
        (featx.EvaluationOptions, featx.EvaluationKeywords),
        (featx.HeadOptions, featx.HeadKeywords),
        (featx.DecisionOptions, featx.DecisionKeywords),
    ],
)
def test_keywords_are_the_fields_of_groups(group: Any, keywords: Any) -> None:
    fields = {field.name: field.type for field in dataclasses.fields(group)}
    assert {name: hint.__forward_arg__ for name, hint in keywords.__annotations__.items()} == fields
    for name in fields:
        assert f"        {name}: " in group.__doc__, name


def test_functions_take_the_keywords_of_their_groups() -> None:
    inputs, selections, runs, updates = (
        set(keywords.__annotations__)
        for keywords in (InputKeywords, SelectionKeywords, RunKeywords, UpdateKeywords)
    )
    decisions = set(featx.DecisionKeywords.__annotations__)
    predict, extract = set(PredictKeywords.__annotations__), set(ExtractKeywords.__annotations__)
    code = {"custom_objects"}
    assert predict == inputs | selections | runs | decisions | code | {"layers"}
    assert extract == inputs | selections | runs | updates | code | {"layer"}
    groups = (featx.FeatureOptions, featx.TaskOptions, featx.EvaluationOptions, featx.HeadOptions)
    fit = [field.name for group in groups for field in dataclasses.fields(group)]
    assert sorted(featx.FitKeywords.__annotations__) == sorted([*fit, "layers"])


@pytest.mark.parametrize("name", featx.__all__)
def test_a_public_signature_fits_on_a_screen(name: str) -> None:
    value = getattr(featx, name)
    if inspect.isfunction(value):
        assert len(inspect.signature(value).parameters) <= 16


TYPED_CALLS = Path(__file__).with_name("typed_calls.py").read_text(encoding="utf-8")


def test_mypy_reads_calls_with_mistakes() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"], "an ignored error that is none is one"
    assert "tests.typed_calls" in settings["modules"]
    assert ".venv/bin/mypy\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert TYPED_CALLS.count(IGNORED) > 15


def run_mypy(folder: Path) -> set[tuple[str, int]]:
    """Return the files and lines in which mypy sees an error."""
    options = ["--strict", "--no-error-summary", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", *options, "calls.py"]
    # An editable installation is found by Python alone: mypy has to be told where it is.
    environment = {**os.environ, "MYPYPATH": str(Path(featx.__file__).parents[1])}
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert not result.stderr
    errors = [line.split(":") for line in result.stdout.splitlines() if ": error: " in line]
    return {(file, int(line)) for file, line, *_ in errors}


def run_pyright(folder: Path) -> set[tuple[str, int]]:
    """Return the files and lines in which pyright sees an error."""
    pytest.importorskip("basedpyright", reason="basedpyright, which is pyright, is not installed")
    config = {"typeCheckingMode": "strict", "extraPaths": [str(Path(featx.__file__).parents[1])]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    options = ["--outputjson", "--pythonpath", sys.executable]
    command = [sys.executable, "-m", "basedpyright", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    found = json.loads(result.stdout)["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found}


@pytest.mark.slow
@pytest.mark.parametrize("check", [run_mypy, run_pyright])
def test_type_checkers_know_names_and_keywords(
    tmp_path: Path, check: Callable[[Path], set[tuple[str, int]]]
) -> None:
    (tmp_path / "calls.py").write_text(TYPED_CALLS.replace(IGNORED, ""), encoding="utf-8")
    lines = enumerate(TYPED_CALLS.splitlines(), 1)
    assert check(tmp_path) == {("calls.py", n) for n, line in lines if line.endswith(IGNORED)}


def test_help_names_the_groups() -> None:
    text = inspect.getdoc(featx.extract)
    assert text is not None
    for group in ("input", "selection", "run", "update"):
        assert f"    {group}: " in text
    assert textwrap.dedent(text).startswith("Compute features of images once")
