"""`featx fit-head`: a classifier from stored features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, OneLayer, ReadPool, StoreArgument
from featx.cli.registry_choice import Choice
from featx.heads.kinds import DEFAULT_HEAD_KIND, HEADS
from featx.specs import DEFAULT_HEAD, DEFAULT_READ_POOLING, DEFAULT_STORE, DEFAULT_TEST_SIZE


def fit_head(
    features: StoreArgument = Path(DEFAULT_STORE),
    layer: OneLayer = None,
    labels: Annotated[
        str,
        typer.Option(
            metavar="folders|FILE",
            help="'folders' for those in the store (class folders, or a manifest's), or a table "
            "(.csv, .parquet) with the columns path, label and optionally split.",
        ),
    ] = "folders",
    kind: Annotated[
        str, typer.Option(help="The kind of head."), Choice(lambda: HEADS.names)
    ] = DEFAULT_HEAD_KIND,
    pool: ReadPool = DEFAULT_READ_POOLING,
    test_size: Annotated[
        float, typer.Option(help="Share of each class held out to measure on, 0 to 1.")
    ] = DEFAULT_TEST_SIZE,
    ignore_split: Annotated[
        bool,
        typer.Option(
            "--ignore-split", help="Hold out a share of each class although a split is given."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="For the split and the choice of settings.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="The head's folder.")] = Path(
        DEFAULT_HEAD
    ),
    as_json: Json = False,
) -> None:
    """Train and measure a classifier on stored features.

    It is measured on images that it has not seen. The network is not run, and TensorFlow not
    needed.

    Example: featx fit-head flowers.h5 --layer out_relu -o head
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.tables import show_fit_report

    report = featx.fit_head(
        features,
        layer=layer,
        labels=labels,
        kind=kind,
        pool=pool,
        test_size=test_size,
        ignore_split=ignore_split,
        seed=seed,
        output=output,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(report.to_dict())
    else:
        show_fit_report(report)
