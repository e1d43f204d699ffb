"""`featx map`: a map of the images of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, OneLayer, ReadPool, StoreArgument
from featx.cli.registry_choice import Choice
from featx.curation.clustering import CLUSTERINGS
from featx.curation.layout import LAYOUTS
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE, DEFAULT_THUMBNAILS


def map_features(
    *,
    features: StoreArgument = Path(DEFAULT_STORE),
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A page (.html), a picture (.png), or for Embedding Atlas (.parquet).",
        ),
    ] = Path("map.html"),
    method: Annotated[
        str | None,
        typer.Option(help="The layout. [default: the first that is installed and fast enough]"),
        Choice(lambda: LAYOUTS.names),
    ] = None,
    clustering: Annotated[
        str,
        typer.Option(help="How images are clustered."),
        Choice(lambda: CLUSTERINGS.names),
    ] = "kmeans",
    clusters: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="k-means clusters. [default: as many as classes]"),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Look for what is doubtful, to colour by its score.")
    ] = False,
    thumbnails: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Pictures in a page; the others are dots."),
    ] = DEFAULT_THUMBNAILS,
    layer: OneLayer = None,
    pool: ReadPool = DEFAULT_READ_POOLING,
    seed: Annotated[int, typer.Option(min=0, help="For whatever is random.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw a map: similar pictures near each other.

    Clusters are named by their labels. The page zooms over thumbnails, colours them by label, split
    or cluster, and copies the keys of what a lasso encloses. Reads the features and small copies of
    the pictures; no network runs.

    Example: featx map flowers.h5 -o map.html
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.map_files import check_map_path
    from featx.report.map_tables import show_map, write_map_lines

    check_map_path(output)
    listener = ConsoleListener()
    report = featx.map_features(
        features,
        method=method,
        clustering=clustering,
        clusters=clusters,
        audit=audit,
        layer=layer,
        pool=pool,
        seed=seed,
        listener=listener,
    )
    report.write(output, thumbnails=thumbnails, listener=listener)
    if as_json:
        write_map_lines(report)
    else:
        show_map(report, output)
