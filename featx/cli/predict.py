"""`featx predict`: classes of new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.groups import spread_groups
from featx.cli.options import (
    IMAGES_HELP,
    SOME_FAILED,
    AllowDownload,
    CsvSafe,
    InputGroup,
    Json,
    ReadRunGroup,
    SelectionGroup,
    Signature,
    TrustModelCode,
    exit_with,
)
from featx.cli.predict_options import DecisionGroup
from featx.specs import DEFAULT_TOP


@spread_groups
def predict(
    *,
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGES", help=IMAGES_HELP)] = None,
    selection: SelectionGroup,
    head: Annotated[
        Path | None,
        typer.Option(help="The head's folder, from `fit-head`. [default: head, without -m]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            "--model-name",
            metavar="MODEL",
            help="Instead of a head: a model with a classifier of its own, e.g. keras:VGG16.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|random|PATH",
            help="Of the Keras application that -m names; with a head, where the model's weights "
            "or file are now, if moved.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|FILE",
            help="With -m, names of the classes: text with a name in each line, CSV (index,name) "
            "or JSON. [default: numbers]",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With -m, the classifier's output. [default: the model's last]"
        ),
    ] = None,
    signature: Signature = None,
    input: InputGroup,
    top: Annotated[
        int, typer.Option("--top", "-k", "-t", "--topk", min=1, help="Classes for each image.")
    ] = DEFAULT_TOP,
    decision: DecisionGroup,
    run: ReadRunGroup,
    trust_model_code: TrustModelCode = False,
    allow_download: AllowDownload = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a row for each image into a file: .csv, .parquet or .jsonl.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of -o if it exists.")
    ] = False,
    csv_safe: CsvSafe = False,
    as_json: Json = False,
) -> None:
    """Classify images, with a head or with a model's own classifier.

    For a head, they are prepared exactly as those it was fitted on; for -m, as the options from
    --img-size to --exif say. With -m, the classes are those of the model's last output; softmax is
    applied where it gives logits: values outside [0, 1], or sums that are not 1 within 0.001,
    unless a sigmoid gives them; a single sigmoid is the second of two classes. Where images have
    labels (class folders, a manifest) that are names of classes, the accuracy is shown too.
    With a head, IMAGES may be a feature store: the network is then not run. A head of several
    labels names those above their thresholds; one that predicts a number gives that.

    Example: featx predict new_photos --head head --json

    Example: featx predict features.h5 --head head --coverage 0.9 -o predictions.csv

    Example: featx predict photos -m keras:MobileNetV2 --labels imagenet -k 5
    """
    import featx
    from featx.features.query_images import require_images
    from featx.report.console import ConsoleListener
    from featx.report.prediction_files import check_prediction_path, is_csv
    from featx.report.predictions import PredictionOutput, describe_counts, write_results
    from featx.report.scalings import show_scalings

    if not images and selection.image_list is None:
        raise typer.BadParameter("name images, or a list of them with --image-list")
    if overwrite and output is None:
        raise typer.BadParameter("--overwrite goes with -o, the file to replace")
    if output is not None and as_json:
        raise typer.BadParameter("-o FILE.jsonl writes JSON lines into a file: take --json away")
    if csv_safe and (output is None or not is_csv(output)):
        raise typer.BadParameter("--csv-safe goes with -o FILE.csv")
    if output is not None:
        check_prediction_path(output, overwrite=overwrite)
    listener = ConsoleListener()
    if input.preprocess == "try" and model is not None:
        trials = featx.compare_scalings(
            images or (),
            model=model,
            weights=weights,
            signature=signature,
            layer=layer,
            trust_model_code=trust_model_code,
            input=input,
            selection=selection,
            run=run,
            listener=listener,
        )
        show_scalings(trials, as_json=as_json)
        return
    stream = featx.iter_predictions(
        images or (),
        head=head,
        model=model,
        weights=weights,
        labels=labels,
        layer=layer,
        signature=signature,
        top=top,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
        input=input,
        selection=selection,
        run=run,
        decision=decision,
        listener=listener,
    )
    written = PredictionOutput(output, as_json, top, decision, stream.task, csv_safe)
    failures = write_results(stream, written)
    try:
        require_images(stream, failures, stream.counts.num_images)
    except featx.errors.AllImagesFailed as error:
        listener.note(str(error))
    for note in describe_counts(
        stream.counts, decision, model=model if head is None else None, task=stream.task
    ):
        listener.note(note)
    exit_with(SOME_FAILED if failures else 0)
