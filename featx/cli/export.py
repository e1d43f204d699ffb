"""`featx export`: stored features as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.checks.layers import POOL_SYNONYMS
from featx.cli.options import AllowDownload, CsvSafe, Json, OneLayer, StoreArgument
from featx.cli.registry_choice import Choice
from featx.exports.formats import EXPORTS
from featx.exports.tables import DATABASES, DEFAULT_TABLE
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE


def export(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The file; for TensorBoard a folder; with --to a path, or a server's address.",
        ),
    ],
    features: StoreArgument = Path(DEFAULT_STORE),
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="[default: as OUT ends; without an ending, or a folder: tensorboard]",
        ),
        Choice(lambda: EXPORTS.names),
    ] = None,
    layer: OneLayer = None,
    pool: Annotated[
        str,
        typer.Option(help="Pooling of layers that were stored as maps; 'none' keeps them (npy)."),
        Choice(lambda: (*POOLINGS.names, *POOL_SYNONYMS)),
    ] = DEFAULT_READ_POOLING,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "--force", help="Replace existing files.")
    ] = False,
    csv_safe: CsvSafe = False,
    to: Annotated[
        str | None,
        typer.Option(metavar="DATABASE", help="Write into a vector database instead."),
        Choice(lambda: DATABASES.names),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"Of --to: the table or collection. [default: {DEFAULT_TABLE}]"
        ),
    ] = None,
    thumbnails: Annotated[
        bool | None,
        typer.Option(
            "--thumbnails/--no-thumbnails",
            help="Of --to: with small pictures. [default: thumbnails]",
        ),
    ] = None,
    allow_download: AllowDownload = False,
    as_json: Json = False,
) -> None:
    """Write features as files for other programs.

    OUT.npy: an array, and its keys in OUT.keys.csv. OUT.parquet, OUT.csv: tables with key, label
    and features. A folder: for TensorBoard's Embedding Projector, with the pictures.

    With --to: vectors, keys, labels, columns and thumbnails in a vector database. What is there is
    not written again. --to parquet writes files for their bulk import into a folder.

    Example: featx export flowers.h5 --layer out_relu -o flowers.parquet

    Example: featx export flowers.h5 --to qdrant -o http://localhost:6333
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.tables import show_database, show_export

    if to is not None:
        if format is not None or overwrite or csv_safe:
            raise typer.BadParameter("--format, --overwrite and --csv-safe are for files")
        written = featx.export_to_database(
            features,
            output,
            to=to,
            table=DEFAULT_TABLE if table is None else table,
            layer=layer,
            pool=pool,
            thumbnails=thumbnails is not False,
            allow_download=allow_download,
            listener=ConsoleListener(),
        )
        if as_json:
            write_json(written.to_dict())
        else:
            show_database(written)
        return
    if table is not None or thumbnails is not None:
        raise typer.BadParameter("--table and --thumbnails are for --to")
    report = featx.export_store(
        features,
        output,
        format=format,
        layer=layer,
        pool=pool,
        overwrite=overwrite,
        allow_download=allow_download,
        csv_safe=csv_safe,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(report.to_dict())
    else:
        show_export(report)
