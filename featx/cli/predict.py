"""`featx predict`: classes of new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import (
    IMAGES_HELP,
    SOME_FAILED,
    BatchSize,
    Exclude,
    Frame,
    ImageList,
    Json,
    MaxPixels,
    MovedWeights,
    Split,
    TrustModelCode,
    Workers,
    exit_with,
)
from featx.specs import DEFAULT_BATCH_SIZE, DEFAULT_HEAD, DEFAULT_TOP


def predict(
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGES", help=IMAGES_HELP)] = None,
    exclude: Exclude = None,
    image_list: ImageList = None,
    split: Split = None,
    frame: Frame = None,
    max_pixels: MaxPixels = None,
    head: Annotated[Path, typer.Option(help="The head's folder, from `fit-head`.")] = Path(
        DEFAULT_HEAD
    ),
    top: Annotated[
        int, typer.Option("--top", "-k", "-t", "--topk", min=1, help="Classes for each image.")
    ] = DEFAULT_TOP,
    batch_size: BatchSize = DEFAULT_BATCH_SIZE,
    workers: Workers = None,
    weights: MovedWeights = None,
    trust_model_code: TrustModelCode = False,
    as_json: Json = False,
) -> None:
    """Classify images with a head.

    They are prepared exactly as those it was fitted on. Where images lie in folders named like
    the head's classes, the accuracy is shown too.

    Example: featx predict new_photos --head head --json
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_predictions
    from featx.report.tables import show_predictions

    if not images and image_list is None:
        raise typer.BadParameter("name images, or a list of them with --image-list")
    listener = ConsoleListener()
    report = featx.predict(
        images or (),
        exclude=exclude or (),
        image_list=image_list,
        split=split,
        frame=frame,
        max_pixels=max_pixels,
        head=head,
        top=top,
        batch_size=batch_size,
        workers=workers,
        weights=weights,
        trust_model_code=trust_model_code,
        listener=listener,
    )
    if as_json:
        write_predictions(report)
    else:
        show_predictions(report)
    if report.num_fitted_on:
        listener.note(
            f"the head was fitted on {report.num_fitted_on:,} of these "
            f"{len(report.predictions):,} images: they say nothing about its accuracy"
        )
    if report.accuracy is not None:
        listener.note(
            f"accuracy {report.accuracy:.4f} on the {report.num_labelled:,} new images in class "
            "folders"
        )
    exit_with(SOME_FAILED if report.failures else 0)
