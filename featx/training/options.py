"""Options of `fine_tune`, in groups: what to learn, which layers, how to train, what to vary.

As in `featx.options`, each field is also a keyword of the function: ``epochs=5`` is
``training=TrainingOptions(epochs=5)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, get_args

from featx.checks.flags import check_flag
from featx.checks.numbers import check_number, check_whole_number
from featx.checks.texts import check_choice, check_texts, split_names
from featx.errors import InvalidValue
from featx.heads.options import (
    FOLDERS,
    EvaluationOptions,
    HeadOptions,
    TaskOptions,
)
from featx.keywords import (
    CodeKeywords,
    InputKeywords,
    LayerSynonyms,
    RunKeywords,
    SelectionKeywords,
)
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_TEST_SIZE
from featx.wording import option

Optimizer = Literal["sgd", "rmsprop", "adam", "adamw"]
Schedule = Literal["constant", "cosine"]

AUGMENTATIONS = ("flip", "crop", "colour", "randaugment")
NO_AUGMENTATION = "none"

LEAST_CROPPED = 24
"""Pixels of the shorter side from which pictures are cropped unasked."""

ALL = "all"
NONE = "none"

CLASS_KIND, NUMBER_KIND = "linear", "ridge"
"""Kinds of head that a network gets if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class LessonOptions:
    """Which pictures are learned from, and which are held out.

    Attributes:
        labels: ``folders`` for those that came with the images (class folders, or those of a
            manifest); or a table, in CSV or Parquet, with the columns path, label and optionally
            split.
        label_columns: For several labels for each image: see `featx.TaskOptions`.
        target: For a number: see `featx.TaskOptions`.
        class_weight: How much images of each class count: see `featx.TaskOptions`.
        sample_weight: A column that says how much each image counts: see `featx.TaskOptions`.
        test_size: Share of each class held out to compare the network before and after on, above 0
            and below 1. Ignored where a split is given.
        val_size: Share of the other images that chooses the best epoch, in [0, 1). With 0 it is the
            last one.
        ignore_split: Hold out images as if no split were given.
        groups: A column of the labels table or of the images' source: images with the same value
            are always on the same side.
        near_duplicates: Least similarity of pictures that belong on the same side; see
            `featx.EvaluationOptions`.
        seed: For the split, the order of images, and everything else at random.
        allow_download: Fetch what files alone name and is not here: the model of a head, pictures
            at the URLs of a table.
    """

    labels: str | Path = FOLDERS
    label_columns: Sequence[str] = ()
    target: str | None = None
    class_weight: str | Path | Mapping[str, float] | None = None
    test_size: float = DEFAULT_TEST_SIZE
    val_size: float = 0.1
    ignore_split: bool = False
    groups: str | None = None
    near_duplicates: float | Literal["auto", "off"] = "auto"
    seed: int = 0
    sample_weight: str | None = None
    allow_download: bool = False

    def __post_init__(self) -> None:
        self.evaluation()
        check_flag("allow_download", self.allow_download)
        object.__setattr__(self, "label_columns", self.task().label_columns)
        share = check_number("val_size", self.val_size)
        if share is None or not 0 <= share < 1:
            raise InvalidValue(
                f"{option('val_size')} is a share in [0, 1). Received: {self.val_size}."
            )
        if not self.test_size > 0:
            raise InvalidValue(
                "Without held-out images nothing can be said of the fine-tuned network: "
                f"{option('test_size')} is above 0. Received: {self.test_size}."
            )

    def task(self) -> TaskOptions:
        """Return what is learned, as for `featx.fit_head`."""
        return TaskOptions(
            self.labels, self.label_columns, self.target, self.class_weight, self.sample_weight
        )

    def evaluation(self) -> EvaluationOptions:
        """Return what is held out, as for `featx.fit_head`."""
        return EvaluationOptions(
            test_size=self.test_size,
            ignore_split=self.ignore_split,
            groups=self.groups,
            near_duplicates=self.near_duplicates,
        )


