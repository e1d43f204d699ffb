"""Write docs/commands.md from the program's own --help texts (a test compares them).

python docs/make_commands.py
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

from featx.cli.app import app
from featx.cli.commands import COMMANDS

PREFACE = """# Commands

What each command prints with `--help`. Results go to stdout, everything else to stderr; `--json`
gives one object per line. Exit status: 0 done, 1 error, 2 usage, 3 finished but some images failed,
130 interrupted.

<!-- made by `python docs/make_commands.py` from the program itself -->
"""

PAGE = Path(__file__).with_name("commands.md")


def make_page() -> str:
    """Return the page: one section for each command."""
    sections = [
        PREFACE,
        _section("featx", []),
    ]
    own = [name for name in COMMANDS if COMMANDS.package_of(name) is None]
    sections += [_section(f"featx {name}", [name]) for name in own]
    return "\n".join(sections)


def _section(title: str, arguments: list[str]) -> str:
    printed = io.StringIO()
    environment = {"COLUMNS": "96", "NO_COLOR": "1"}
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(printed):
        app(args=[*arguments, "--help"], prog_name="featx", standalone_mode=False)
    text = "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
    return f"## {title}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
