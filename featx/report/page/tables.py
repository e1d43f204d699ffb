"""Tables of a page: rows of values, bars, a confusion matrix, and the figures above them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from featx.report.page.markup import Content, Markup, element, isolate

SHADES = 4
"""Steps of colour of a matrix; style.css has a rule for each."""


MATRIX_NAME = 20
"""Characters of a class' name beside a matrix; of longer ones, both ends are shown."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a page begins with: its name, its value, and what else is to be known."""

    label: str
    value: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of one row.

    Attributes:
        name: What it is the value of.
        value: Its length, in [0, 1].
        interval: Both ends of what the value may be, in [0, 1]; None where that is not known.
        cells: Texts behind it, one for each further column.
        is_chosen: Whether the row stands out.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    cells: tuple[str, ...] = ()
    is_chosen: bool = False


def make_figures(figures: Iterable[Figure]) -> Markup:
    """Return some numbers, each large, with its name above it.

    Example:
        >>> "<dt>accuracy</dt>" in make_figures([Figure("accuracy", "0.95")])
        True
    """
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", figure.label),
                element(
                    "dd",
                    element("span", figure.value, class_="value"),
                    element("span", figure.more, class_="more") if figure.more else (),
                ),
            )
            for figure in figures
        ],
        class_="figures",
    )


def make_table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[Content]]) -> Markup:
    """Return a table. The first column names the rows; the others hold numbers or short texts.

    Names that come from outside (see `isolate`) may be long: their columns break them.

    Example:
        >>> table = make_table("Flowers", ["class", "images"], [["rose", "3"]])
        >>> '<th scope="row">rose</th>' in table
        True
    """
    rows = [tuple(row) for row in rows]
    named = {place for row in rows for place, cell in enumerate(row) if isinstance(cell, Markup)}
    kinds = ["name" if place in named else "number" for place in range(1, len(headers))]
    head = [
        element("th", text, scope="col", class_=kind)
        for text, kind in zip(headers, [None, *kinds], strict=True)
    ]
    body = [
        element(
            "tr",
            element("th", first, scope="row"),
            [element("td", cell, class_=kind) for cell, kind in zip(cells, kinds, strict=True)],
        )
        for first, *cells in rows
    ]
    return _assemble(caption, head, body, kind="list")


def make_bars(caption: str, headers: Sequence[str], bars: Iterable[Bar]) -> Markup:
    """Return a table with a bar in each row.

    Args:
        caption: What the table shows.
        headers: Names of the columns: of the names, of the values, and of each further one. The
            column of the bars, which stands between the first two, has none.
        bars: Its rows.
    """
    first, *others = headers
    head = [
        element("th", first, scope="col"),
        element("td"),
        [element("th", text, scope="col", class_="number") for text in others],
    ]
    return _assemble(caption, head, [_make_row(bar) for bar in bars], kind="list")


def _make_row(bar: Bar) -> Markup:
    return element(
        "tr",
        element("th", isolate(bar.name), scope="row"),
        element("td", _draw_bar(bar), class_="bar"),
        [element("td", cell, class_="number") for cell in (f"{bar.value:.3f}", *bar.cells)],
        class_="chosen" if bar.is_chosen else None,
    )


def _draw_bar(bar: Bar) -> Markup:
    """Return a bar, stretched to the width of its column; the number beside it says the same."""
    shapes = [
        element("rect", x=0, y=6, width=100, height=12, class_="track"),
        element(
            "rect", x=0, y=6, width=100 * min(max(bar.value, 0.0), 1.0), height=12, class_="fill"
        ),
    ]
    if bar.interval is not None:
        low, high = (100 * min(max(end, 0.0), 1.0) for end in bar.interval)
        shapes.append(element("line", x1=low, x2=high, y1=12, y2=12, class_="whisker"))
    return element(
        "svg", shapes, viewBox="0 0 100 24", preserveAspectRatio="none", aria_hidden="true"
    )


def make_matrix(caption: str, names: Sequence[str], counts: np.ndarray) -> Markup:
    """Return a confusion matrix: a row for each true class, a column for each predicted one.

    It is a table, so that a screen reader names both classes of a cell. The colour of a cell is
    its share of its row.

    Args:
        caption: What it shows.
        names: C class names.
        counts: Numbers of images, (C, C).
    """
    head = [element("th", "true ↓ predicted →", scope="col")]
    head += [_name_class(one, scope="col", class_="class") for one in names]
    body = []
    for row, own in enumerate(names):
        total = int(counts[row].sum())
        cells = [
            _make_cell(int(count), total, names, (row, column))
            for column, count in enumerate(counts[row])
        ]
        body.append(element("tr", _name_class(own, scope="row"), cells))
    return _assemble(caption, head, body, kind="matrix")


def _name_class(name: str, **attributes: str) -> Markup:
    """Return the head of a row or column of a matrix; long names often differ at their ends."""
    half = MATRIX_NAME // 2
    short = name if len(name) <= MATRIX_NAME else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"
    return element("th", isolate(short), title=name, aria_label=name, **attributes)


def _make_cell(count: int, total: int, names: Sequence[str], place: tuple[int, int]) -> Markup:
    if not count:
        return element("td")
    row, column = place
    step = max(1, round(SHADES * count / total))
    return element(
        "td",
        f"{count:,}",
        class_=f"{'s' if row == column else 'f'}{step}",
        title=f"{names[row]} → {names[column]}: {count:,} of {total:,}",
    )


def _assemble(caption: str, head: Content, body: Content, *, kind: str) -> Markup:
    """Return a table, which scrolls where it is wider than the page, also by keyboard."""
    table = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
        class_=kind,
    )
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)