@dataclass(frozen=True, slots=True)
class ClassifierOptions:
    """What is put on the network in place of its own end.

    Attributes:
        layer: The layer that it is put on. When None, the one before the network's own last dense
            layer, or else the last feature map.
        kind: The kind of head, one that is made of layers; ``linear``, or ``ridge`` of a number,
            when None.
        hidden: Of ``mlp``: widths of the hidden layers; one of 128 when None.
        pool: How a map is made a vector.
    """

    layer: str | int | None = None
    kind: str | None = None
    hidden: tuple[int, ...] | None = None
    pool: str = DEFAULT_READ_POOLING

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", HeadOptions(hidden=self.hidden).hidden)

    def fit(self, lesson: LessonOptions) -> HeadOptions:
        """Return how it is fitted on frozen features, as for `featx.fit_head`."""
        kind = CLASS_KIND if lesson.target is None else NUMBER_KIND
        return HeadOptions(self.kind or kind, self.hidden)


@dataclass(frozen=True, slots=True)
class FreezingOptions:
    """Which layers of the network are trained, besides the new top.

    A layer is named, or numbered as `featx.layers` does; a range is ``0:249``, with either end
    left out for the first or the last layer.

    Attributes:
        unfreeze: ``all``, ``none``, a number of layers at the end, a layer from which on all are
            trained, or ranges.
        freeze: Layers or ranges that are not trained all the same.
        train_batch_norm: Whether batch normalisation is trained, too, with the statistics of each
            batch. Otherwise it computes as in prediction, as is better for small data sets.
    """

    unfreeze: str | int | Sequence[str] = ALL
    freeze: str | Sequence[str] = ()
    train_batch_norm: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.unfreeze, str) and not split_names(self.unfreeze):
            raise InvalidValue(
                f"{option('unfreeze')} names layers, or is {ALL} or {NONE}. Received: "
                f"{self.unfreeze!r}."
            )
        if self.unfreeze != ALL:
            object.__setattr__(self, "unfreeze", _read_names("unfreeze", self.unfreeze))
        object.__setattr__(self, "freeze", _read_names("freeze", self.freeze))
        check_flag("train_batch_norm", self.train_batch_norm)


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How the network is trained: its top alone, if asked for, then with the layers unfrozen.

    The top begins as a head that was fitted on frozen features, so no epochs of its own are needed,
    and Adam moves the network far enough to gain. The recipe of Keras's documentation, which is for
    new tops, is ``top_epochs=2, optimizer="sgd", learning_rate=1e-4``: RMSprop for the top, then
    SGD with momentum 0.9, here with gradients of a norm of at most 1. RMSprop's own rate of 1e-3
    makes a top that has been fitted worse.

    Attributes:
        top_epochs: Passes over the images before, in which only the top is trained, at least 0.
        top_learning_rate: Of RMSprop, above 0.
        epochs: Passes over the images in which the network is trained, at least 0.
        optimizer: ``adam``, ``adamw``, ``rmsprop``, or ``sgd`` (with momentum 0.9 and clipped
            gradients).
        learning_rate: Above 0; the largest of the schedule.
        schedule: ``constant``, or ``cosine``: rising in the first tenth of the steps, and falling
            to 0 by half a cosine.
        weight_decay: Share of the weights, times the rate, taken off at each step, at least 0.
        label_smoothing: Probability spread over all classes, in [0, 1). When None, 0.1 where there
            is one class for each image, and 0 for several labels.
        mixed_precision: Compute layers in bfloat16 and keep their weights in float32, which is
            faster on processors that have it.
        patience: Stop when so many epochs have not lowered the loss on the images of `val_size`;
            never when None.
        augment: How pictures are varied, anew in each epoch, by one or several of ``flip`` (mirror
            images), ``crop`` (other sections, of at least 70 % of each side), ``colour``
            (brightness, contrast, saturation) and ``randaugment`` (two operations of 11 at random:
            Cubuk et al., 2020); or ``none``. When None, ``flip`` for colour images (others, such
            as digits, mean something else in a mirror), and ``crop`` for those of at least 24
            pixels, of which something is left at the edges.
    """

    top_epochs: int = 0
    top_learning_rate: float = 1e-4
    epochs: int = 10
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    label_smoothing: float | None = None
    mixed_precision: bool = False
    patience: int | None = None
    augment: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        least = {"top_epochs": 0, "epochs": 0}
        if self.patience is not None:
            least["patience"] = 1
        for name, smallest in least.items():
            value = check_whole_number(name, getattr(self, name), least=smallest)
            object.__setattr__(self, name, value)
        if not self.epochs + self.top_epochs:
            raise InvalidValue(
                "Nothing would be trained. Received: "
                f"{option('epochs', 0)} and {option('top_epochs', 0)}."
            )
        check_choice("optimizer", self.optimizer, get_args(Optimizer))
        check_choice("schedule", self.schedule, get_args(Schedule))
        check_flag("mixed_precision", self.mixed_precision)
        for name in ("learning_rate", "top_learning_rate"):
            if not (check_number(name, getattr(self, name)) or 0) > 0:
                raise InvalidValue(f"{option(name)} is above 0. Received: {getattr(self, name)}.")
        if not (check_number("weight_decay", self.weight_decay) or 0) >= 0:
            raise InvalidValue(
                f"{option('weight_decay')} is at least 0. Received: {self.weight_decay}."
            )
        if not 0 <= (check_number("label_smoothing", self.label_smoothing) or 0) < 1:
            raise InvalidValue(
                f"{option('label_smoothing')} is in [0, 1). Received: {self.label_smoothing}."
            )
        if self.augment is not None:
            object.__setattr__(self, "augment", _read_augmentations(self.augment))

    def augmentations(self, channels: int, side: int) -> tuple[str, ...]:
        """Return the kinds for some images, in the order in which they come.

        Args:
            channels: Of the images.
            side: Their shorter side in pixels.

        Raises:
            InvalidValue: If one of them needs colour.
        """
        if self.augment is None:
            flip = ("flip",) if channels == 3 else ()
            return (*flip, "crop") if side >= LEAST_CROPPED else flip
        colour = [name for name in self.augment if name in ("colour", "randaugment")]
        if colour and channels != 3:
            raise InvalidValue(
                f"{option('augment', colour[0])} is for colour images. The network takes "
                f"{channels} channel{'s' if channels > 1 else ''}: choose flip, crop or none."
            )
        return tuple(name for name in AUGMENTATIONS if name in self.augment)


def _read_augmentations(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return kinds of augmentation as texts, in a tuple; none for ``none``."""
    names = split_names(given) if isinstance(given, str) else check_texts("augment", given)
    if names == (NO_AUGMENTATION,):
        names = ()
    for name in names:
        check_choice("kind of augmentation", name, (*AUGMENTATIONS, NO_AUGMENTATION))
    if NO_AUGMENTATION in names or len(set(names)) < len(names):
        raise InvalidValue(
            f"{option('augment')} names each kind once, or none. Received: {', '.join(names)}."
        )
    return names


