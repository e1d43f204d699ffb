"""`featx merge`: one store from several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from featx.cli.options import Json, SingleFileLimit
from featx.units import parse_bytes


def merge(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORES...", help="Stores made in the same way.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The store to write.")],
    keep: Annotated[
        Literal["error", "first", "last"],
        typer.Option(help="Of an image that several have with different content."),
    ] = "error",
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Merge what is finished; the same command adds the rest later."
        ),
    ] = False,
    single_file_limit: SingleFileLimit = None,
    as_json: Json = False,
) -> None:
    """Make one store from several, for example of the shards that several machines extracted.

    Example: featx merge part1.h5 part2.h5 -o features.h5
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_merge_report

    report = featx.merge_stores(
        stores,
        output,
        keep=keep,
        partial=partial,
        single_file_limit=parse_bytes(single_file_limit) if single_file_limit else None,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(report.to_dict())
    else:
        show_merge_report(report)
