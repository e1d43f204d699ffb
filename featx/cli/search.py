"""`featx search`: similar pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.groups import spread_groups
from featx.cli.options import (
    SOME_FAILED,
    AllowDownload,
    Json,
    MovedWeights,
    ReadRunGroup,
    TrustModelCode,
    exit_with,
)
from featx.cli.search_options import ChoiceGroup, FilterGroup, QuestionGroup
from featx.specs import DEFAULT_K


@spread_groups
def search(
    *,
    queries: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY", help="Pictures, or folders, archives, globs, URLs."),
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
    filter: FilterGroup,
    choice: ChoiceGroup,
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
    from featx.report.json_lines import write_matches
    from featx.report.tables import show_matches, show_paths

    if not queries and not key:
        raise typer.BadParameter("name a picture, or an image of the store with --key")
    if sheet is not None:
        from featx.report.contact_sheet import check_sheet_path, write_contact_sheet

        check_sheet_path(sheet)
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
            filter=filter,
            choice=choice,
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
    if as_json:
        write_matches(report)
    elif filepath_only:
        show_paths(report)
    else:
        show_matches(report)
    exit_with(SOME_FAILED if report.failures else 0)
