"""`featx pack`: one file from a store that is a view of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, StoreArgument
from featx.specs import DEFAULT_STORE


def pack(
    features: StoreArgument = Path(DEFAULT_STORE),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A copy elsewhere. [default: in place of the store]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make one file of a store that refers to part files.

    `featx info` says which kind a store is.

    Example: featx pack features.h5 -o /backup/features.h5
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_pack_report

    report = featx.pack_store(features, output=output, listener=ConsoleListener())
    if as_json:
        write_json(report.to_dict())
    else:
        show_pack_report(report)
