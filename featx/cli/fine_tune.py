"""`featx fine-tune`: a network trained on, from a head on its frozen features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.groups import spread_groups
from featx.cli.options import (
    SOME_FAILED,
    Images,
    InputGroup,
    Json,
    RunGroup,
    SelectionGroup,
    TrustModelCode,
    exit_with,
)
from featx.cli.tune_options import (
    ClassifierGroup,
    FreezingGroup,
    LessonGroup,
    TrainingGroup,
)


@spread_groups
def fine_tune(
    *,
    images: Images = None,
    head: Annotated[Path | None, typer.Option(help="Begin with this head and its network.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="Begin with this network, and a new head on it."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|random|PATH",
            help="Weights of a Keras application; of a head, where its model is now.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the run.")] = Path(
        "fine-tuned"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin the run in this folder again.")
    ] = False,
    freezing: FreezingGroup,
    training: TrainingGroup,
    lesson: LessonGroup,
    classifier: ClassifierGroup,
    report: Annotated[
        Path | None,
        typer.Option(metavar="OUT.html", help="Write a page: curves, gain, pictures, mistakes."),
    ] = None,
    input: InputGroup,
    selection: SelectionGroup,
    run: RunGroup,
    trust_model_code: TrustModelCode = False,
    as_json: Json = False,
) -> None:
    """Train a network on labelled images, and compare it with a head on its frozen features.

    The same command goes on where it was interrupted.

    Example: featx fine-tune flowers --head head --unfreeze 20 -o run --report run.html
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.tuning_tables import show_fine_tune_report

    if report is not None:
        from featx.report.page import check_page_path
        from featx.report.tuning_page import write_tuning_page

        check_page_path(report)
    tuned = featx.fine_tune(
        images or ".",
        head=head,
        model=model,
        weights=weights,
        output=output,
        overwrite=overwrite,
        trust_model_code=trust_model_code,
        lesson=lesson,
        classifier=classifier,
        freezing=freezing,
        training=training,
        input=input,
        selection=selection,
        run=run,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(tuned.to_dict())
    else:
        show_fine_tune_report(tuned)
    if report is not None:
        write_tuning_page(tuned, report)
    exit_with(SOME_FAILED if tuned.failures else 0)
