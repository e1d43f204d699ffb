"""The table: every rate, what featx comes to beside it, and the goals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.table import Table

from benchmarks.speeds.machine import BUSY
from benchmarks.speeds.pictures import PICTURE_SETS
from benchmarks.speeds.results import (
    Spread,
    bound_share,
    divide,
    goals_of,
    missing_goals,
    name_bound,
    network_flops,
    over,
    product_rates,
    product_share,
    rates,
    shared_cores,
)
from benchmarks.speeds.rounds import COMPETITORS, Cell

NO = "–"


def make_table(cells: Sequence[Cell]) -> Table:
    """Show the rates of all competitors, and how many times as fast as each featx is."""
    table = Table(
        "network", "competitor", "images/s", "featx over it", "pictures", "start s", "peak MiB"
    )
    table.add_column("others")
    for column in table.columns[2:]:
        column.justify = "right"
    shown = ""
    for cell in cells:
        table.add_section()
        if cell.pictures != shown:
            shown = cell.pictures
            table.add_row(f"[bold]{PICTURE_SETS[shown].title}")
            table.add_section()
        for name, row in zip_longest(_describe(cell), _rows(cell), fillvalue=""):
            table.add_row(name, *row)
    return table


def make_goals(cells: Sequence[Cell]) -> Table:
    """Show each goal: the figure, what was wanted, and which limit featx is near."""
    table = Table("goal", "network", "pictures", "figure", "wanted", "met", "near which limit")
    for column in table.columns[3:5]:
        column.justify = "right"
    for cell in cells:
        for goal, spread in goals_of(cell):
            met = spread.median >= goal.wanted
            table.add_row(
                goal.title,
                cell.network.title,
                cell.pictures,
                show(spread),
                show_number(goal.wanted),
                "yes" if met else "[bold]no",
                name_bound(cell),
            )
    for goal, pictures in missing_goals(cells):
        table.add_row(
            goal.title, goal.network, pictures, NO, show_number(goal.wanted), "not measured", ""
        )
    return table


def _describe(cell: Cell) -> list[str]:
    """Name the network in up to three lines."""
    runs = cell.rounds.get("featx", [])
    engines = sorted({f"{run.facts['engine']} {run.facts['precision']}" for run in runs})
    if cell.network.name == "mini":
        weights = "its own weights"
    else:
        weights = "random weights" if cell.weights == "random" else "real weights"
    return [cell.network.title, ", ".join(engines), weights]


def _rows(cell: Cell) -> list[list[str]]:
    """Return the lines of one network, without its name."""
    rows = []
    for name, competitor in COMPETITORS.items():
        runs = cell.rounds.get(name, [])
        if name in cell.skipped:
            rows.append([competitor.title, f"not measured: {cell.skipped[name]}", *[""] * 5])
        if not runs:
            continue
        ratio = product_share(cell) if name == "matmul" else over(name)(cell)
        if name == "matmul":
            rate = _show_flops(product_rates(cell))
        else:
            rate = show(Spread.of(rates(cell, name)))
        rows.append(
            [
                _with_version(competitor.title, runs[0].facts.get("library")),
                rate,
                NO if name == "featx" or not ratio else show(Spread.of(ratio)),
                NO if competitor.is_bound else f"{runs[0].amount:,.0f}",
                f"{Spread.of([run.wall - run.seconds for run in runs]).median:.0f}",
                f"{max(run.peak for run in runs) / 2**20:,.0f}",
                _show_others([run.others for run in runs], competitor.one_core),
            ]
        )
        if name == "decoding" and shared_cores(cell):
            shares = bound_share(cell)
            rows.append(
                [
                    "both on shared cores",
                    show(Spread.of(shared_cores(cell))),
                    show(Spread.of(shares)) if shares else NO,
                    *[""] * 4,
                ]
            )
        if name == "engine" and cell.rounds.get("matmul"):
            flops = network_flops(cell, "engine")
            share = divide(flops, product_rates(cell))
            text = f"{Spread.of(share).median:.2f} of the product" if share else ""
            rows.append(["  its multiplications", _show_flops(flops), text, *[""] * 4])
    return rows


def _with_version(title: str, version: str | None) -> str:
    return f"{title} ({version})" if version else title


def _show_flops(values: Sequence[float]) -> str:
    if not values:
        return NO
    return f"{show(Spread.of([value / 1e9 for value in values]))} GFLOP/s"


def _show_others(shares: Sequence[float], one_core: bool) -> str:
    """Show the most that others took of the cores; more than a little is marked."""
    worst = max(shares)
    return f"[bold]{worst:.0%}" if worst > BUSY and not one_core else f"{worst:.0%}"


def show(spread: Spread) -> str:
    """Write a median with its range, if it has one.

    Example:
        >>> show(Spread(4.126, 3.9, 4.5))
        '4.13 (3.90–4.50)'
    """
    if spread.low == spread.high:
        return show_number(spread.median)
    low, high = show_number(spread.low), show_number(spread.high)
    return f"{show_number(spread.median)} ({low}–{high})"


def show_number(value: float) -> str:
    """Write a number with three digits or more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
