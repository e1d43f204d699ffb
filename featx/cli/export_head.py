"""`featx export-head`: a head with its model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import AllowDownload, Json, MovedWeights, TrustModelCode
from featx.specs import DEFAULT_HEAD, Quantize


def export_head(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A .keras, .tflite or .onnx file; without an ending the folder of a SavedModel.",
        ),
    ],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="The head's folder.")] = Path(
        DEFAULT_HEAD
    ),
    quantize: Annotated[
        Quantize,
        typer.Option(
            help="Of a .tflite file: smaller numbers, half or a quarter of the size.",
        ),
    ] = "none",
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="IMAGES",
            help="Compare with featx on these. [default: pictures of the head's store]",
        ),
    ] = None,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(
            "--calibrate",
            metavar="IMAGES",
            help="Calibrate int8 with these. [default: others of the head's store]",
        ),
    ] = None,
    weights: MovedWeights = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "--force", help="Replace an earlier export.")
    ] = False,
    trust_model_code: TrustModelCode = False,
    allow_download: AllowDownload = False,
    as_json: Json = False,
) -> None:
    """Write a head together with its model as one model that needs no featx.

    Preparation of pictures, network and head are inside. The file is loaded again in a new process
    and compared with `featx predict` before it gets its name. labels.txt and a model card are
    written with it.

    Example: featx export-head head -o flowers.keras

    Example: featx export-head head -o flowers.tflite --quantize int8
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.tables import show_head_export

    report = featx.export_head(
        head,
        output=output,
        quantize=quantize,
        check=check or (),
        calibrate=calibrate or (),
        weights=weights,
        overwrite=overwrite,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(report.to_dict())
    else:
        show_head_export(report)
