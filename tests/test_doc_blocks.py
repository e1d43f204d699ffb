"""The code in the documents runs as it stands, and prints what they show."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.linear_model
import sklearn.pipeline

import featx
from tests.cli.program import Program
from tests.doc_pages import PAGES, ROOT, Block, find_blocks, page_name, read_page
from tests.doc_world import write_digits, write_models, write_world

NOT_RUN = {
    "README.md": 3,
    "docs/how-to/buckets.md": 4,
    "docs/how-to/classify.md": 1,
    "docs/how-to/curate.md": 3,
    "docs/how-to/datasets.md": 2,
    "docs/how-to/export.md": 3,
    "docs/how-to/export-heads.md": 5,
    "docs/how-to/fine-tune.md": 5,
    "docs/how-to/hub.md": 1,
    "docs/how-to/images.md": 2,
    "docs/how-to/machines.md": 3,
    "docs/how-to/measure.md": 2,
    "docs/how-to/models.md": 1,
    "docs/how-to/onnx.md": 2,
    "docs/reference/head-and-index.md": 1,
    "docs/how-to/search.md": 1,
    "docs/how-to/serve.md": 2,
    "docs/how-to/speed.md": 1,
    "docs/index.md": 1,
    "docs/tutorial.md": 1,
}
"""Page → how many of its blocks are not run; each says why in a comment in front of it."""

LANGUAGES = {"sh", "python", "text", "toml", "yaml", "json"}
_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_RUN = ("sh", "python")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    write_world(folder)
    write_models(folder)
    return folder


@pytest.fixture
def reader(
    request: pytest.FixtureRequest,
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Reader:
    """Somebody who follows a page, in a folder with the files that it speaks of."""
    folder = shutil.copytree(template, tmp_path / "reader")
    monkeypatch.chdir(folder)
    if "tutorial" in request.node.name:
        write_digits(folder / "featx-demo")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "featx"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m featx "$@"\n', encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Reader(monkeypatch, capfd)


class Reader:
    """Runs blocks of code one after the other, as their page shows them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._program = Program(monkeypatch, capfd)
        self._capfd = capfd
        self._names: dict[str, object] = {"__name__": "page"}

    def run(self, block: Block) -> tuple[str, ...]:
        """Run a block; return what it printed on stdout and stderr."""
        if block.language == "python":
            exec(compile(block.text, "page", "exec"), self._names)
            return tuple(self._capfd.readouterr())
        text = block.text.replace("\\\n", " ")
        if re.search(r"\$[A-Z({]|\n[A-Z]+=", f"\n{text}"):  # lines that share variables
            return self._run_shell(text)
        lines = [line for line in text.splitlines() if shlex.split(line, comments=True)]
        printed = [self._run_line(line) for line in lines]
        return tuple("".join(texts) for texts in zip(*printed, strict=True))

    def _run_line(self, line: str) -> tuple[str, str]:
        command = shlex.split(line, comments=True)
        if command[0] != "featx" or {"|", "||", "&&", ">", "<"} & set(command):
            return self._run_shell(line)  # pipes and conditions are a shell's business
        outcome = self._program(*command[1:])
        assert outcome.status == 0, f"{line}: {outcome.err}"
        return outcome.out, outcome.err

    def _run_shell(self, text: str) -> tuple[str, str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr


@pytest.mark.tensorflow
@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_code_of_a_page_runs_as_it_stands(page: Path, reader: Reader) -> None:
    printed: tuple[str, ...] | None = None
    for block in find_blocks(page):
        where = f"{page_name(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: name the language of each block"
        if block.language == "text":
            if printed is not None and block.title is None:
                _compare(block.text, printed, where)
            continue
        printed = None
        if block.language in _RUN and block.reason is None and "--8<--" not in block.text:
            printed = reader.run(block)


@pytest.mark.tensorflow
@pytest.mark.usefixtures("reader")
def test_every_line_of_the_comparison_runs() -> None:
    page = read_page("how-to/coming-from.md")
    table = page.split("<!-- comparison -->", 1)[1].split("<!-- end of comparison -->", 1)[0]
    names: dict[str, object] = {
        "featx": featx,
        "make_pipeline": sklearn.pipeline.make_pipeline,
        "LogisticRegression": sklearn.linear_model.LogisticRegression,
    }
    rows = [row.strip("|").split(" | ") for row in table.splitlines() if row.startswith("| `")]
    assert len(rows) >= 20
    for _, own in rows:
        lines = re.findall("`(.+?)`", own)
        assert lines
        for line in lines:
            exec(compile(line, "docs/how-to/coming-from.md", "exec"), names)


def test_blocks_that_are_not_run_are_counted_and_say_why() -> None:
    found = {}
    for page in PAGES:
        reasons = [block.reason for block in find_blocks(page) if block.reason is not None]
        assert all(len(reason.split()) >= 2 for reason in reasons)
        if reasons:
            found[page_name(page)] = len(reasons)
    assert found == NOT_RUN


def _compare(shown: str, printed: tuple[str, ...], where: str) -> None:
    checker = doctest.OutputChecker()
    if not any(checker.check_output(shown, text, _OPTIONS) for text in printed):
        example = doctest.Example("", shown)
        raise AssertionError(f"{where}\n{checker.output_difference(example, printed[0], _OPTIONS)}")
