"""Findings of an audit on stdout: a table of each kind, and JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.columns import Table
from featx.report.drawing import make_table, print_result
from featx.report.json_lines import write_json
from featx.units import format_count

if TYPE_CHECKING:
    from featx.curation.auditing import AuditReport
    from featx.curation.findings import Finding

MOST_OF_A_KIND = 10
"""Findings of each kind in a table, unless more are asked for."""

HEADERS = ("score", "picture", "given", "suggested", "other", "what")


def show_audit(report: AuditReport, most: int = MOST_OF_A_KIND) -> None:
    """Draw the findings of each kind, the highest scores first.

    Args:
        report: The findings.
        most: How many of each kind.
    """
    from featx.curation.findings import FINDINGS

    for kind, count in report.counts.items():
        if not count:
            continue
        print_result(f"{FINDINGS[kind].title} ({kind}): {count:,}")
        print_result(_draw_findings(report.of_kind(kind)[:most]))
        if count > most:
            print_result(f"and {count - most:,} more")
        print_result("")
    for line in describe_audit(report):
        print_result(line)


def _draw_findings(findings: Sequence[Finding]) -> Table:
    """Return the table of some findings, without columns that are empty."""
    lines = [(f"{one.score:.3f}", *describe_finding(one)) for one in findings]
    used = [place for place in range(len(HEADERS)) if any(line[place] for line in lines)]
    table = make_table(*(HEADERS[place] for place in used), right=(0,))
    for line in lines:
        table.add_row(*(line[place] for place in used))
    return table


def describe_finding(finding: Finding) -> tuple[str, str, str, str, str]:
    """Return picture, given and suggested label, the other one, and what was measured."""
    return (
        finding.key or "",
        finding.given or "",
        finding.suggested or "",
        finding.other or "",
        finding.detail,
    )


def describe_audit(report: AuditReport) -> Iterator[str]:
    """Yield how much was found, and what was not looked for, in sentences."""
    counts = [f"{count:,} {kind}" for kind, count in report.counts.items() if count]
    found = format_count(len(report), "finding")
    yield (
        f"{found} in {format_count(report.num_images, 'image')}, layer {report.layer}"
        + (f": {', '.join(counts)}" if counts else "")
    )
    for kind, reason in report.skipped.items():
        yield f"not looked for: {kind} ({reason})"


def write_findings(report: AuditReport) -> None:
    """Write ``{"kind", "key", "score", "given", "suggested", "other", ...}`` for each finding."""
    for finding in report:
        write_json(finding.to_dict())
