"""`featx duplicates`: copies of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import CsvSafe, Json, OneLayer, ReadPool, StoreArgument
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE


def duplicates(
    *,
    features: StoreArgument = Path(DEFAULT_STORE),
    across: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER.h5",
            help="Only copies that are also in another store of the same model.",
        ),
    ] = None,
    across_splits: Annotated[
        bool, typer.Option("--across-splits", help="Only copies in several splits of the store.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="Least similarity of near-duplicates. [default: chosen on the data]"
        ),
    ] = None,
    flipped: Annotated[
        bool, typer.Option("--flipped", help="Also find mirrored copies. Reads all pictures.")
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Read the pictures of groups to find the best copy, or go by the size of files.",
        ),
    ] = True,
    layer: OneLayer = None,
    pool: ReadPool = DEFAULT_READ_POOLING,
    filepath_only: Annotated[
        bool,
        typer.Option(
            "--filepath-only", "--files", "-f", help="Only the paths of the copies that can go."
        ),
    ] = False,
    null: Annotated[
        bool,
        typer.Option(
            "--null", "-0", help="Only these paths, each ended by a zero byte: for xargs -0."
        ),
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table as CSV on stdout.")] = False,
    csv_safe: CsvSafe = False,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write the groups as one page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find copies of pictures: identical files, and copies that were changed.

    Scaled, saved again, made brighter or cropped a little: such a copy has almost the same
    features. The best copy of each group comes first. No picture is changed or deleted.

    Example: featx duplicates flowers.h5 -0 | xargs -0 rm
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.duplicate_tables import (
        show_duplicates,
        show_removable,
        write_duplicates,
        write_duplicates_csv,
    )
    from featx.report.text import short_path

    if sum((as_json, as_csv, filepath_only or null)) > 1:
        raise typer.BadParameter("choose one of --json, --csv, --filepath-only and --null")
    if csv_safe and not as_csv:
        raise typer.BadParameter("--csv-safe goes with --csv")
    if html is not None:
        from featx.report.duplicates_page import write_duplicates_page
        from featx.report.page import check_page_path

        check_page_path(html, "html")
    listener = ConsoleListener()
    report = featx.find_duplicates(
        features,
        across=across,
        across_splits=across_splits,
        threshold=threshold,
        flipped=flipped,
        pictures=pictures,
        layer=layer,
        pool=pool,
        listener=listener,
    )
    if html is not None:
        write_duplicates_page(report, html)
        listener.note(f"written: {short_path(html)}")
    if as_json:
        write_duplicates(report)
    elif as_csv:
        write_duplicates_csv(report, csv_safe=csv_safe)
    elif filepath_only or null:
        show_removable(report, "\0" if null else "\n", listener)
    else:
        show_duplicates(report)
