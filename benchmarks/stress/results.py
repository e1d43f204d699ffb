"""What the stress counts, and the table at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

SHOWN = 12
"""Violations of one line of the table that are printed in full."""


@dataclass
class Tally:
    """One line of the table.

    Attributes:
        part: ``kills``, ``full``, ...
        name: The scenario.
        runs: How often the operation was run and disturbed.
        figures: Counts by name, for example ``killed``.
        violations: What must not be, in words.
        seconds: How long it took.
    """

    part: str
    name: str
    runs: int = 0
    figures: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def show(tallies: Iterable[Tally], console: Console) -> None:
    """Print violations, then the table."""
    tallies = list(tallies)
    for tally in tallies:
        kinds = list(dict.fromkeys(tally.violations))
        for text in kinds[:SHOWN]:
            console.print(f"{tally.part} {tally.name}: {text}", markup=False, highlight=False)
        if len(kinds) > SHOWN:
            console.print(f"... and {len(kinds) - SHOWN} more of {tally.part} {tally.name}")
    table = Table("part", "scenario", "runs", "of these", "violations", "seconds")
    for tally in tallies:
        figures = ", ".join(f"{count} {name}" for name, count in sorted(tally.figures.items()))
        cells = (str(tally.runs), figures, str(len(tally.violations)), f"{tally.seconds:.0f}")
        table.add_row(tally.part, tally.name, *cells)
    runs, bad = sum(t.runs for t in tallies), sum(len(t.violations) for t in tallies)
    table.add_row("all", "", str(runs), "", str(bad), f"{sum(t.seconds for t in tallies):.0f}")
    console.print(table)
