"""Options of `featx fine-tune`, in groups; see `featx.training.options`."""

from __future__ import annotations

from typing import Annotated

import typer

from featx.checks.layers import POOL_SYNONYMS
from featx.checks.texts import split_names
from featx.cli.fit_options import (
    IgnoreSplit,
    LabelColumns,
    NearDuplicates,
    SampleWeight,
    Target,
    parse_similarity,
)
from featx.cli.groups import Group
from featx.cli.options import AllowDownload
from featx.cli.registry_choice import Choice
from featx.heads.kinds import HEADS
from featx.heads.options import FOLDERS, parse_hidden
from featx.poolings import vector_poolings
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_TEST_SIZE
from featx.training.options import (
    ALL,
    AUGMENTATIONS,
    NO_AUGMENTATION,
    ClassifierOptions,
    FreezingOptions,
    LessonOptions,
    Optimizer,
    Schedule,
    TrainingOptions,
)


def make_lesson(
    labels: Annotated[
        str,
        typer.Option(
            metavar="folders|FILE",
            help="'folders' for class folders, or a manifest's labels; or a table (.csv, "
            ".jsonl, .parquet) with the columns path, label and optionally split.",
        ),
    ] = FOLDERS,
    label_columns: LabelColumns = None,
    target: Target = None,
    class_weight: Annotated[
        str | None,
        typer.Option(
            metavar="balanced|FILE",
            help="How much images of each class count: 'balanced' for all classes alike, or a "
            "table (.csv) with the columns class and weight.",
        ),
    ] = None,
    test_size: Annotated[
        float,
        typer.Option(help="Share of each class held out for the comparison, 0 to 1."),
    ] = DEFAULT_TEST_SIZE,
    val_size: Annotated[
        float, typer.Option(help="Share of the others that chooses the best epoch, 0 to 1.")
    ] = 0.1,
    ignore_split: IgnoreSplit = False,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="A column: images with the same value stay on one side."
        ),
    ] = None,
    near_duplicates: NearDuplicates = "auto",
    seed: Annotated[
        int, typer.Option(help="For the split, the order of images and all else at random.")
    ] = 0,
    sample_weight: SampleWeight = None,
    allow_download: AllowDownload = False,
) -> LessonOptions:
    """Return what is learned from."""
    return LessonOptions(
        labels,
        split_names(label_columns) if label_columns else (),
        target,
        class_weight,
        test_size,
        val_size,
        ignore_split,
        groups,
        parse_similarity(near_duplicates),
        seed,
        sample_weight,
        allow_download,
    )


def make_classifier(
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|INDEX",
            help="Of -m: the layer that the new head is on. [default: the one before the "
            "network's own last dense layer, or its last map]",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Of -m: the kind of head that is put on the network. [default: linear; ridge for "
            "a number]"
        ),
        Choice(lambda: HEADS.names),
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Of mlp: widths of the hidden layers. [default: 128]"),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(help="Of -m: how a map is made a vector."),
        Choice(lambda: (*vector_poolings(), *(n for n in POOL_SYNONYMS if n != "none"))),
    ] = DEFAULT_READ_POOLING,
) -> ClassifierOptions:
    """Return what is put on a network."""
    return ClassifierOptions(layer, kind, parse_hidden(hidden) if hidden else None, pool)


def make_freezing(
    unfreeze: Annotated[
        str,
        typer.Option(
            metavar="all|none|N|LAYER|RANGES",
            help="Train all layers, none, the last N, those from LAYER on, or ranges such as "
            "249:; numbers are those of 'featx layers'.",
        ),
    ] = ALL,
    freeze: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER|RANGE[,...]", help="Do not train these all the same, such as 0:249."
        ),
    ] = None,
    train_batch_norm: Annotated[
        bool,
        typer.Option(
            "--train-batch-norm",
            help="Train batch normalisation, too, with the statistics of each batch.",
        ),
    ] = False,
) -> FreezingOptions:
    """Return which layers are trained."""
    return FreezingOptions(unfreeze, freeze or (), train_batch_norm)


def make_training(
    top_epochs: Annotated[
        int, typer.Option(min=0, help="Epochs before, in which the top alone is trained.")
    ] = 0,
    top_learning_rate: Annotated[float, typer.Option(help="Of RMSprop, in these epochs.")] = 1e-4,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of the network.")] = 10,
    optimizer: Annotated[Optimizer, typer.Option(help="sgd has a momentum of 0.9.")] = "adam",
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", help="Of the network.")
    ] = 1e-3,
    schedule: Annotated[
        Schedule,
        typer.Option(help="cosine: the rate rises for a tenth of the steps, then falls to 0."),
    ] = "cosine",
    weight_decay: Annotated[
        float, typer.Option(help="Share of weights, times the rate, taken off at each step.")
    ] = 0.0,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            help="Probability spread over all classes. [default: 0.1; 0 for several labels]"
        ),
    ] = None,
    mixed_precision: Annotated[
        bool,
        typer.Option("--mixed-precision", help="Compute layers in bfloat16, keep float32 weights."),
    ] = False,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without improvement. [default: never]"),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help=f"How pictures are varied: {', '.join(AUGMENTATIONS)} or {NO_AUGMENTATION}. "
            "[default: flip,crop; no flip without colour, no crop below 24 pixels]",
        ),
    ] = None,
) -> TrainingOptions:
    """Return how the network is trained."""
    return TrainingOptions(
        top_epochs,
        top_learning_rate,
        epochs,
        optimizer,
        learning_rate,
        schedule,
        weight_decay,
        label_smoothing,
        mixed_precision,
        patience,
        augment,
    )


LessonGroup = Annotated[LessonOptions, Group(make_lesson)]
ClassifierGroup = Annotated[ClassifierOptions, Group(make_classifier)]
FreezingGroup = Annotated[FreezingOptions, Group(make_freezing)]
TrainingGroup = Annotated[TrainingOptions, Group(make_training)]
