"""`View`: what an object shows of itself, as a line, as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featx.errors import ImageError
from featx.images.sources.keys import check_inside
from featx.report.columns import Column, Table
from featx.report.page.markup import Content, Markup, element, isolate
from featx.report.page.thumbnails import Thumbnails
from featx.report.text import printable
from featx.specs import FeatureSpec
from featx.units import format_shape

LONGEST_LINE = 240
"""Characters of a ``repr``; the rest is cut."""

LONGEST_FACT = 200
"""Characters of one fact."""

LONGEST_REST = 600
"""Characters of what is said below a table."""

TEXT_WIDTH = 100
"""Columns of a text."""

MOST_ROWS = 20
"""Rows of a table."""

MOST_PICTURES = 18
"""Thumbnails of a view: 4 to 10 kB each, in the notebook's file."""

_BOX = "max-width: 66em; overflow-x: auto; font-size: .9em; line-height: 1.45"
_CELL = "padding: .1em 1em .1em 0; vertical-align: top; text-align: "
_TABLE = "border-collapse: collapse; margin: .4em 0"
_RULE = "border-bottom: 1px solid rgba(128, 128, 128, .35); "
_SOFT = "opacity: .7; "
_STATES = {True: "#2e9e5b", False: "#d9534f", None: "transparent"}
"""Borders of pictures: right, wrong, unknown; they are seen on white and on black."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table, of which a part is shown.

    Attributes:
        headers: Names of the columns.
        cells: A text for each column, of each row that is shown.
        total: How many rows there are.
        numbers: Positions of the columns that hold numbers.
        rest: What the others are, behind their number.
    """

    headers: tuple[str, ...]
    cells: Sequence[Sequence[str]]
    total: int
    numbers: tuple[int, ...] = ()
    rest: str = "more"

    @property
    def more(self) -> str:
        """What is said of the rows that are not shown; empty if there are none."""
        count = self.total - len(self.cells)
        return f"and {count:,} {self.rest}" if count else ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with two lines below it.

    Attributes:
        location: Where it is.
        name: What it is called.
        title: The first line.
        detail: The second one.
        is_right: Green if True, red if False, neither if None.
        key: The key, if only a file says where it is: one that leads out of its root is refused.
    """

    location: str
    name: str
    title: str
    detail: str = ""
    is_right: bool | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What an object shows of itself.

    Attributes:
        kind: Its class.
        name: Its file or name; may be empty.
        facts: Pairs of a word and what it is, the most important ones first.
        rows: A table.
        pictures: Rows of pictures, each with a heading, which may be empty.
        more: What is left out.
    """

    kind: str
    name: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    rows: Rows | None = None
    pictures: tuple[tuple[str, tuple[Picture, ...]], ...] = ()
    more: str = ""

    def line(self) -> str:
        """Return one line, for ``repr``."""
        name = f" {self.name!r}" if self.name else ""
        facts = ", ".join(f"{word} {text}" for word, text in self.facts)
        line = _cut(printable(f"{self.kind}{name}{': ' if facts else ''}{facts}"), LONGEST_LINE)
        return f"<{line}>"

    def text(self) -> str:
        """Return some lines, for ``print``."""
        facts = [(_cut(word, LONGEST_FACT), _cut(text, LONGEST_FACT)) for word, text in self.facts]
        width = max((len(word) for word, _ in facts), default=0)
        lines = [f"{self.kind} {self.name}".rstrip()]
        lines += [f"  {word:<{width}}  {text}" for word, text in facts]
        if self.rows is not None and self.rows.cells:
            columns = [
                Column(header, "number" if number in self.rows.numbers else "name")
                for number, header in enumerate(self.rows.headers)
            ]
            table = Table(columns)
            for row in self.rows.cells:
                table.add_row(*(_cut(cell, LONGEST_FACT) for cell in row))
            lines += ["", *table.lines(TEXT_WIDTH)]
            lines += [self.rows.more] if self.rows.more else []
        lines += [_cut(self.more, LONGEST_REST)] if self.more else []
        return "\n".join(map(printable, lines))

    def html(self) -> str:
        """Return HTML without scripts and addresses, in the colours of the page around it."""
        facts = [
            element(
                "tr",
                element("td", isolate(_cut(word, LONGEST_FACT)), style=_CELL + "left; " + _SOFT),
                element("td", isolate(_cut(text, LONGEST_FACT)), style=_CELL + "left"),
            )
            for word, text in self.facts
        ]
        with Thumbnails() as thumbnails:
            strips = [_make_strip(title, shown, thumbnails) for title, shown in self.pictures]
        return element(
            "div",
            element("div", element("b", self.kind), " ", isolate(self.name)),
            element("table", element("tbody", facts), style=_TABLE) if facts else (),
            strips,
            () if self.rows is None or not self.rows.cells else _make_table(self.rows),
            element("div", isolate(_cut(self.more, LONGEST_REST)), style=_SOFT)
            if self.more
            else (),
            style=_BOX,
        )


def list_facts(*facts: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the facts of which there is something to say."""
    return tuple(fact for fact in facts if fact[1])


def list_names(names: Sequence[str], most: int = 4) -> str:
    """Return the first names, and how many more there are.

    Example:
        >>> list_names(["cat", "dog", "fox"], 2)
        'cat, dog and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def describe_feature(spec: FeatureSpec) -> str:
    """Return a layer's name and shape."""
    return f"{spec.name} ({format_shape(spec.shape)})"


def _make_table(rows: Rows) -> Content:
    numbers = "right; white-space: nowrap"  # "10.2 kB" is one word.
    sides = [numbers if n in rows.numbers else "left" for n in range(len(rows.headers))]
    head = [
        element("th", header, style=_RULE + _CELL + side)
        for header, side in zip(rows.headers, sides, strict=True)
    ]
    body = [
        element(
            "tr",
            [
                element("td", isolate(_cut(cell, LONGEST_FACT)), style=_CELL + side)
                for cell, side in zip(row, sides, strict=True)
            ],
        )
        for row in rows.cells
    ]
    table = element(
        "table", element("thead", element("tr", head)), element("tbody", body), style=_TABLE
    )
    return [table, element("div", rows.more, style=_SOFT) if rows.more else ()]


def _make_strip(title: str, pictures: Iterable[Picture], thumbnails: Thumbnails) -> Content:
    figures = [_make_figure(one, thumbnails) for one in pictures]
    if len(figures) > 1 and not any("<img" in figure for figure in figures):
        return ()  # None of them is in a file, for example.
    heading = element("div", isolate(title), style="margin-top: .6em") if title else ()
    return [heading, element("div", figures, style="display: flex; flex-wrap: wrap; gap: .6em")]


def _make_figure(shown: Picture, thumbnails: Thumbnails) -> Markup:
    side = "width: 112px; height: 112px; object-fit: contain; display: block"
    try:
        check_inside(shown.key)
        if shown.key == shown.location:
            raise ImageError("passed in Python: in no file")
        picture = element("img", src=thumbnails.get(shown.location), alt=shown.name, style=side)
    except ImageError as error:
        picture = element("div", error.reason, style=f"{side}; {_SOFT}")
    text = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap"
    return element(
        "figure",
        element("div", picture, style=f"border: 3px solid {_STATES[shown.is_right]}"),
        element("div", isolate(shown.title), style=text, title=shown.name),
        element("div", shown.detail, style=f"{text}; {_SOFT}"),
        style="margin: 0; width: 118px",
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
