"""Options that several commands share: one name, one help text, one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from featx.checks.layers import POOL_SYNONYMS
from featx.cli.groups import Group
from featx.cli.registry_choice import Choice
from featx.input_spec import ChannelOrder, Decode, Exif, Icc, Interpolation, Preprocess, Resize
from featx.options import InputOptions, RunOptions, Selection, UpdateOptions
from featx.poolings import vector_poolings
from featx.specs import Precision, ReadPrecision
from featx.units import parse_bytes, parse_img_size


def _list_engines() -> tuple[str, ...]:
    from featx.engines.engines import ENGINES  # Imported when a command explains its options.

    return ("auto", *ENGINES)


Json = Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout.")]
CsvSafe = Annotated[
    bool,
    typer.Option(
        "--csv-safe",
        help="For spreadsheets: an apostrophe before names in CSV files that look like formulas.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-j", min=1, help="Threads that read and decode. [default: one per core]"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        "-b",
        min=1,
        help="Images given to the network at a time. [default: what suits the engine]",
    ),
]
EngineOption = Annotated[
    str,
    typer.Option("--engine", help="What runs the network; 'auto' is what is fastest here."),
    Choice(_list_engines),
]
_PRECISION_HELP = "Of the arithmetic; 'auto' is bfloat16, or mixed, where features hardly change. "
PrecisionOption = Annotated[
    ReadPrecision | None,
    typer.Option("--precision", help=f"{_PRECISION_HELP}[default: auto, or the store's own]"),
]
ExtractPrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help=f"{_PRECISION_HELP}'int8' is calibrated on pictures of the run. "
        "[default: auto, or the store's own]",
    ),
]
ReadPrecisionOption = Annotated[
    ReadPrecision | None, typer.Option("--precision", help=f"{_PRECISION_HELP}[default: float32]")
]
MovedWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "--model",
        "-m",
        metavar="PATH",
        help="Where the model's weights or file are now, if moved.",
    ),
]
Signature = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Signature of a SavedModel or Hub module. [default: its default one, or the call]",
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        "--img-size", metavar="N|HxW", help="Input size in pixels. [default: the model's]"
    ),
]
PreprocessOption = Annotated[
    Preprocess,
    typer.Option(
        "--preprocess",
        help="Scaling of pixels; 'auto' is the model's own, 'try' only compares them.",
    ),
]
ChannelOrderOption = Annotated[
    ChannelOrder | None, typer.Option("--channel-order", help="[default: the model's]")
]
ResizeOption = Annotated[
    Resize | None,
    typer.Option("--resize", help="How a picture is fitted to the size. [default: stretch]"),
]
InterpolationOption = Annotated[
    Interpolation | None,
    typer.Option("--interpolation", help="Resampling filter. [default: bilinear]"),
]
ExifOption = Annotated[
    Exif | None,
    typer.Option("--exif", help="The camera's orientation tag. [default: apply]"),
]
DecodeOption = Annotated[
    Decode | None,
    typer.Option(
        "--decode",
        help="'fast' decodes large JPEGs at a fraction of their size, at least four times the "
        "model's; 'exact' always all pixels. [default: the store's own; at first fast, if that "
        "keeps the features of some of the pictures]",
    ),
]
IccOption = Annotated[
    Icc | None,
    typer.Option(
        "--icc",
        help="Convert pictures to sRGB by their colour profiles, or ignore these, as Keras does. "
        "[default: ignore, or the store's own]",
    ),
]
BARE_TRUST = "True"
"""What `featx.cli.commands` puts behind the option where no file follows it."""

TrustModelCode = Annotated[
    Any,
    typer.Option(
        "--trust-model-code",
        metavar="[FILE.py]",
        parser=lambda value: True if value == BARE_TRUST else value,
        show_default=False,
        help="Run code that a model brings: Lambda layers, classes of modules beside a Keras file, "
        "operations that do more than compute. With a file, run it, and take classes from there.",
    ),
]
AllowDownload = Annotated[
    bool,
    typer.Option(
        "--allow-download",
        help="Fetch what the files given here name and is not on this machine: a model, pictures "
        "at a URL.",
    ),
]
StoreArgument = Annotated[
    Path, typer.Argument(metavar="FEATURES", help="A feature store that `extract` wrote.")
]
SingleFileLimit = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Above this size a store refers to part files. [default: 4 GB, or the store's own]",
    ),
]
OneLayer = Annotated[
    str | None,
    typer.Option(
        "--layer",
        "--layers",
        "--module-name",
        metavar="NAME",
        help="A layer of the store. [default: its deepest]",
    ),
]
ReadPool = Annotated[
    str,
    typer.Option("--pool", help="Pooling of layers that were stored as maps."),
    Choice(lambda: (*vector_poolings(), *POOL_SYNONYMS)),
]


IMAGES_HELP = (
    "Folders, files, globs, archives (.tar, .zip), manifests (.csv, .jsonl, .parquet), arrays "
    "(.npz), URLs."
)
Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="IMAGES", help=f"{IMAGES_HELP} [default: the current folder]"),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="GLOB", help="Leave out keys, file or folder names; repeat it."
    ),
]
ImageList = Annotated[
    str | None,
    typer.Option(
        "--image-list",
        metavar="FILE",
        help="Take images from it: one path in each line, or as find -print0 writes them; - is "
        "stdin.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="Only this split of manifests, arrays, or folders called train, val, test.",
    ),
]
Frame = Annotated[
    str | None,
    typer.Option(
        "--frame",
        metavar="N|all",
        help="Of animations and pages this one, from 0, or all. [default: the first]",
    ),
]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--class-names",
        metavar="FILE",
        help="Names for labels that are numbers, as those of arrays: text with one in each line, "
        "CSV (index,name) or JSON.",
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Largest picture that is decoded. [default: 201326592]",
    ),
]


def make_input(
    img_size: ImageSize = None,
    preprocess: PreprocessOption = "auto",
    channel_order: ChannelOrderOption = None,
    resize: ResizeOption = None,
    interpolation: InterpolationOption = None,
    exif: ExifOption = None,
    decode: DecodeOption = None,
    icc: IccOption = None,
) -> InputOptions:
    """Return how pictures become pixels."""
    size = parse_img_size(img_size) if img_size else None
    return InputOptions(size, preprocess, channel_order, resize, interpolation, exif, decode, icc)


def make_selection(
    exclude: Exclude = None,
    image_list: ImageList = None,
    split: Split = None,
    frame: Frame = None,
    class_names: ClassNames = None,
) -> Selection:
    """Return which images are wanted, and what their classes are called."""
    return Selection(exclude or (), image_list, split, frame, class_names)


def make_run(
    max_pixels: MaxPixels = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = None,
) -> RunOptions:
    """Return how images are read and the network is run."""
    return RunOptions(max_pixels, batch_size, workers, engine, precision)


def make_extract_run(
    max_pixels: MaxPixels = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    engine: EngineOption = "auto",
    precision: ExtractPrecisionOption = None,
) -> RunOptions:
    """Return the same for pictures on which 8 bits can be calibrated."""
    return RunOptions(max_pixels, batch_size, workers, engine, precision)


def make_read_run(
    max_pixels: MaxPixels = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    engine: EngineOption = "auto",
    precision: ReadPrecisionOption = None,
) -> RunOptions:
    """Return the same for images that are compared with others."""
    return RunOptions(max_pixels, batch_size, workers, engine, precision)


def _parse_shard(text: str) -> tuple[int, int] | str:
    from featx.images.sharding import parse_shard  # Of few runs.

    return parse_shard(text)


def make_update(
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over instead of adding to the store.")
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
        bool, typer.Option("--retry-failed", help="Retry images that failed and have not changed.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="i/n|auto", help="Only the i-th of n parts of the images; auto: of a job array."
        ),
    ] = None,
    single_file_limit: SingleFileLimit = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another process that writes to the store.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="local|auto|ray://HOST:PORT",
            help="Divide the work among Ray workers, started here or on a running cluster.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Workers on the cluster. [default: as many as have room]"
        ),
    ] = None,
    num_cpus: Annotated[
        float | None,
        typer.Option(metavar="N", help="Cores of a worker. [default: those of the smallest node]"),
    ] = None,
    num_gpus: Annotated[
        float | None,
        typer.Option(metavar="N", help="GPUs of a worker; 0.5: two share one. [default: none]"),
    ] = None,
    cpu_workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Further workers without GPUs. [default: none]"),
    ] = None,
    allow_download: AllowDownload = False,
) -> UpdateOptions:
    """Return how the store is brought up to date."""
    return UpdateOptions(
        overwrite=overwrite,
        prune=prune,
        strict=strict,
        max_failures=max_failures,
        retry_failed=retry_failed,
        shard=_parse_shard(shard) if shard else None,
        single_file_limit=parse_bytes(single_file_limit) if single_file_limit else None,
        wait=wait,
        dry_run=dry_run,
        cluster=cluster,
        concurrency=concurrency,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        cpu_workers=cpu_workers,
        allow_download=allow_download,
    )


InputGroup = Annotated[InputOptions, Group(make_input)]
SelectionGroup = Annotated[Selection, Group(make_selection)]
RunGroup = Annotated[RunOptions, Group(make_run)]
ExtractRunGroup = Annotated[RunOptions, Group(make_extract_run)]
ReadRunGroup = Annotated[RunOptions, Group(make_read_run)]
UpdateGroup = Annotated[UpdateOptions, Group(make_update)]


SOME_FAILED = 3
"""Exit status of a job that finished although some images failed."""


def exit_with(status: int) -> None:
    """Leave the program with a status other than 0."""
    if status:
        raise typer.Exit(status)
