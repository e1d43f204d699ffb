"""Tables and lines on stdout, drawn by rich: what all results share."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from featx.report.text import printable

WIDE = 1000
"""Width assumed if stdout is not a terminal: nothing is cut off in a pipe."""


def is_terminal() -> bool:
    """Whether the results go to a terminal, not to a program."""
    return sys.stdout.isatty()


def make_table(*headers: str, right: Sequence[int]) -> Table:
    """Return a table with these columns; those at the positions in `right` are numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(headers):
        table.add_column(
            name,
            justify="right" if number in right else "left",
            # Names must stay whole, to be copied: only a column named type may be cut off.
            overflow="ellipsis" if name == "type" else "fold",
            no_wrap=name not in ("image", "query", "layer", "type"),
            max_width=None if name != "type" else 24,
        )
    return table


def print_result(content: Table | str) -> None:
    """Write a table or a line to stdout."""
    shown = as_text(content) if isinstance(content, str) else content
    if is_terminal():
        Console(highlight=False).print(shown, soft_wrap=isinstance(content, str))
        return
    console = Console(file=io.StringIO(), highlight=False, width=WIDE)
    with console.capture() as captured:
        console.print(shown, soft_wrap=isinstance(content, str))
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def as_text(value: str) -> Text:
    """Return text without markup: a file may be named ``[red]``."""
    return Text(printable(value))
