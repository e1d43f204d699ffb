"""Matches for people: a table on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.report.drawing import make_table, print_result
from featx.report.text import describe_box, short_path

if TYPE_CHECKING:
    from featx.index.searching import SearchReport


def show_matches(report: SearchReport) -> None:
    """Draw the matches of each query."""
    several = len(report.results) > 1
    headers = ["query"] if several else []
    offset = len(headers)
    right = (offset, offset + 1)
    further = ["box"] if report.has_boxes else []
    headers += ["rank", "score", "label", *further, "image"]
    table = make_table(*headers, right=right, whole=True)
    for result in report.results:
        for match in result.matches:
            is_first = match is result.matches[0]
            first = [short_path(result.query) if is_first else ""] if several else []
            table.add_row(
                *first,
                str(match.rank),
                f"{match.score:.4f}",
                match.label or "",
                *([describe_box(match.box)] if further else []),
                short_path(match.path),
            )
        if not result.matches:
            print_result(f"{short_path(result.query)}: no match")
        elif several:
            table.add_section()
    if table.rows:
        print_result(table)
