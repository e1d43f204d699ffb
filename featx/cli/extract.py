"""`featx extract`: images in, feature store out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import (
    IMAGES_HELP,
    SOME_FAILED,
    BatchSize,
    ChannelOrderOption,
    EngineOption,
    Exclude,
    ExifOption,
    Frame,
    ImageList,
    ImageSize,
    InterpolationOption,
    Json,
    MaxPixels,
    PrecisionOption,
    PreprocessOption,
    ResizeOption,
    Signature,
    SingleFileLimit,
    Split,
    TrustModelCode,
    Workers,
    exit_with,
)
from featx.cli.registry_choice import Choice
from featx.models.sources import list_spellings
from featx.poolings import POOLINGS
from featx.specs import (
    DEFAULT_POOLING,
    DEFAULT_STORAGE_TYPE,
    DEFAULT_STORE,
    Decode,
    StorageType,
    parse_img_size,
)
from featx.units import parse_bytes


def extract(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGES", help=f"{IMAGES_HELP} [default: the current folder]"),
    ] = None,
    exclude: Exclude = None,
    image_list: ImageList = None,
    split: Split = None,
    frame: Frame = None,
    max_pixels: MaxPixels = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            "--model-name",
            metavar="MODEL",
            help=f"{', '.join(list_spellings())}, or a bare name, path or URL.",
        ),
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
            "--module-name",
            metavar="NAME|GLOB|INDEX",
            help="A layer; repeat it, or separate by commas. [default: the last feature map]",
        ),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(help="Reduce maps (h, w, c); 'none' stores them as they are."),
        Choice(lambda: POOLINGS.names),
    ] = DEFAULT_POOLING,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The feature store to write or to go on with.")
    ] = Path(DEFAULT_STORE),
    dtype: Annotated[
        StorageType, typer.Option(help="How values are stored.")
    ] = DEFAULT_STORAGE_TYPE,
    img_size: ImageSize = None,
    preprocess: PreprocessOption = "auto",
    channel_order: ChannelOrderOption = None,
    resize: ResizeOption = None,
    interpolation: InterpolationOption = None,
    exif: ExifOption = None,
    decode: Annotated[
        Decode | None,
        typer.Option(
            help="'fast' decodes large JPEGs at a fraction of their size, at least twice the "
            "model's; 'exact' always all pixels. [default: fast, or the store's own]"
        ),
    ] = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh instead of adding to the store.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove rows whose image is gone.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first image that fails.")
    ] = False,
    max_failures: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Stop when more than N images fail.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed and has not changed.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="i/n", help="Only the i-th of n parts of the images; see `merge`."),
    ] = None,
    single_file_limit: SingleFileLimit = None,
    trust_model_code: TrustModelCode = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another process that writes to the store.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute features of images once, into a feature store.

    Running it again computes only what is new or changed, and finishes what was interrupted.

    Example: featx extract photos -m keras:VGG19 --layer block4_pool --pool avg
    """
    import featx
    from featx.images.sharding import parse_shard
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_extract_report

    report = featx.extract(
        images or ".",
        exclude=exclude or (),
        image_list=image_list,
        split=split,
        frame=frame,
        max_pixels=max_pixels,
        model=model,
        weights=weights,
        signature=signature,
        layers=[name for value in layer or [] for name in value.split(",")],
        pool=pool,
        output=output,
        dtype=dtype,
        img_size=parse_img_size(img_size) if img_size else None,
        preprocess=preprocess,
        channel_order=channel_order,
        resize=resize,
        interpolation=interpolation,
        exif=exif,
        decode=decode,
        batch_size=batch_size,
        workers=workers,
        engine=engine,
        precision=precision,
        overwrite=overwrite,
        prune=prune,
        strict=strict,
        max_failures=max_failures,
        retry_failed=retry_failed,
        shard=parse_shard(shard) if shard else None,
        single_file_limit=parse_bytes(single_file_limit) if single_file_limit else None,
        trust_model_code=trust_model_code,
        wait=wait,
        dry_run=dry_run,
        listener=ConsoleListener(),
    )
    if as_json:
        write_json(report.to_dict())
    else:
        show_extract_report(report)
    exit_with(SOME_FAILED if report.failed else 0)
