"""Charts of a page, in SVG: a line with a band, curves, a reliability diagram, and points.

They are drawn 360 units wide, about as many pixels as a telephone has, so that their text stays
legible there. Bars and matrices, which hold names, are tables: see `featx.report.page.tables`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from featx.report.page.markup import Markup, element

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 42
"""Space around the area of the values, for their names and numbers."""

LEGEND_WIDTH, LEGEND_LINE = 104, 16
"""Of the names of curves."""

STEPS = 24
"""Points of a line that are looked at to find room for names."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line.

    Attributes:
        x: Greater than 0.
        y: Its value.
        low: Lower end of what the value may be.
        high: Upper end.
    """

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of similar confidence.

    Attributes:
        confidence: Their mean confidence, in [0, 1].
        accuracy: The share of them that is right, in [0, 1].
        count: How many there are.
    """

    confidence: float
    accuracy: float
    count: int


def draw_line(
    description: str, names: tuple[str, str], points: Sequence[Point], *, is_share: bool
) -> Markup:
    """Return a line over a logarithmic axis, with a band from `low` to `high`.

    Args:
        description: What it shows, in a sentence, for people who do not see it.
        names: Of the axes: below, and at the left.
        points: At least one, from left to right.
        is_share: Whether values are in [0, 1]; otherwise they are numbers of any size.
    """
    ends = [p.low for p in points] + [p.high for p in points]
    bottom, top, step = (_choose_range if is_share else _choose_span)(ends)
    first, last = math.log(points[0].x), math.log(points[-1].x)
    x_at = _scale(first, last if last > first else first + 1, LEFT, WIDTH - RIGHT)
    y_at = _scale(bottom, top, HEIGHT - BOTTOM, TOP)
    places = [(x_at(math.log(p.x)), p) for p in points]
    upper = [f"{x:.1f},{y_at(p.high):.1f}" for x, p in places]
    lower = [f"{x:.1f},{y_at(p.low):.1f}" for x, p in reversed(places)]
    middle = " ".join(f"{x:.1f},{y_at(p.y):.1f}" for x, p in places)
    shapes = [
        *_draw_levels(bottom, top, step, y_at),
        *_number_below([(x, f"{p.x:,.0f}") for x, p in places]),
        element("polygon", points=" ".join(upper + lower), class_="band"),
        element("polyline", points=middle, class_="line"),
        *(element("circle", cx=x, cy=y_at(p.y), r=4, class_="dot") for x, p in places),
        *_name_axes(*names),
    ]
    return _frame(description, shapes)


def draw_curves(
    description: str,
    names: tuple[str, str],
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    is_share: bool = False,
) -> Markup:
    """Return a line for each of at most two curves, with their names; the second one is dashed.

    Args:
        description: What it shows, in a sentence, for people who do not see it.
        names: Of the axes: below, and at the left.
        curves: Name → points from left to right, at least one.
        is_share: Whether values are in [0, 1], and no other numbers stand at the axis.
    """
    across = [x for points in curves.values() for x, _ in points]
    first, last = min(across), max(across)
    values = [y for points in curves.values() for _, y in points]
    bottom, top, step = _choose_range(values, is_share=is_share)
    x_at = _scale(first, last if last > first else first + 1, LEFT, WIDTH - RIGHT)
    y_at = _scale(bottom, top, HEIGHT - BOTTOM, TOP)
    marks = sorted(set(across))
    drawn = [[(x_at(x), y_at(y)) for x, y in points] for points in curves.values()]
    name_x, name_y = _find_room(drawn)
    shapes = [
        *_draw_levels(bottom, top, step, y_at),
        *_number_below([(x_at(x), f"{x:g}") for x in marks]),
        *_name_axes(*names),
    ]
    for number, (name, points) in enumerate(zip(curves, drawn, strict=True)):
        places = [f"{x:.1f},{y:.1f}" for x, y in points]
        kind = "ideal" if number else "line"
        shapes.append(element("polyline", points=" ".join(places), class_=kind))
        if not number:
            shapes += [element("circle", cx=x, cy=y, r=3, class_="dot") for x, y in points]
        y = name_y + LEGEND_LINE * number
        ends = {"x1": name_x - 24, "x2": name_x, "y1": y, "y2": y}
        shapes.append(element("line", class_=kind, **ends))
        shapes.append(element("text", name, x=name_x - 30, y=y + 4, text_anchor="end"))
    return _frame(description, shapes)


