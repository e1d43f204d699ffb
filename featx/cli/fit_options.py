"""Options of `featx fit-head`, in groups; see `featx.heads.options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from featx.checks.texts import split_names
from featx.cli.groups import Group
from featx.cli.options import CsvSafe
from featx.cli.registry_choice import Choice, Help
from featx.errors import join_names
from featx.heads.kinds import HEADS
from featx.heads.options import (
    AUTO,
    DEFAULT_DROPOUT,
    DEFAULT_HEAD_KIND,
    FOLDERS,
    EvaluationOptions,
    FeatureOptions,
    HeadOptions,
    TaskOptions,
    parse_hidden,
)
from featx.poolings import vector_poolings
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_TEST_SIZE
from featx.units import parse_bytes

IgnoreSplit = Annotated[
    bool,
    typer.Option(
        "--ignore-split", help="Hold out a share of each class although a split is given."
    ),
]
NearDuplicates = Annotated[
    str,
    typer.Option(
        metavar="auto|off|COSINE",
        help="Images whose features have at least this cosine, less their mean, stay on one "
        "side. auto: 0.995, unless most images do.",
    ),
]

LabelColumns = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN[,COLUMN]",
        help="Learn several labels for each image: columns of the labels table, or that came with "
        "the images, with 0 and 1, or one of texts such as 'cat|dog' (label: the images' own "
        "labels).",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Learn a number: a column of the labels table, or one that came with the images.",
    ),
]
SampleWeight = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="A column of the labels table, or one that came with the images: how much each image "
        "counts in the fit.",
    ),
]


def make_feature(
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            "--layers",
            "--module-name",
            metavar="NAME[,NAME]|GLOB|all",
            help="A layer of the store; of several the best is taken. [default: its deepest]",
        ),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(metavar="NAME[,NAME]"),
        Help(
            lambda: (
                "Pooling of layers that were stored as maps: "
                f"{join_names(vector_poolings())}; of several, the best is taken."
            )
        ),
    ] = DEFAULT_READ_POOLING,
) -> FeatureOptions:
    """Return which stored feature a head is fitted on."""
    return FeatureOptions(layer, pool)


def make_task(
    labels: Annotated[
        str,
        typer.Option(
            metavar="folders|FILE",
            help="'folders' for those in the store (class folders, or a manifest's), or a table "
            "(.csv, .jsonl, .parquet) with the columns path, label and optionally split.",
        ),
    ] = FOLDERS,
    label_columns: LabelColumns = None,
    target: Target = None,
    class_weight: Annotated[
        str | None,
        typer.Option(
            metavar="balanced|FILE",
            help="How much images of each class count in the fit: 'balanced' for all classes "
            "alike, or a table (.csv) with the columns class and weight.",
        ),
    ] = None,
    sample_weight: SampleWeight = None,
) -> TaskOptions:
    """Return what a head learns."""
    columns = split_names(label_columns) if label_columns else ()
    return TaskOptions(labels, columns, target, class_weight, sample_weight)


def make_evaluation(
    test_size: Annotated[
        float, typer.Option(help="Share of each class held out to measure on, 0 to 1.")
    ] = DEFAULT_TEST_SIZE,
    ignore_split: IgnoreSplit = False,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Also fit on a 16th to a half of the images, and measure each; as --report does.",
        ),
    ] = False,
    cv: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="K",
            help="Cross-validate in K folds: every image is measured on once, a given split is "
            "not used.",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of the labels table or the store: images with the same value stay on "
            "one side.",
        ),
    ] = None,
    near_duplicates: NearDuplicates = "auto",
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.csv",
            help="Write a line for each held-out image: true and predicted class, probabilities.",
        ),
    ] = None,
    csv_safe: CsvSafe = False,
) -> EvaluationOptions:
    """Return how a head is measured."""
    return EvaluationOptions(
        test_size,
        ignore_split,
        learning_curve,
        cv,
        groups,
        parse_similarity(near_duplicates),
        rows,
        csv_safe,
    )


def parse_similarity(text: str) -> float | Literal["auto", "off"]:
    """Return the value of ``--near-duplicates``."""
    if text == "auto":
        return "auto"
    if text == "off":
        return "off"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"--near-duplicates takes auto, off or a number, such as 0.995. Received: {text!r}."
        ) from None


def make_head(
    kind: Annotated[
        str,
        typer.Option(help="The kind of head; 'auto' compares those that suit the data."),
        Choice(lambda: (AUTO, *HEADS.names)),
    ] = DEFAULT_HEAD_KIND,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Of mlp: widths of the hidden layers. [default: 128]"),
    ] = None,
    dropout: Annotated[
        float, typer.Option(help="Of mlp: share of values left out at each step, 0 to 1.")
    ] = DEFAULT_DROPOUT,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="SIZE",
            help="What the process may take, such as 1GB: larger features are read from the store "
            "again and again. [default: as they need]",
        ),
    ] = None,
) -> HeadOptions:
    """Return which head is fitted."""
    memory = None if max_memory is None else parse_bytes(max_memory)
    return HeadOptions(kind, parse_hidden(hidden) if hidden else None, dropout, memory)


FeatureGroup = Annotated[FeatureOptions, Group(make_feature)]
TaskGroup = Annotated[TaskOptions, Group(make_task)]
EvaluationGroup = Annotated[EvaluationOptions, Group(make_evaluation)]
HeadGroup = Annotated[HeadOptions, Group(make_head)]
