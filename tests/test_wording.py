"""Messages name options as the caller spells them: in the shell, or in Python."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import is_typeddict

import pytest

import featx
from featx.cli.commands import COMMANDS, make_command
from featx.errors import InvalidValue
from featx.host import own_process
from featx.wording import FUNCTIONS, command, either, names_option, option

PACKAGE = Path(featx.__file__).parent

THE_SHELL = ("cli", "demo.py", "wording.py")
"""What only the command line runs, and what knows both spellings."""

OPTIONS_OF_THE_SHELL_ALONE = {"--json", "--sheet"}

OTHER_PROGRAMS = (
    "pip install -U",
    "--force-reinstall",
    "tensorboard --logdir",
    "exiftool -b -J",
    "zstd -d",
)

SPELLED = re.compile(r"(?<![\w-])(?:--[a-z][a-z-]*|-[a-zA-Z](?![\w-]))|\bfeatx [a-z-]+`|`featx ")


SPELLERS = ("command", "either", "option")

Nodes = tuple[ast.AST, ...]
"""The texts of a module, and the calls of `SPELLERS`."""


def is_looked_at(node: ast.AST) -> bool:
    """Of a million nodes, few are: all of them at once would be much to keep."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", None) in SPELLERS
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@functools.cache
def sources() -> tuple[tuple[Path, Nodes], ...]:
    return tuple(
        (path, tuple(filter(is_looked_at, ast.walk(ast.parse(path.read_text(encoding="utf-8"))))))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in THE_SHELL
    )


def calls(nodes: Nodes, function: str) -> Iterator[ast.Call]:
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == function:
            yield node


def messages(nodes: Nodes) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module, f-strings as wholes, without docstrings and both spellings."""
    left_out: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out |= {id(value) for value in node.values}
    for call in calls(nodes, "either"):
        left_out |= {id(keyword.value) for keyword in call.keywords}
    for node in nodes:
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [str(getattr(value, "value", "")) for value in node.values
                     if isinstance(value, ast.Constant)]  # fmt: skip
            yield node.lineno, " ".join(parts)


def keywords() -> set[str]:
    """Return every keyword that a function of the library takes."""
    found: set[str] = set()
    for each in [getattr(featx, name) for name in featx.__all__]:
        if inspect.isfunction(each):
            found |= set(inspect.signature(each).parameters)
        elif is_typeddict(each):
            found |= set(each.__annotations__)
    return found


def test_no_message_spells_an_option_itself() -> None:
    found = []
    for path, nodes in sources():
        for line, text in messages(nodes):
            for program in OTHER_PROGRAMS:
                text = text.replace(program, "")
            spelled = set(SPELLED.findall(text)) - OPTIONS_OF_THE_SHELL_ALONE
            if spelled:
                found.append(f"{path.name}:{line} {spelled}")
    assert not found, "use featx.wording.option or command: " + "; ".join(found)


def test_every_option_that_a_message_names_exists_in_python_and_in_the_shell() -> None:
    parameters = [one for name in COMMANDS for one in make_command(name).params]
    shell = {spelling for parameter in parameters for spelling in parameter.opts}
    python = keywords()
    named = 0
    for path, nodes in sources():
        for call in calls(nodes, "option"):
            if isinstance(call.args[0], ast.Constant):
                name = str(call.args[0].value)
                assert name in python, f"{path.name}:{call.lineno} {name}"
                with own_process():
                    assert option(name) in shell, f"{path.name}:{call.lineno} {name}"
                named += 1
    assert named > 100


def test_every_command_that_a_message_names_has_a_function() -> None:
    assert set(FUNCTIONS) <= set(COMMANDS)
    assert {each.partition("(")[0] for each in FUNCTIONS.values()} <= set(featx.__all__)
    for path, nodes in sources():
        for call in calls(nodes, "command"):
            if isinstance(call.args[0], ast.Constant):
                assert call.args[0].value in FUNCTIONS, f"{path.name}:{call.lineno}"


@pytest.mark.parametrize(
    ("shell", "python", "make"),
    [
        ("--pool", "pool=", lambda: option("pool")),
        ("-o", "output=", lambda: option("output")),
        ("--overwrite", "overwrite=True", lambda: option("overwrite", True)),
        ("--img-size 8x9", "img_size=(8, 9)", lambda: option("img_size", (8, 9))),
        ("--keep first or last", "keep='first' or 'last'", lambda: option("keep", "first", "last")),
        ("`featx index`", "`featx.build_index`", lambda: command("index")),
        (
            "`featx verify --repair`",
            "`featx.verify_store(..., repair=True)`",
            lambda: command("verify", repair=True),
        ),
        (
            "`featx index FEATURES -o A`",
            "`featx.build_index('FEATURES', output='A')`",
            lambda: command("index", "FEATURES", output="A"),
        ),
        ("this", "that", lambda: either(shell="this", python="that")),
    ],
)
def test_spellings(shell: str, python: str, make) -> None:  # type: ignore[no-untyped-def]
    assert make() == python
    with own_process():
        assert make() == shell
    assert make() == python


def test_an_option_is_recognised_in_either_spelling() -> None:
    with own_process():
        in_shell = option("max_pixels")
    assert names_option(f"({in_shell} changes it)", "max_pixels")
    assert names_option(f"({option('max_pixels')} changes it)", "max_pixels")
    assert not names_option("truncated JPEG", "max_pixels")


def test_an_error_names_the_keyword_in_python_and_the_option_in_the_shell() -> None:
    def fail() -> str:
        with pytest.raises(InvalidValue) as caught:
            featx.extract("photos", weights="imagenet")
        return str(caught.value)

    assert "weights='imagenet' belongs to a Keras application: name it with model=" in fail()
    with own_process():
        assert "--weights imagenet belongs to a Keras application: name it with -m" in fail()