def _find_room(drawn: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """Return where the names of curves begin, at their right end: where the fewest curves are."""
    height = LEGEND_LINE * (len(drawn) - 1)
    right, left = float(WIDTH - RIGHT), float(LEFT + LEGEND_WIDTH)
    below, above = HEIGHT - BOTTOM - 12.0 - height, TOP + 8.0
    middle = (TOP + HEIGHT - BOTTOM - height) / 2

    def count_hidden(corner: tuple[float, float]) -> int:
        return sum(
            corner[0] - LEGEND_WIDTH <= x <= corner[0]
            and corner[1] - LEGEND_LINE / 2 <= y <= corner[1] + height + LEGEND_LINE / 2
            for points in drawn
            for one, other in pairwise([points[0], *points])
            for x, y in _walk(one, other)
        )

    places = [(right, below), (right, above), (left, below), (left, above), (right, middle)]
    return min(places, key=count_hidden)


def _walk(one: tuple[float, float], other: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Yield points of a line, from its first to its last."""
    for step in range(STEPS + 1):
        share = step / STEPS
        yield one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])


def draw_reliability(description: str, bins: Sequence[Bin]) -> Markup:
    """Return a reliability diagram: how often predictions are right that are so confident.

    On the dashed line, confidence and accuracy are equal. The area of a circle is the share of
    the predictions (DeGroot and Fienberg, 1983; Guo et al., 2017).

    Args:
        description: What it shows, in a sentence, for people who do not see it.
        bins: Those with predictions.
    """
    x_at = _scale(0, 1, LEFT, WIDTH - RIGHT)
    y_at = _scale(0, 1, HEIGHT - BOTTOM, TOP)
    most = max((one.count for one in bins), default=1)
    shapes = [
        *_draw_levels(0, 1, 0.25, y_at),
        *_number_below([(x_at(n / 4), f"{n / 4:g}") for n in range(5)]),
        element("line", x1=x_at(0), y1=y_at(0), x2=x_at(1), y2=y_at(1), class_="ideal"),
        *(
            element(
                "circle",
                element("title", f"{b.count:,} at {b.confidence:.2f}: {b.accuracy:.2f} are right"),
                cx=x_at(b.confidence),
                cy=y_at(b.accuracy),
                r=2.5 + 7.5 * math.sqrt(b.count / most),
                class_="dot",
            )
            for b in bins
        ),
        *_name_axes("confidence", "share that is right"),
    ]
    return _frame(description, shapes)


def draw_scatter(
    description: str,
    names: tuple[str, str],
    values: tuple[np.ndarray, np.ndarray],
    *,
    is_diagonal: bool = False,
) -> Markup:
    """Return a point for each picture.

    Args:
        description: What it shows, in a sentence, for people who do not see it.
        names: Of the axes: below, and at the left.
        values: Along both, (N,) each, N at least 1.
        is_diagonal: Whether the dashed line is where both are equal; otherwise where the second
            is 0.
    """
    across, up = (each.tolist() for each in values)
    x_range = _choose_span([*across, *up] if is_diagonal else across)
    y_range = x_range if is_diagonal else _choose_span([*up, 0.0])
    x_at = _scale(*x_range[:2], LEFT, WIDTH - RIGHT)
    y_at = _scale(*y_range[:2], HEIGHT - BOTTOM, TOP)
    first, last, step = x_range
    marks = [first + number * step for number in range(round((last - first) / step) + 1)]
    ends = (first, last) if is_diagonal else (0.0, 0.0)
    shapes = [
        *_draw_levels(*y_range, y_at),
        *_number_below([(x_at(value), _write_mark(value)) for value in marks]),
        element(
            "line",
            x1=x_at(first),
            y1=y_at(ends[0]),
            x2=x_at(last),
            y2=y_at(ends[1]),
            class_="ideal",
        ),
        *(
            element("circle", cx=f"{x_at(x):.1f}", cy=f"{y_at(y):.1f}", r=3, class_="point")
            for x, y in zip(across, up, strict=True)
        ),
        *_name_axes(*names),
    ]
    return _frame(description, shapes)


def _choose_span(values: Sequence[float]) -> tuple[float, float, float]:
    """Return both ends and the step of an axis of numbers of any size; see `_choose_range`.

    Example:
        >>> _choose_span([1.2e6, 4.1e6]), _choose_span([5.0, 5.0])
        ((1000000.0, 5000000.0, 1000000.0), (4.999, 5.001, 0.001))
    """
    largest = max(abs(min(values)), abs(max(values)))
    extent = max(max(values) - min(values), 1e-3 * largest) or 1.0
    unit = 10.0 ** math.floor(math.log10(extent))  # Of the values in it, the spread is 1 to 10.
    bottom, top, step = _choose_range([value / unit for value in values], least=extent / unit)
    return bottom * unit, top * unit, step * unit


def _frame(description: str, shapes: Sequence[Markup]) -> Markup:
    return element(
        "svg",
        element("title", description),
        shapes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=description,
        class_="chart",
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _choose_range(
    values: Sequence[float], *, is_share: bool = False, least: float = 0.02
) -> tuple[float, float, float]:
    """Return both ends of an axis, and the step of its numbers: a round one, three to six of them.

    The axis is not made for less than the extent `least`.

    Example:
        >>> _choose_range([0.82, 0.97])
        (0.8, 1.0, 0.05)
        >>> _choose_range([1.0, 1.0], is_share=True)
        (0.99, 1.0, 0.005)
    """
    low, high = min(values), max(values)
    extent = max(high - low, least)
    power = 10.0 ** math.floor(math.log10(extent / 3))
    step = next(factor * power for factor in (1, 2, 5, 10) if extent / (factor * power) <= 5)
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if top - bottom < step:
        bottom, top = bottom - step, top + step
    if is_share and top > 1:
        bottom, top = bottom - (top - 1), 1.0
    if is_share and bottom < 0:
        bottom, top = 0.0, min(1.0, top - bottom)
    return round(bottom, 9), round(top, 9), round(step, 9)


def _draw_levels(
    bottom: float, top: float, step: float, y_at: Callable[[float], float]
) -> Iterator[Markup]:
    for number in range(round((top - bottom) / step) + 1):
        value = bottom + number * step
        y = y_at(value)
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", _write_mark(value), x=LEFT - 6, y=y + 4, text_anchor="end")


def _write_mark(value: float) -> str:
    """Write a number of an axis, in a few characters.

    Example:
        >>> [_write_mark(value) for value in (0.25, 9_000, -20_000, 1.5e6, 4e-7)]
        ['0.25', '9000', '-20k', '1.5M', '4e-7']
    """
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if 10_000 <= abs(value) < 1e9 and abs(value) >= unit:
            return f"{value / unit:.5g}{sign}"
    return f"{value:.5g}".replace("e-0", "e-")


def _number_below(places: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    """Write numbers below the axis, from the right, without those that would touch each other."""
    free = math.inf
    for x, text in reversed(places):
        half = 3.2 * len(text)
        anchor = "end" if x + half > WIDTH else "middle"
        right = x if anchor == "end" else x + half
        if right + 4 > free:
            continue
        free = right - 2 * half
        yield element("text", text, x=x, y=HEIGHT - BOTTOM + 16, text_anchor=anchor)


def _name_axes(x_name: str, y_name: str) -> Iterator[Markup]:
    y = HEIGHT - BOTTOM
    yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="axis")
    yield element("text", x_name, x=(LEFT + WIDTH) / 2, y=HEIGHT - 6, text_anchor="middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turn = f"rotate(-90 10 {middle:.0f})"
    yield element("text", y_name, x=10, y=middle, text_anchor="middle", transform=turn)
