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


RIGHT = """
from pathlib import Path

import numpy as np

import featx

run = featx.RunOptions(batch_size=8, workers=2)
report: featx.ExtractReport = featx.extract(
    "photos", model="keras:MobileNetV2", run=run, prune=True, img_size=(64, 64)
)
featx.extract(np.zeros((2, 8, 8, 3), np.uint8), labels=["cat", "dog"], output="a.h5")
featx.extract([("a", np.zeros((8, 8, 3), np.uint8)), ("b", np.ones((8, 8), np.uint8))])
featx.extract({"a": b"bytes of a file"})
featx.extract((("a", Path("a.jpg"), "cat") for _ in range(1)))
featx.extract([Path("photos"), Path("more.zip")], listener=featx.Listener())
featx.predict("new", run=run, top=1, exclude=["*.gif"])
featx.search("query.jpg", run=run, engine="tensorflow")
featx.load_model("keras:MobileNetV2", preprocess="tf")
featx.extract("photos", Path("net.keras"), layer=-2, img_size=96, pool=None, dtype=np.float16)
featx.extract("photos", "keras:VGG19", layers="fc1", weights=Path("w.h5"), dtype=np.dtype("f2"))
featx.extract("photos", layers=[-1, "fc1"])
featx.embed("photos", "keras:VGG19", layers=["fc1", -2], pool="mean")
featx.predict("new", "net.keras", layer=-1)
featx.build_index("a.h5", layers="fc1")
featx.fit_head("a.h5", layers="fc1")
featx.export_store("a.h5", Path("a.npy"), layer=0, pool=None)
featx.search("query.jpg", layers=0)
featx.compare_scalings("photos", "net.keras", layers="fc1", img_size=96)
featx.load_model("net.keras", trust_model_code="net.py", custom_objects={"Run": featx.RunOptions})
featx.embed(["a.jpg", None], "net.keras", on_error="nan", trust_model_code=Path("net.py"))
featx.fine_tune("photos", head="head", epochs=3, custom_objects={"Run": featx.RunOptions})
found = featx.search("query.jpg", where=True, where_column="price < 20", scale="unit")
print([match.box for match in found.results[0].matches], found.to_pandas())
featx.find_duplicates("a.h5", across="b.h5", layers="fc1", verbose=2)
print(featx.audit("a.h5", kinds=["label"], layers=-1, verbose="auto").findings)
try:
    print(report.done, featx.open_store("a.h5").keys[0])
except featx.errors.StoreNotFound as error:
    raise SystemExit(1) from error
"""

WRONG = """
import featx

featx.extract("photos", bach_size=8)
featx.extract("photos", batch_size="8")
featx.extract("photos", resize="fit")
featx.extract(7)
featx.extract(3.5)
featx.extract(["photos", 3.5])
featx.extract({1: "a.jpg"})
featx.extrct("photos", modle="x")
featx.extract("photos", modle="x")
featx.extract("photos", output="a.h5").dome
featx.errors.StoreNotFond("a.h5")
featx.predict("photos", prune=True)
featx.search("photos", strict=True)
featx.RunOptions(precision="float64")
featx.search("photos", where="left")
featx.embed("photos", on_error="skip")
featx.audit("a.h5", layer=0.5)
"""


def run_mypy(folder: Path) -> set[tuple[str, int]]:
    """Return the files and lines in which mypy sees an error."""
    options = ["--strict", "--no-error-summary", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", *options, "right.py", "wrong.py"]
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


@pytest.mark.parametrize("check", [run_mypy, pytest.param(run_pyright, marks=pytest.mark.slow)])
def test_type_checkers_know_names_and_keywords(
    tmp_path: Path, check: Callable[[Path], set[tuple[str, int]]]
) -> None:
    (tmp_path / "right.py").write_text(RIGHT, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    lines = enumerate(WRONG.splitlines(), 1)
    assert check(tmp_path) == {("wrong.py", n) for n, line in lines if line.startswith("featx.")}


def test_help_names_the_groups() -> None:
    text = inspect.getdoc(featx.extract)
    assert text is not None
    for group in ("input", "selection", "run", "update"):
        assert f"    {group}: " in text
    assert textwrap.dedent(text).startswith("Compute features of images once")
