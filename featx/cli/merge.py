"""`featx merge`: one store from several, or one index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from featx.cli.options import Json, SingleFileLimit
from featx.units import parse_bytes


def merge(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORES...",
            help="Stores made in the same way, or their indexes, filled by the same training.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The store or index to write.")],
    features: Annotated[
        Path | None,
        typer.Option(
            help="Of indexes: the merged store. [default: the output's name ending in .h5]"
        ),
    ] = None,
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

    Then one index from theirs, beside it: see `featx index -h`.

    Example: featx merge part1.h5 part2.h5 -o features.h5

    Example: featx merge part1.faiss part2.faiss -o features.faiss
    """
    import featx
    from featx.index.files import is_index_file
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_merge_report

    if any(map(is_index_file, stores)):
        if keep != "error" or partial or single_file_limit:
            raise typer.BadParameter("--keep, --partial and --single-file-limit are for stores")
        _merge_indexes(stores, output, features, as_json=as_json)
        return
    if features is not None:
        raise typer.BadParameter("--features is for indexes")
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


def _merge_indexes(
    indexes: list[Path], output: Path, features: Path | None, *, as_json: bool
) -> None:
    import featx
    from featx.index.summary import summarize_index
    from featx.report.console import ConsoleListener
    from featx.report.index_tables import show_index
    from featx.report.json_lines import write_json

    merged = featx.merge_indexes(indexes, output, features=features, listener=ConsoleListener())
    if as_json:
        write_json(summarize_index(merged))
    else:
        show_index(merged)
