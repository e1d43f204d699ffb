"""A page with queries and their matches as pictures: ``featx search --html``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from featx.images.roots import Root
from featx.report.contact_sheet import query_key, true_label
from featx.report.page import Page, Section, element
from featx.report.page.gallery import Tile, make_gallery
from featx.report.page.markup import Content
from featx.report.page.thumbnails import Thumbnails, write_pictured_page
from featx.report.text import describe_box, short_path
from featx.units import format_count

if TYPE_CHECKING:
    from featx.index.matches import Match
    from featx.index.searching import QueryResult, SearchReport

MAX_QUERIES = 100
MAX_MATCHES = 60
"""Pictures of a page are about 10 kB each."""


def write_search_page(report: SearchReport, path: str | Path) -> None:
    """Write queries and matches as one page that needs nothing else.

    Pictures that are not where the index says any more, or at a URL, leave their places.

    Args:
        report: The matches.
        path: The HTML file; see `featx.report.page.thumbnails.write_pictured_page`.
    """
    write_pictured_page(lambda thumbnails: make_search_page(report, thumbnails), path)


def make_search_page(report: SearchReport, thumbnails: Thumbnails) -> Page:
    """Return the page; see `write_search_page`."""
    labels = {match.label for result in report.results for match in result.matches}
    sections = tuple(
        Section(_title(result), _show(result, report.root, labels, thumbnails))
        for result in report.results[:MAX_QUERIES]
    )
    queries = format_count(len(report.results), "query", "queries")
    return Page(
        "Similar pictures",
        element(
            "p",
            f"{queries} among {format_count(report.index_size, 'image')}, compared by the layer "
            f"{report.layer}.",
        ),
        sections,
        list(_list_notes(report)),
    )


def _title(result: QueryResult) -> str:
    return " ".join([short_path(result.query), *result.terms])


def _show(
    result: QueryResult, root: Root, labels: set[str | None], thumbnails: Thumbnails
) -> Content:
    key, truth = query_key(result), true_label(result, labels)
    if key is None:
        query = Tile(result.path, "query", truth or "")
    else:
        query = Tile(key, "query", truth or "", root=root)
    tiles = [
        query,
        *(_make_tile(match, truth, root) for match in result.matches[:MAX_MATCHES]),
    ]
    gallery = make_gallery("The query and its matches", tiles, thumbnails)
    return gallery if result.matches else [gallery, element("p", "No match.")]


def _make_tile(match: Match, truth: str | None, root: Root) -> Tile:
    is_right = None if truth is None or match.label is None else match.label == truth
    detail = f"{match.rank}: {match.score:.3f}"
    if match.copies:
        detail += f", and {format_count(len(match.copies), 'identical file')}"
    title = match.label or PurePosixPath(match.key).name
    if match.box is not None:
        detail += f", region {describe_box(match.box)}"
    return Tile(
        match.key,
        title,
        detail,
        is_right=is_right,
        root=root,
        frame=match.box,
        size=match.size,
    )


def _list_notes(report: SearchReport) -> Iterator[Content]:
    if len(report.results) > MAX_QUERIES:
        yield element("p", f"The first {MAX_QUERIES} queries are shown.")
    if any(len(result.matches) > MAX_MATCHES for result in report.results):
        yield element("p", f"The first {MAX_MATCHES} matches of each are shown.")
    if report.failures:
        failed = format_count(len(report.failures), "query", "queries")
        yield element("p", f"{failed} could not be used.")
