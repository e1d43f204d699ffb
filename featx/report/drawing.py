"""Tables and lines on stdout: what all results share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from featx.report.text import printable, wrap_line

if TYPE_CHECKING:
    from featx.report.columns import Table

FACT_WIDTH = 13
"""Columns for the names of facts: beside them, a hash of 64 digits fits into 80."""

PIPED_WIDTH = 80
"""Of tables with names, labels and sentences beside each other, where there is no terminal: others
are as wide as what is in them."""


def is_terminal() -> bool:
    """Whether the results go to a terminal, not to a program."""
    return sys.stdout.isatty()


def terminal_width() -> int | None:
    """Return the width of the terminal; None where there is none, and lines may have any."""
    if not is_terminal():
        return None
    from rich.console import Console  # Imported for terminals: a pipe does not need it.

    return Console(highlight=False).width


def make_table(*headers: str, right: Sequence[int], whole: bool = False) -> Table:
    """Return a table with these columns.

    Args:
        headers: Their names. Only a column named type may be cut off.
        right: Positions of the columns that hold numbers.
        whole: Whether the last column is never broken, even if it is wider than the terminal.
    """
    from featx.report.columns import Column, Table  # With rich: a line needs neither.

    columns = [
        Column(name, "number" if number in right else "cut" if name == "type" else "name")
        for number, name in enumerate(headers)
    ]
    if whole:
        columns[-1] = Column(headers[-1], "whole")
    return Table(columns)


def print_result(content: Table | str, *, indent: int = 2, piped: int | None = None) -> None:
    """Write a table or a line to stdout.

    Args:
        content: On a terminal, a line that is too long is broken between words.
        indent: Spaces in front of the second and all further lines of it.
        piped: How wide it may be where there is no terminal; None for any width.
    """
    width = terminal_width() or piped
    if isinstance(content, str):
        _print(wrap_line(printable(content), width, indent))
    else:
        lines = content.lines(width)
        rule = next(number for number, line in enumerate(lines) if line.startswith("─"))
        _print(lines, num_bold=rule)


def write_name(name: str, end: str) -> None:
    """Write a key or a path for other programs, with `end` behind it.

    On a terminal, its control characters are escaped.
    """
    sys.stdout.write((printable(name) if is_terminal() else name) + end)


def print_facts(*facts: tuple[str, ...]) -> None:
    """Write names and what is to be said of each, below one another."""
    width = terminal_width()
    for name, *lines in facts:
        for number, line in enumerate(lines):
            shown = wrap_line(line, None if width is None else width - FACT_WIDTH, 0)
            for part, text in enumerate(shown):
                label = name if number == part == 0 else ""
                print_result(f"{label:<{FACT_WIDTH}}{text}")


def _print(lines: Sequence[str], num_bold: int = 0) -> None:
    if not is_terminal():
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for number, line in enumerate(lines):
        console.print(Text(line, style="bold" if number < num_bold else ""), soft_wrap=True)
