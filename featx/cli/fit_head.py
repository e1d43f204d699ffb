"""`featx fit-head`: a classifier from stored features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from featx.cli.fit_options import EvaluationGroup, FeatureGroup, HeadGroup, TaskGroup
from featx.cli.groups import spread_groups
from featx.cli.options import Json, StoreArgument
from featx.specs import DEFAULT_HEAD, DEFAULT_STORE


@spread_groups
def fit_head(
    *,
    features: StoreArgument = Path(DEFAULT_STORE),
    feature: FeatureGroup,
    task: TaskGroup,
    head: HeadGroup,
    evaluation: EvaluationGroup,
    seed: Annotated[int, typer.Option(help="For the split and the choice of settings.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="The head's folder.")] = Path(
        DEFAULT_HEAD
    ),
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.html",
            help="Write a page: pictures, mistakes, confusions, reliability, learning curve.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw 30 held-out images, green where right, red where wrong."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train and measure a classifier on stored features.

    It is measured on images that it has not seen. The network is not run, and TensorFlow not
    needed.

    Example: featx fit-head flowers.h5 --layer out_relu -o head --report head.html
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.tables import show_fit_report

    if report is not None:
        from featx.report.head_page import write_head_page
        from featx.report.page import check_page_path

        check_page_path(report)
        evaluation = replace(evaluation, learning_curve=True)
    if sheet is not None:
        from featx.report.contact_sheet import check_sheet_path
        from featx.report.prediction_sheet import write_prediction_sheet

        check_sheet_path(sheet)
    listener = ConsoleListener()
    fitted = featx.fit_head(
        features,
        output=output,
        seed=seed,
        feature=feature,
        task=task,
        evaluation=evaluation,
        head=head,
        listener=listener,
    )
    if as_json:
        write_json(fitted.to_dict())
    else:
        show_fit_report(fitted)
    if report is not None:
        write_head_page(fitted, report)
    if sheet is not None and fitted.held_out is None:
        listener.note("--sheet is not used: no images are held out to measure on")
    elif sheet is not None:
        write_prediction_sheet(fitted, sheet)
