"""Tables as lines of text: widths, and where long cells break. Nothing is cut without a mark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.cells import cell_len, set_cell_size

from featx.report.text import printable

Kind = Literal["number", "name", "cut", "whole"]

GAPS = (3, 2, 1)
"""Spaces between columns, where that is too wide, and where nothing else helps."""

LEAST_NAME, LEAST_CUT = 13, 9
"""A column of names or of cells that may be cut is not made narrower, in characters."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its header, which may break at spaces.
        kind: ``number``: to the right, never broken. ``name``: breaks behind ``/ _ - .`` and
            spaces. ``cut``: ends in an ellipsis. ``whole``: the last one, as long as it is, so
            that a path can be copied.
    """

    name: str
    kind: Kind = "name"


@dataclass(slots=True)
class Table:
    """Rows of text under headers.

    Attributes:
        columns: The columns.
        rows: The cells of each row, their lines joined by newlines; None for an empty line between
            sections.
    """

    columns: Sequence[Column]
    rows: list[list[str] | None] = field(default_factory=list)
    _is_section: bool = False

    def add_row(self, *cells: str | Sequence[str]) -> None:
        """Add a row; a cell is a text or several lines. Control characters are escaped."""
        if self._is_section:
            self.rows.append(None)
            self._is_section = False
        lines = [[cell] if isinstance(cell, str) else cell for cell in cells]
        self.rows.append(["\n".join(map(printable, cell)) for cell in lines])

    def add_section(self) -> None:
        """Let the next row begin a section, behind an empty line if there are rows before it."""
        self._is_section = bool(self.rows)

    def width(self, gap: int = GAPS[0]) -> int:
        """Return how wide it is when nothing is broken."""
        return sum(_natural_widths(self)) + gap * (len(self.columns) - 1)

    def lines(self, width: int | None = None) -> list[str]:
        """Return its lines: headers, a rule, rows.

        Args:
            width: The widest that a line should be; None for any.
        """
        widths, gap = _fit(self, width)
        headers = [
            _wrap_words(column.name, size)
            for column, size in zip(self.columns, widths, strict=True)
        ]
        lines = self._lines(headers, widths, gap)
        lines.append("─" * (sum(widths) + gap * (len(widths) - 1)))
        for row in self.rows:
            if row is None:
                lines.append("")
                continue
            cells = [
                _fold_cell(cell, column, size)
                for cell, column, size in zip(row, self.columns, widths, strict=True)
            ]
            lines += self._lines(cells, widths, gap)
        return lines

    def _lines(self, cells: Sequence[list[str]], widths: Sequence[int], gap: int) -> list[str]:
        lines = []
        for number in range(max(map(len, cells))):
            parts = []
            for cell, column, size in zip(cells, self.columns, widths, strict=True):
                text = cell[number] if number < len(cell) else ""
                spaces = " " * (size - cell_len(text))
                parts.append(spaces + text if column.kind == "number" else text + spaces)
            lines.append((" " * gap).join(parts).rstrip())
        return lines


def _natural_widths(table: Table) -> list[int]:
    widths = [cell_len(column.name) for column in table.columns]
    for row in table.rows:
        for number, cell in enumerate(row or ()):
            widths[number] = max(widths[number], *map(cell_len, cell.split("\n")))
    return widths


def _fit(table: Table, width: int | None) -> tuple[list[int], int]:
    """Return the widths of the columns and the gap between them."""
    widths, gap = _natural_widths(table), GAPS[0]
    if table.columns[-1].kind == "whole" and width is not None:  # It may stick out; no rule should.
        least = cell_len(table.columns[-1].name)
        widths[-1] = max(least, min(widths[-1], width - _total(widths[:-1], gap) - gap))
    if width is None or _total(widths, gap) <= width:
        return widths, gap
    gap = GAPS[1]
    for number, column in enumerate(table.columns):
        # Headers break at spaces before anything else does.
        words = max(map(cell_len, column.name.split(" ")))
        cells = [cell_len(line) for row in table.rows if row for line in row[number].split("\n")]
        if column.kind != "whole" and _total(widths, gap) > width:
            widths[number] = max([words, *cells])
    for kind, least in (("cut", LEAST_CUT), ("name", LEAST_NAME)):
        while (excess := _total(widths, gap) - width) > 0:
            numbers = [n for n, one in enumerate(table.columns) if one.kind == kind]
            widest = max(numbers, key=lambda n: widths[n], default=None)
            if widest is None or widths[widest] <= least:
                break
            others = sorted(
                (widths[n] for n in numbers if widths[n] < widths[widest]), reverse=True
            )
            step = widths[widest] - max([least, *others[:1]])
            widths[widest] -= max(1, min(excess, step))
    return widths, gap if _total(widths, gap) <= width else GAPS[2]


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _fold_cell(cell: str, column: Column, width: int) -> list[str]:
    """Return the lines of a cell."""
    lines = cell.split("\n")
    if column.kind in ("whole", "number"):
        return lines
    if column.kind == "cut":
        return [
            line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"
            for line in lines
        ]
    return [part for line in lines for part in wrap_name(line, width)]


def wrap_name(name: str, width: int) -> list[str]:
    """Break a name behind slashes, underscores and the like; what follows is indented.

    Example:
        >>> wrap_name("block_10/depthwise_relu/Relu6", 18)
        ['block_10/', '  depthwise_relu/', '  Relu6']
        >>> wrap_name("abcdefgh", 5)
        ['abcde', '  fgh']
    """
    indent = " " * (len(name) - len(name.lstrip(" ")) + 2)
    indent = indent if len(indent) <= width // 2 else ""
    lines = [""]
    for piece in re.findall(r"[^/_\-. ]*[/_\-. ]+|[^/_\-. ]+", name):
        if cell_len(lines[-1] + piece.rstrip(" ")) <= width:
            lines[-1] += piece
            continue
        if lines[-1].strip():
            lines.append(indent)
        for char in piece:
            if cell_len(lines[-1] + char) > width and char != " ":
                lines.append(indent)
            lines[-1] += char
    return [line.rstrip() for line in _prefer_slashes(name, lines, width, indent)]


def _prefer_slashes(name: str, lines: list[str], width: int, indent: str) -> list[str]:
    """Return the lines with breaks behind slashes only, if that takes no more of them."""
    pieces = re.findall(r"[^/]*/|[^/]+", name)
    if len(lines) == 1 or any(cell_len(indent + piece) > width for piece in pieces):
        return lines
    other = [""]
    for piece in pieces:
        if cell_len(other[-1] + piece) > width:
            other.append(indent)
        other[-1] += piece
    return other if len(other) <= len(lines) else lines


def _wrap_words(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
