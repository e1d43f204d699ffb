"""`featx search`: similar pictures."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featx.cli.groups import spread_groups
from featx.cli.options import (
    SOME_FAILED,
    AllowDownload,
    CsvSafe,
    Json,
    MovedWeights,
    ReadRunGroup,
    TrustModelCode,
    exit_with,
)
from featx.cli.search_options import MatchGroup, QuestionGroup
from featx.specs import DEFAULT_K

DEFAULT_PREVIEW_HEIGHT = 8

if TYPE_CHECKING:
    from featx.events import Listener
    from featx.index.searching import SearchReport


@spread_groups
def search(
    *,
    queries: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY", help="Pictures, or folders, archives, globs, URLs; - for stdin."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            "--keys",
            metavar="KEY",
            help="An image of the store as query; runs no network.",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="The index. [default: the store's name ending in .faiss, built if new]"),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="The feature store. [default: features.h5]")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            "--layers",
            "--module-name",
            metavar="NAME",
            help="A layer of the store. [default: the index's, or else the deepest]",
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", "--top", "-t", "--topk", min=1, help="Matches for each query.")
    ] = DEFAULT_K,
    threshold: Annotated[
        float | None, typer.Option(metavar="S", help="Only matches of at least this similarity.")
    ] = None,
    filepath_only: Annotated[
        bool, typer.Option("--filepath-only", "-f", help="Only the paths of the matches.")
    ] = False,
    question: QuestionGroup,
    match: MatchGroup,
    null: Annotated[
        bool,
        typer.Option(
            "--null", "-0", help="Only the paths, each ended by a zero byte: for xargs -0."
        ),
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table as CSV on stdout.")] = False,
    csv_safe: CsvSafe = False,
    preview: Annotated[
        bool, typer.Option("--preview", "-p", help="Show the pictures in the terminal.")
    ] = False,
    preview_height: Annotated[
        int,
        typer.Option(
            "--preview-height", "-H", min=2, max=60, metavar="LINES", help="Height of a picture."
        ),
    ] = DEFAULT_PREVIEW_HEIGHT,
    html: Annotated[
        Path | None,
        typer.Option(metavar="OUT.html", help="Write queries and matches as one page."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw queries (50 at most) and matches (20 at most) as a sheet."
        ),
    ] = None,
    run: ReadRunGroup,
    weights: MovedWeights = None,
    trust_model_code: TrustModelCode = False,
    allow_download: AllowDownload = False,
    as_json: Json = False,
) -> None:
    """Find stored images that look like a picture.

    The query may have any size and colours: it is prepared exactly as the stored images were.
    The index is built when it is missing, and brought up to date when the store has changed.

    Example: featx search query.jpg -k 5
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_matches, write_matches_csv, write_paths

    if not queries and not key:
        raise typer.BadParameter("name a picture, or an image of the store with --key")
    if sum((as_json, as_csv, filepath_only, null)) > 1:
        raise typer.BadParameter("choose one of --json, --csv, --filepath-only and --null")
    if csv_safe and not as_csv:
        raise typer.BadParameter("--csv-safe goes with --csv")
    if sheet is not None:
        from featx.report.contact_sheet import check_sheet_path, write_contact_sheet

        check_sheet_path(sheet)
    if html is not None:
        from featx.report.page import check_page_path
        from featx.report.search_page import write_search_page

        check_page_path(html, "html")
    listener = ConsoleListener()
    try:
        report = featx.search(
            queries or [],
            keys=key or [],
            features=features,
            index=index,
            layer=layer,
            k=k,
            threshold=threshold,
            run=run,
            question=question,
            match=match,
            weights=weights,
            trust_model_code=trust_model_code,
            allow_download=allow_download,
            listener=listener,
        )
    except featx.errors.AllImagesFailed as error:
        listener.note(str(error))
        report = error.report
    if sheet is not None:
        write_contact_sheet(report, sheet, allow_download=allow_download)
        is_remote = any(match.is_at_url for result in report.results for match in result.matches)
        if is_remote and not allow_download:
            listener.note("pictures at URLs are not on the sheet: --allow-download fetches them")
    if html is not None:
        write_search_page(report, html)
    if preview:
        _show_previews(report, preview_height, listener)
    if as_json:
        write_matches(report)
    elif as_csv:
        write_matches_csv(report, csv_safe=csv_safe)
    elif filepath_only or null:
        write_paths(report, "\0" if null else "\n")
    else:
        from featx.report.match_table import show_matches

        show_matches(report)
    exit_with(SOME_FAILED if report.failures else 0)


def _show_previews(report: SearchReport, height: int, listener: Listener) -> None:
    """Show pictures in the terminal; they would be noise in a file."""
    from featx.report.drawing import terminal_width
    from featx.report.preview import choose_protocol, draw_previews

    width = terminal_width()
    if width is None or not sys.stdout.isatty():
        listener.note("pictures are shown in terminals only: --sheet and --html write them")
        return
    for text in draw_previews(report, choose_protocol(os.environ), width=width, height=height):
        sys.stdout.write(text)
