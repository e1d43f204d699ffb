"""A page with groups of copies as pictures: ``featx duplicates --html``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from featx.report.duplicate_tables import describe_copy, describe_duplicates
from featx.report.page import Page, Section, element
from featx.report.page.gallery import Tile, make_gallery
from featx.report.page.markup import Content
from featx.report.page.thumbnails import Thumbnails, write_pictured_page
from featx.units import format_count

if TYPE_CHECKING:
    from featx.curation.duplicate_groups import DuplicateGroup, DuplicatesReport

MAX_GROUPS = 100
MAX_COPIES = 24
"""Pictures of a page are about 10 kB each."""


def write_duplicates_page(report: DuplicatesReport, path: str | Path) -> None:
    """Write groups of copies as one page that needs nothing else.

    Args:
        report: The groups.
        path: The HTML file; see `featx.report.page.thumbnails.write_pictured_page`.
    """
    write_pictured_page(lambda thumbnails: make_duplicates_page(report, thumbnails), path)


def make_duplicates_page(report: DuplicatesReport, thumbnails: Thumbnails) -> Page:
    """Return the page; see `write_duplicates_page`."""
    groups = [
        element("div", element("h3", _title(number, group)), _show(group, thumbnails))
        for number, group in enumerate(report.groups[:MAX_GROUPS], start=1)
    ]
    sections = (Section("Groups", groups),) if groups else ()
    introduction = [element("p", line) for line in describe_duplicates(report)]
    return Page("Copies of pictures", introduction, sections, list(_list_notes(report)))


def _title(number: int, group: DuplicateGroup) -> str:
    kind = "identical files" if group.is_exact else f"similarity {group.similarity:.3f}"
    return f"{number}: {format_count(len(group.pictures), 'picture')}, {kind}"


def _show(group: DuplicateGroup, thumbnails: Thumbnails) -> Content:
    tiles = [
        Tile(
            one.key,
            "the best copy" if place == 0 else "can go" if one.can_go else "stays",
            describe_copy(one),
            content_hash=one.content_hash,
            root=one.root,
        )
        for place, one in enumerate(group.pictures[:MAX_COPIES])
    ]
    more = len(group.pictures) - len(tiles)
    return [
        make_gallery("Copies of one picture, the best first", tiles, thumbnails),
        element("p", f"and {format_count(more, 'further copy', 'further copies')}") if more else "",
    ]


def _list_notes(report: DuplicatesReport) -> Iterator[str]:
    if len(report.groups) > MAX_GROUPS:
        yield element("p", f"Shown are the first {MAX_GROUPS} of {len(report.groups):,} groups.")
    if any(len(group.pictures) > MAX_COPIES for group in report.groups[:MAX_GROUPS]):
        yield element("p", f"Of each group, {MAX_COPIES} pictures are shown at most.")
