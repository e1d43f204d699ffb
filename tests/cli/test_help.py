"""What --help says is about the command that was asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from featx.cli.commands import COMMANDS, make_command
from tests.cli.program import Program

FOREIGN = {"-print0"}
"""Options of other programs."""


@pytest.mark.parametrize("name", COMMANDS.names)
def test_help_names_no_options_of_other_commands(name: str) -> None:
    command = make_command(name)
    own = {"-h", "--help", *(option for one in command.params for option in one.opts)}
    texts = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
    named = {option for text in texts for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", text)}
    assert named - own - FOREIGN == set()


def test_the_line_about_the_default_comes_once(featx: Program, photos: Path) -> None:
    assert "no -m: builtin:mini" in featx("extract", "dark", "-o", "f.h5").err
    assert "no -m:" not in featx("extract", "dark", "-o", "f.h5").err
