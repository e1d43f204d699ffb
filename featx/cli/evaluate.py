"""`featx evaluate`: how good a head is on other images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from featx.cli.groups import spread_groups
from featx.cli.options import (
    SOME_FAILED,
    AllowDownload,
    CsvSafe,
    Json,
    ReadRunGroup,
    SelectionGroup,
    TrustModelCode,
    exit_with,
)
from featx.options import RunOptions, Selection
from featx.specs import DEFAULT_HEAD, DEFAULT_K, DEFAULT_READ_POOLING


@spread_groups
def evaluate(
    *,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGES|STORE",
            help="Labelled images, as for `predict`, or one feature store, for which no network is "
            "run.",
        ),
    ] = None,
    head: Annotated[Path, typer.Option(help="The head's folder, from `fit-head`.")] = Path(
        DEFAULT_HEAD
    ),
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table (.csv, .jsonl, .parquet) with the columns path and label. [default: the "
            "images' own labels]",
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.csv",
            help="Write a line for each image: true and predicted class, probabilities.",
        ),
    ] = None,
    csv_safe: CsvSafe = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.html",
            help="Write a page: pictures, mistakes, confusions, reliability, classes.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw 30 of the images, green where right, red where wrong."
        ),
    ] = None,
    selection: SelectionGroup,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Where the model's weights or file are now, if they have moved."
        ),
    ] = None,
    run: ReadRunGroup,
    trust_model_code: TrustModelCode = False,
    allow_download: AllowDownload = False,
    retrieval: Annotated[
        bool,
        typer.Option(
            "--retrieval",
            help="Measure search in a labelled store instead: classes of nearest neighbours.",
        ),
    ] = False,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Of --retrieval: a layer, or a glob. Repeatable. [default: all]"
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="POOL", help="Of --retrieval: pooling of maps. [default: avg]"),
    ] = None,
    pca: Annotated[
        list[int] | None,
        typer.Option(
            min=1, metavar="N", help="Of --retrieval: N principal components, too. Repeatable."
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", "--top", min=1, help="Of --retrieval: neighbours.")
    ] = DEFAULT_K,
    index: Annotated[
        Path | None, typer.Option(help="Of --retrieval: let this index find the neighbours.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a head on labelled images that it was not fitted on, or features by search.

    Images that it was fitted on, that have no label, or one that is no class of the head, are left
    out and counted. Of a store, --split selects a part.

    Example: featx evaluate new_photos --head head

    Example: featx evaluate other.h5 --split test --report test.html

    Example: featx evaluate features.h5 --retrieval
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.evaluation_tables import show_evaluate_report
    from featx.report.json_lines import write_json

    if retrieval:
        if csv_safe or any(one is not None for one in (labels, rows, report, sheet)):
            raise typer.BadParameter(
                "--labels, --rows, --csv-safe, --report and --sheet go with a head: take "
                "--retrieval away"
            )
        if head != Path(DEFAULT_HEAD) or weights is not None or trust_model_code or allow_download:
            raise typer.BadParameter(
                "--head and where its model comes from go without --retrieval, which measures "
                "features alone"
            )
        if selection != Selection() or run != RunOptions():
            raise typer.BadParameter(
                "--retrieval measures all images of the store and runs no network: take away "
                "what selects images, such as --split, and how they are read"
            )
        _evaluate_retrieval(images or (), layer or (), pool or (), (pca, k, index), as_json)
        return
    if layer or pool or pca or index is not None or k != DEFAULT_K:
        raise typer.BadParameter("--layer, --pool, --pca, -k and --index go with --retrieval")
    if not images and selection.image_list is None:
        raise typer.BadParameter("name images, a store, or a list of images with --image-list")
    if report is not None:
        from featx.report.evaluation_page import write_evaluation_page
        from featx.report.page import check_page_path

        check_page_path(report)
    if sheet is not None:
        from featx.report.contact_sheet import check_sheet_path
        from featx.report.prediction_sheet import write_prediction_sheet

        check_sheet_path(sheet)
    measured = featx.evaluate(
        images or (),
        head=head,
        labels=labels,
        rows=rows,
        csv_safe=csv_safe,
        weights=weights,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
        selection=selection,
        run=run,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(measured.to_dict())
    else:
        show_evaluate_report(measured)
    if report is not None:
        write_evaluation_page(measured, report)
    if sheet is not None:
        write_prediction_sheet(measured, sheet)
    exit_with(SOME_FAILED if measured.failures or measured.num_not_finite else 0)


def _evaluate_retrieval(
    stores: Sequence[str],
    layers: Sequence[str],
    pools: Sequence[str],
    how: tuple[Sequence[int] | None, int, Path | None],
    as_json: bool,
) -> None:
    """Measure search in a store; `how` is the number of components, k, and the index."""
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.retrieval_tables import show_retrieval

    if len(stores) != 1:
        raise typer.BadParameter("--retrieval measures one store: featx evaluate STORE --retrieval")
    pca, k, index = how
    report = featx.evaluate_retrieval(
        stores[0],
        layers=layers,
        pool=pools or DEFAULT_READ_POOLING,
        pca=pca,
        k=k,
        index=index,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(report.to_dict())
    else:
        show_retrieval(report)
