"""`featx extract`: images in, feature store out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.checks.layers import POOL_SYNONYMS
from featx.checks.texts import split_names
from featx.cli.groups import spread_groups
from featx.cli.options import (
    SOME_FAILED,
    ExtractRunGroup,
    Images,
    InputGroup,
    Json,
    SelectionGroup,
    Signature,
    TrustModelCode,
    UpdateGroup,
    exit_with,
)
from featx.cli.registry_choice import Choice, Help
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_POOLING, DEFAULT_STORAGE_TYPE, DEFAULT_STORE, StorageType


def _describe_models() -> str:
    from featx.models.sources import list_spellings  # Imported when the command explains itself.

    return f"{', '.join(list_spellings())}, or a bare name, path or URL."


@spread_groups
def extract(
    *,
    images: Images = None,
    selection: SelectionGroup,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            "--model-name",
            metavar="MODEL",
        ),
        Help(_describe_models),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|random|PATH",
            help="Weights of a Keras application. [default: imagenet]",
        ),
    ] = None,
    signature: Signature = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "--layers",
            "--module-name",
            metavar="NAME|GLOB|INDEX",
            help="A layer; repeat it, or separate by commas. [default: the last feature map]",
        ),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(help="Reduce maps (h, w, c); 'none' stores them as they are."),
        Choice(lambda: (*POOLINGS.names, *POOL_SYNONYMS)),
    ] = DEFAULT_POOLING,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The feature store to write or to go on with.")
    ] = Path(DEFAULT_STORE),
    dtype: Annotated[
        StorageType, typer.Option(help="How values are stored.")
    ] = DEFAULT_STORAGE_TYPE,
    input: InputGroup,
    run: ExtractRunGroup,
    update: UpdateGroup,
    trust_model_code: TrustModelCode = False,
    as_json: Json = False,
) -> None:
    """Compute features of images once, into a feature store.

    Running it again computes only what is new or changed, and finishes what was interrupted.

    Example: featx extract photos -m keras:VGG19 --layer block4_pool --pool avg
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.scalings import show_scalings
    from featx.report.store_tables import show_extract_report

    layers = [name for value in layer or [] for name in split_names(value) or (value,)]
    if input.preprocess == "try":
        trials = featx.compare_scalings(
            images or ".",
            model=model,
            weights=weights,
            signature=signature,
            layer=layers[0] if layers else None,
            trust_model_code=trust_model_code,
            allow_download=update.allow_download,
            input=input,
            selection=selection,
            run=run,
            listener=ConsoleListener(),
        )
        show_scalings(trials, as_json=as_json)
        return
    listener = ConsoleListener()
    try:
        report = featx.extract(
            images or ".",
            model=model,
            weights=weights,
            signature=signature,
            layers=layers,
            pool=pool,
            output=output,
            dtype=dtype,
            trust_model_code=trust_model_code,
            input=input,
            selection=selection,
            run=run,
            update=update,
            listener=listener,
        )
    except featx.errors.AllImagesFailed as error:
        listener.note(str(error))
        report = error.report
    if as_json:
        write_json(report.to_dict())
    else:
        show_extract_report(report)
    exit_with(SOME_FAILED if report.failed else 0)
