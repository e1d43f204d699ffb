"""Options of `fit_head`, in groups: which feature, what to learn, how to measure, which head.

As in `featx.options`, each field is also a keyword of the function: ``kind="linear"`` is
``head=HeadOptions(kind="linear")``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from featx.checks.numbers import check_number, check_whole_number, check_widths
from featx.checks.texts import check_texts, split_names
from featx.errors import InvalidValue
from featx.keywords import LayerSynonyms
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_TEST_SIZE
from featx.wording import option

AUTO = "auto"
"""Value of ``--kind`` that compares kinds."""

DEFAULT_HEAD_KIND = AUTO

DEFAULT_DROPOUT = 0.3

FOLDERS = "folders"
"""Value of ``--labels`` for the labels in the store: class folders, or those that a manifest or
another source of the images gave."""


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """Which stored feature a head is fitted on.

    Attributes:
        layer: The layer, by name or place; the deepest in the store when None. Several (``all``, a
            glob, a list, or names between commas) are compared, and the best one is fitted.
        pool: Pooling of layers that were stored as maps; several are compared, too.
    """

    layer: str | int | Sequence[str | int] | None = None
    pool: str | Sequence[str] = DEFAULT_READ_POOLING


@dataclass(frozen=True, slots=True)
class FeatureChoice:
    """One stored feature.

    Attributes:
        layer: The layer, by name or place; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps.
    """

    layer: str | int | None = None
    pool: str = DEFAULT_READ_POOLING


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What a head learns: one class for each picture unless it is asked for something else.

    Attributes:
        labels: ``folders`` for those in the store (class folders, or those of a manifest); or a
            table, in CSV or Parquet, with the columns path, label and optionally split.
        label_columns: For several labels for each picture: columns of the labels table or of the
            store, each a label, with 0 and 1; or one column of texts such as ``cat|dog``, ``label``
            for the pictures' own labels. Pictures are left out that miss one of the values.
        target: For a number: a column of the labels table or of the store. Pictures without one
            are left out.
        class_weight: How much images of each class count in the fit: ``balanced`` for all classes
            alike, however many images they have; a CSV file with the columns class and weight; or
            weights by the names of classes. A picture with several labels counts as they do on
            average. All images count alike when None.
        sample_weight: A column of the labels table or of the store: how much each image counts in
            the fit, above 0; 1 where it is missing. Measures count every image once.
    """

    labels: str | Path = FOLDERS
    label_columns: Sequence[str] = ()
    target: str | None = None
    class_weight: str | Path | Mapping[str, float] | None = None
    sample_weight: str | None = None

    def __post_init__(self) -> None:
        given = self.label_columns
        names = (
            split_names(given) if isinstance(given, str) else check_texts("label_columns", given)
        )
        object.__setattr__(self, "label_columns", names)
        if names and self.target is not None:
            raise InvalidValue(
                f"{option('label_columns')} learns labels, {option('target')} a number: choose one."
            )
        if len(set(names)) < len(names):
            raise InvalidValue(
                f"{option('label_columns')} names each column once. Received: {', '.join(names)}."
            )
        if self.target is not None and self.class_weight is not None:
            raise InvalidValue(
                f"{option('class_weight')} weighs classes, of which a number has none. Take it "
                f"away, or weigh images with {option('sample_weight', 'COLUMN')}."
            )


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How a head is measured.

    Attributes:
        test_size: Share of each class held out to measure on, in [0, 1). Ignored where a split is
            given: by the table, else by the store (from a manifest's column, or the names of arrays
            or folders), if it has both training rows and others. Identical files are always on the
            same side.
        ignore_split: Hold out rows as if no split were given.
        learning_curve: Also fit on parts of the training rows, and measure each.
        cv: Number of folds of a cross-validation, at least 2, instead of one held-out part: every
            row is held out once, and a given split is not used.
        groups: A column of the labels table or of the store: rows with the same value, such as
            photographs of one product, are always on the same side. Rows without one are each for
            themselves.
        near_duplicates: Least similarity of pictures that belong on the same side because they
            are almost equal, in (0, 1]: the cosine of their features, less the mean of all.
            ``auto``: 0.995, for features of at least 16 values and up to 100,000 pictures, unless
            more than half of them have such a near-duplicate. ``off``: only identical files.
        rows: A CSV file to write, with a line for each held-out picture.
        csv_safe: In `rows`, write an apostrophe before names that a spreadsheet would take for a
            formula.
    """

    test_size: float = DEFAULT_TEST_SIZE
    ignore_split: bool = False
    learning_curve: bool = False
    cv: int | None = None
    groups: str | None = None
    near_duplicates: float | Literal["auto", "off"] = "auto"
    rows: str | Path | None = None
    csv_safe: bool = False

    def __post_init__(self) -> None:
        if self.cv is not None:
            object.__setattr__(self, "cv", check_whole_number("cv", self.cv, least=2))
        if not is_similarity(self.near_duplicates):
            raise InvalidValue(
                "The similarity of near-duplicates is a number above 0 and up to 1, 'auto' or "
                f"'off'. Received: {self.near_duplicates!r}."
            )
        share = check_number("test_size", self.test_size)
        if share is None or not 0 <= share < 1:
            raise InvalidValue(
                f"The held-out share is a number in [0, 1). Received: {self.test_size}."
            )


def is_similarity(value: object) -> bool:
    """Whether a value says from when on pictures are near-duplicates."""
    if isinstance(value, str):
        return value in ("auto", "off")
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """Which head is fitted.

    Attributes:
        kind: The kind of head; ``auto`` compares those that suit the number of examples by their
            loss on held-out rows.
        hidden: Of ``mlp``: widths of the hidden layers; one of 128 when None.
        dropout: Of ``mlp``: share of the values that each step leaves out before every layer, in
            [0, 1).
        max_memory: Bytes that the process may take, at least 1. Features that are too many for it
            stay in the store and are read again and again. A quarter of a GB is always needed;
            as much as there is may be taken when None.
    """

    kind: str = DEFAULT_HEAD_KIND
    hidden: tuple[int, ...] | None = None
    dropout: float = DEFAULT_DROPOUT
    max_memory: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= (check_number("dropout", self.dropout) or 0) < 1:
            raise InvalidValue(
                f"{option('dropout')} is a share in [0, 1). Received: {self.dropout}."
            )
        if self.max_memory is not None:
            least = check_whole_number("max_memory", self.max_memory, least=1)
            object.__setattr__(self, "max_memory", least)
        if self.hidden is None:
            return
        object.__setattr__(self, "hidden", check_widths("hidden", self.hidden))
        if min(self.hidden, default=0) < 1:
            raise InvalidValue(
                f"Hidden layers have widths of at least 1, such as 128,64. Received: {self.hidden}."
            )


def parse_hidden(text: str) -> tuple[int, ...]:
    """Read widths of layers.

    Raises:
        InvalidValue: If they are no whole numbers.

    Example:
        >>> parse_hidden("128,64")
        (128, 64)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidValue(
            f"{option('hidden')} takes widths of layers such as 128,64. Received: {text!r}."
        ) from None


class FeatureKeywords(TypedDict, total=False):
    """The fields of `FeatureOptions` as keywords."""

    layer: str | int | Sequence[str | int] | None
    pool: str | Sequence[str]


class TaskKeywords(TypedDict, total=False):
    """The fields of `TaskOptions` as keywords."""

    labels: str | Path
    label_columns: Sequence[str]
    target: str | None
    class_weight: str | Path | Mapping[str, float] | None
    sample_weight: str | None


class EvaluationKeywords(TypedDict, total=False):
    """The fields of `EvaluationOptions` as keywords."""

    test_size: float
    ignore_split: bool
    learning_curve: bool
    cv: int | None
    groups: str | None
    near_duplicates: float | Literal["auto", "off"]
    rows: str | Path | None
    csv_safe: bool


class HeadKeywords(TypedDict, total=False):
    """The fields of `HeadOptions` as keywords."""

    kind: str
    hidden: tuple[int, ...] | None
    dropout: float
    max_memory: int | None


class FitKeywords(
    FeatureKeywords, TaskKeywords, EvaluationKeywords, HeadKeywords, LayerSynonyms, total=False
):
    """The options that `featx.fit_head` takes as keywords."""
