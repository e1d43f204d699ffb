"""`featx select`: pictures that are worth labelling or keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, OneLayer, ReadPool, StoreArgument
from featx.cli.registry_choice import Choice
from featx.curation.strategy import STRATEGIES
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE


def select(
    *,
    features: StoreArgument = Path(DEFAULT_STORE),
    diverse: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="N that are least like each other, and cover all."),
    ] = None,
    typical: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="N that stand for many: one of each cluster."),
    ] = None,
    uncertain: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N of which --head is least sure.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="Any strategy, with --count."),
        Choice(lambda: STRATEGIES.names),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", "-n", min=1, metavar="N", help="How many --strategy chooses."),
    ] = None,
    balance: Annotated[
        bool,
        typer.Option(
            "--balance", help="Equally many of each class; alone, as many as the smallest has."
        ),
    ] = False,
    head: Annotated[
        Path | None, typer.Option(metavar="HEAD", help="A head, for --uncertain.")
    ] = None,
    layer: OneLayer = None,
    pool: ReadPool = DEFAULT_READ_POOLING,
    seed: Annotated[int, typer.Option(min=0, help="For whatever is random.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.csv",
            help="Write a manifest: images for extract, labels for fit-head.",
        ),
    ] = None,
    filepath_only: Annotated[
        bool,
        typer.Option("--filepath-only", "--files", "-f", help="Print paths instead of keys."),
    ] = False,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="End each line by a zero byte: for xargs -0.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Choose pictures worth labelling or keeping.

    Prints their keys. Reads the features alone; no network runs. Name one of --diverse, --typical,
    --uncertain and --strategy, or --balance alone.

    Example: featx select photos.h5 --diverse 200 -o to_label.csv
    """
    import featx
    from featx.curation.manifest import check_manifest_path
    from featx.report.console import ConsoleListener
    from featx.report.selection_lines import show_selection, write_selection

    if as_json and (filepath_only or null):
        raise typer.BadParameter("choose one of --json, --filepath-only and --null")
    if output is not None:
        check_manifest_path(output)
    report = featx.select(
        features,
        diverse=diverse,
        typical=typical,
        uncertain=uncertain,
        strategy=strategy,
        count=count,
        balance=balance,
        head=head,
        layer=layer,
        pool=pool,
        seed=seed,
        listener=ConsoleListener(),
    )
    if output is not None:
        report.write(output)
    if as_json:
        write_selection(report)
    else:
        show_selection(report, "\0" if null else "\n", paths=filepath_only)