def _read_names(name: str, value: str | int | Sequence[str]) -> tuple[str, ...]:
    """Return layers and ranges as texts, in a tuple."""
    if isinstance(value, bool):
        raise InvalidValue(f"{option(name)} takes layers. Received: {value}.")
    if isinstance(value, int):
        return (str(value),)
    return split_names(value) if isinstance(value, str) else check_texts(name, value)


class LessonKeywords(TypedDict, total=False):
    """The fields of `LessonOptions` as keywords."""

    labels: str | Path
    label_columns: Sequence[str]
    target: str | None
    sample_weight: str | None
    class_weight: str | Path | Mapping[str, float] | None
    test_size: float
    val_size: float
    ignore_split: bool
    groups: str | None
    near_duplicates: float | Literal["auto", "off"]
    seed: int
    allow_download: bool


class ClassifierKeywords(TypedDict, total=False):
    """The fields of `ClassifierOptions` as keywords."""

    layer: str | int | None
    kind: str | None
    hidden: tuple[int, ...] | None
    pool: str


class FreezingKeywords(TypedDict, total=False):
    """The fields of `FreezingOptions` as keywords."""

    unfreeze: str | int | Sequence[str]
    freeze: str | Sequence[str]
    train_batch_norm: bool


class TrainingKeywords(TypedDict, total=False):
    """The fields of `TrainingOptions` as keywords."""

    top_epochs: int
    top_learning_rate: float
    epochs: int
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    weight_decay: float
    label_smoothing: float | None
    mixed_precision: bool
    patience: int | None
    augment: str | Sequence[str] | None


class FineTuneKeywords(
    LessonKeywords,
    FreezingKeywords,
    TrainingKeywords,
    ClassifierKeywords,
    InputKeywords,
    SelectionKeywords,
    RunKeywords,
    LayerSynonyms,
    CodeKeywords,
    total=False,
):
    """The options that `featx.fine_tune` takes as keywords."""
