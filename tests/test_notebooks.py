"""The notebooks of examples/ run, and show what they say that they show."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doc_pages import ROOT
from tests.real_data import REAL_DATA, needs_real_data

FOLDER = ROOT / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

LARGEST = 400_000
"""Bytes of a saved notebook, with its thumbnails."""

MOST_LINES = 40
"""Lines of code of a notebook: fewer than the text that it stands for has."""

REAL = {
    "01_pretrained_models.ipynb": {"MODEL": "keras:MobileNet,alpha=0.25"},
    "03_intermediate_features.ipynb": {
        "MODEL": "keras:MobileNet,alpha=0.25,include_top=False",
        "LAYER": "conv_pw_13_relu",
    },
}
"""Notebook → parameters with which it is run on real photographs, too."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models that stand for others: made once, since all notebooks make them."""
    folder = tmp_path_factory.mktemp("models")
    stand_ins = runpy.run_path(str(FOLDER / "stand_ins.py"))
    stand_ins["write_network"](str(folder / "digits.keras"))
    stand_ins["write_module"](str(folder / "module"))
    return folder


@pytest.fixture
def desk(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of somebody who runs a notebook."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    shutil.copy(FOLDER / "stand_ins.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("stand_ins", None)


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code_of(path: Path) -> list[str]:
    """Return the code of a notebook, cell by cell."""
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def run_cells(cells: list[str]) -> list[object]:
    """Run cells as a kernel does; return what the last line of each shows."""
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for source in cells:
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None  # type: ignore[attr-defined]
        if hasattr(value, "_repr_html_"):
            value._repr_html_()
        shown.append(value)
    return shown


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("desk")
def test_a_notebook_runs_and_shows_what_it_was_saved_with(path: Path) -> None:
    saved = [
        next((o["data"] for o in cell["outputs"] if o["output_type"] == "execute_result"), None)
        for cell in read(path)["cells"]
        if cell["cell_type"] == "code"
    ]
    shown = run_cells(code_of(path))
    assert [value is not None for value in shown] == [data is not None for data in saved]
    for value, data in zip(shown, saved, strict=True):
        if data is not None and repr(value).startswith("<"):
            kind = re.match(r"<[\w.]+", repr(value))
            assert kind is not None
            assert "".join(data["text/plain"]).startswith(kind[0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_results_and_without_traces_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|opt|work|Users)/", text)
    assert len(text) <= LARGEST
    assert sum(len(source.splitlines()) for source in code_of(path)) <= MOST_LINES
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "code":
            kinds = {output["output_type"] for output in cell["outputs"]}
            assert "error" not in kinds
            assert not any(output.get("name") == "stderr" for output in cell["outputs"])
            assert cell["execution_count"] is not None


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kernel_shows_no_noise(path: Path, desk: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    run_notebook = runpy.run_path(str(FOLDER / "run.py"))["run_notebook"]
    for cell in run_notebook(path, desk).cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", output


@pytest.mark.slow
@pytest.mark.tensorflow
@needs_real_data
@pytest.mark.parametrize("name", REAL)
def test_a_notebook_runs_on_real_photographs(
    name: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = code_of(FOLDER / name)
    parameters = dict(REAL[name])
    photos = desk / "flowers"
    for folder in sorted((REAL_DATA / "images" / "flowers12" / "train").iterdir())[:3]:
        (photos / folder.name).mkdir(parents=True)
        for picture in sorted(folder.iterdir())[:10]:
            shutil.copy(picture, photos / folder.name)
    parameters |= {"FOLDER": "flowers", "PICTURE": str(next(photos.rglob("*.jpg")))}
    weights = REAL_DATA / "weights" / "mobilenet_2_5_224_tf_no_top.h5"
    cells[0] += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
    source = "\n".join(cells).replace("model=MODEL", f"model=MODEL, weights={str(weights)!r}")
    source = source.replace("load_model(MODEL)", f"load_model(MODEL, weights={str(weights)!r})")
    source = source.replace('"embedding"', '"conv_pw_12_relu"').replace("*pool", "*pw_1?_relu")
    run_cells([source])
