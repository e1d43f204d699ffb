"""A page with the findings of an audit: ``featx audit --report``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.report.finding_tables import describe_audit, describe_finding
from featx.report.page import Page, Section, element
from featx.report.page.gallery import Tile, make_gallery
from featx.report.page.markup import Content, isolate
from featx.report.page.tables import Figure, make_figures, make_table
from featx.report.page.thumbnails import Thumbnails, write_pictured_page

if TYPE_CHECKING:
    from featx.curation.auditing import AuditReport
    from featx.curation.findings import Finding

MAX_PICTURES = 60
"""Pictures of each kind; one is about 10 kB."""

MAX_LINES = 200
"""Findings of each kind that are about no single picture."""


def write_audit_page(report: AuditReport, path: str | Path) -> None:
    """Write the findings as one page that needs nothing else.

    Args:
        report: The findings.
        path: The HTML file; see `featx.report.page.thumbnails.write_pictured_page`.
    """
    write_pictured_page(lambda thumbnails: make_audit_page(report, thumbnails), path)


def make_audit_page(report: AuditReport, thumbnails: Thumbnails) -> Page:
    """Return the page; see `write_audit_page`."""
    sections = tuple(_make_sections(report, thumbnails))
    first, *others = describe_audit(report)
    figures = [Figure(kind, f"{count:,}") for kind, count in report.counts.items()]
    introduction = [element("p", first), make_figures(figures)]
    notes = [element("p", line) for line in others]
    return Page("What to look at", introduction, sections, notes)


def _make_sections(report: AuditReport, thumbnails: Thumbnails) -> Iterator[Section]:
    from featx.curation.findings import FINDINGS

    for kind, count in report.counts.items():
        if count:
            found, about = report.of_kind(kind), FINDINGS[kind]
            content = [
                element("p", f"{about.advice} The highest scores come first.", class_="note"),
                _list_lines(about.title, [one for one in found if one.key is None]),
                *_show_pictures(report, [one for one in found if one.key], thumbnails),
            ]
            yield Section(about.title, content)


def _list_lines(caption: str, found: Sequence[Finding]) -> Content:
    """Return what is about no single picture, as a table."""
    if not found:
        return ()
    rows = [
        [isolate(one.given or "–"), isolate(one.other or "–"), f"{one.score:.3f}", one.detail]
        for one in found[:MAX_LINES]
    ]
    return make_table(caption, ["class or split", "other", "score", "what"], rows)


def _show_pictures(
    report: AuditReport, found: Sequence[Finding], thumbnails: Thumbnails
) -> Iterator[Content]:
    if not found:
        return
    shown = found[:MAX_PICTURES]
    tiles = [tile for one in shown for tile in _make_tiles(report, one)]
    yield make_gallery("Pictures, the highest scores first", tiles, thumbnails)
    if len(found) > len(shown):
        yield element("p", f"and {len(found) - len(shown):,} more", class_="note")


def _make_tiles(report: AuditReport, one: Finding) -> Iterator[Tile]:
    """Yield the picture of a finding, and the one that it is compared with."""
    _, given, suggested, _, detail = describe_finding(one)
    title = f"{given} → {suggested}?" if suggested else given or "no label"
    key = one.key or ""
    yield Tile(
        key,
        title,
        f"{one.score:.3f}: {detail}",
        content_hash=report.content_hash.get(key),
        root=report.root,
    )
    if one.other is not None and one.other in report.content_hash:
        yield Tile(
            one.other,
            report.labels.get(one.other, "no label"),
            "the other one",
            content_hash=report.content_hash[one.other],
            root=report.root,
        )
