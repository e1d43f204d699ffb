"""Options in groups: frozen data that several functions take, and that a script can use again.

Each function that takes a group takes its fields as keywords, too: ``workers=4`` is
``run=RunOptions(workers=4)``; `featx.keywords` says so to type checkers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from featx.checks.flags import check_flag, check_flag_or_none, check_verbose
from featx.checks.numbers import check_img_size, check_shard_or_auto, check_whole_number
from featx.checks.texts import check_choice, check_path, check_text, check_texts
from featx.errors import InvalidType, InvalidValue, RepeatedOption
from featx.events import Listener, Verbose, choose_listener
from featx.input_spec import (
    PREPROCESS_NAMES,
    ChannelOrder,
    Decode,
    Exif,
    Icc,
    InputSpec,
    Interpolation,
    Preprocess,
    Resize,
)
from featx.specs import Precision
from featx.wording import option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Layers = str | int | Sequence[str | int]
"""One layer or several: names, globs, or places in the list of layers, negative ones from its
end."""

Scale = Literal["unit", "byte"]
"""What floats in pictures mean: whether white is 1 or 255."""

OnError = Literal["raise", "nan"]
"""What `featx.Extractor` does with an image that cannot be read: an error, or a row of NaN."""


_CHOICES: Mapping[str, tuple[str, Any]] = {
    "channel_order": ("channel order", ChannelOrder),
    "resize": ("resize rule", Resize),
    "interpolation": ("interpolation", Interpolation),
    "exif": ("EXIF policy", Exif),
    "decode": ("way of decoding", Decode),
    "icc": ("policy for colour profiles", Icc),
}
"""Fields of `InputOptions` that are one of several texts: what they are called, and the texts."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How pictures become the pixels that a model gets: changes to the model's own preprocessing.

    These options are part of what identifies a feature, except where they repeat what the model
    does anyway.

    Attributes:
        img_size: ``(height, width)`` of the model's input in pixels, or one number for both, each
            at least 1; the model's own when None.
        preprocess: Scaling of pixels, see `InputSpec.scaling`; ``auto`` is the model's own. ``try``
            is for the command line, which then calls `featx.compare_scalings`.
        channel_order: ``rgb`` or ``bgr``. When None, that of a named `preprocess` (``caffe`` is
            BGR, all others RGB), else the model's own.
        resize: How a picture is fitted to the size: ``stretch``, ``crop`` (the centre) or ``pad``;
            the model's own when None, which is ``stretch`` for Keras applications.
        interpolation: Resampling filter, as Pillow names it; the model's own when None, which is
            ``bilinear`` for Keras applications.
        exif: ``apply`` or ``ignore`` the camera's orientation tag; applied when None.
        decode: ``fast``: JPEGs of at least eight times the model's size are decoded at a fraction
            of theirs, never below four times the model's; ``exact``: always all pixels. When None,
            an existing store goes on in its own way, and a new one is ``fast`` if every row of
            every layer keeps a cosine of at least 0.999 to its exact float32 values, in up to 16
            of the pictures.
        icc: ``apply``: convert pictures to sRGB by their embedded colour profiles; ``ignore`` them,
            as Keras does. When None as the existing store, else ignored.

    Example:
        >>> InputOptions(img_size=(224, 320), resize="crop").apply(InputSpec(299, 299)).width
        320
    """

    img_size: int | tuple[int, int] | None = None
    preprocess: Preprocess = "auto"
    channel_order: ChannelOrder | None = None
    resize: Resize | None = None
    interpolation: Interpolation | None = None
    exif: Exif | None = None
    decode: Decode | None = None
    icc: Icc | None = None

    def __post_init__(self) -> None:
        check_choice("preprocessing", self.preprocess, PREPROCESS_NAMES)
        for name, (what, choices) in _CHOICES.items():
            if getattr(self, name) is not None:
                check_choice(what, getattr(self, name), get_args(choices))
        if self.img_size is not None:
            object.__setattr__(self, "img_size", check_img_size(self.img_size))

    @property
    def size(self) -> tuple[int, int] | None:
        """The wanted ``(height, width)``; None for the model's own."""
        return None if self.img_size is None else check_img_size(self.img_size)

    def apply(self, contract: InputSpec) -> InputSpec:
        """Return `contract` with these changes made; refuse ``try``, which is none.

        A named scaling brings its own channel order along (``caffe`` is BGR, all others RGB, as in
        Keras) unless `channel_order` says otherwise.

        Example:
            >>> InputOptions(preprocess="caffe").apply(InputSpec(224, 224)).channel_order
            'bgr'
        """
        if self.preprocess == "try":
            raise InvalidValue(
                "preprocess='try' is no scaling, and belongs to the command line, which compares "
                "all of them. In Python, featx.compare_scalings does."
            )
        changes: dict[str, Any] = {}
        if self.size is not None:
            changes["height"], changes["width"] = self.size
        if self.preprocess != "auto":
            changes["scaling"] = self.preprocess
            changes["channel_order"] = "bgr" if self.preprocess == "caffe" else "rgb"
        for name in ("channel_order", "resize", "interpolation", "exif", "decode", "icc"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = value
        return replace(contract, **changes)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images of a source are wanted, and what their classes are called.

    Only files are selected; objects in memory can be selected before they are passed.

    Attributes:
        exclude: A glob or several; an image is left out when one matches its key, its name or a
            folder's name.
        image_list: A text file with one path in each line, ``-`` for the standard input. Its
            images come in addition to those that are named, or instead of the default.
        split: Only this split of manifests, array files, or folders called train, val or test.
        frame: Of animations and files of several pages this frame, from 0, or ``all``, under keys
            such as ``a.gif#3``; when None the first, under the file's own key.
        class_names: Names for classes that are numbers from 0, in their order, or a file of them:
            text with one per line, CSV (index, name) or JSON.
    """

    exclude: Sequence[str] = ()
    image_list: str | Path | None = None
    split: str | None = None
    frame: int | str | None = None
    class_names: str | Path | Sequence[str] | None = None

    def __post_init__(self) -> None:
        exclude = () if self.exclude is None else check_texts("exclude", self.exclude)
        object.__setattr__(self, "exclude", exclude)
        check_text("split", self.split)
        check_path("image_list", self.image_list)
        if not isinstance(self.frame, (str, type(None))):
            check_whole_number("frame", self.frame, least=0)
        if not isinstance(self.class_names, os.PathLike | None):
            names = check_texts("class_names", self.class_names)
            if not isinstance(self.class_names, str):  # A text is a file.
                object.__setattr__(self, "class_names", names)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How images are read, the network is run, and what is shown of it; part of no identity.

    Attributes:
        max_pixels: Largest picture that is decoded, in pixels, at least 1; 201,326,592 when None.
        batch_size: Images given to the network at a time, at least 1; what suits it when None.
        workers: Threads that read and decode, at least 1; when None one per core, at most 16.
        engine: ``tensorflow``, ``openvino`` (on the CPU; a model that it cannot take runs in
            TensorFlow), or ``auto``: OpenVINO unless TensorFlow is clearly faster here.
        precision: ``float32``; ``bfloat16``; ``mixed``: the first convolutions in float32, the
            others in bfloat16 with corrected constants; ``int8``: 8 bits, only for `featx.extract`,
            calibrated on pictures of the run and measured on others of them (needs
            ``featx[int8]``); or ``auto``: bfloat16, or else mixed,
            where the processor has it and every row of every layer keeps a cosine of at least
            0.999 to its float32 values, in the first eight images and in one of 16 from all over
            the folder, at most 32. An existing store goes on in the precision in which it was
            begun. When None, `featx.extract` takes ``auto``; `featx.predict` and `featx.search`
            take ``float32``.
        scale: What the floats of arrays mean: ``unit`` where white is 1, ``byte`` where it is 255;
            they are rounded to 256 steps. When None, only whole numbers in [0, 255] are taken.
        progress: Whether to show a progress bar. When None it is shown in notebooks and on
            terminals, if the job takes longer than a moment.
        verbose: The same for notes and failed images, a line for each; Keras's 0, 1, 2 and
            ``auto`` are taken, too.
    """

    max_pixels: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    engine: str = "auto"
    precision: Precision | None = None
    scale: Scale | None = None
    progress: bool | None = None
    verbose: Verbose | None = None

    def __post_init__(self) -> None:
        _check_numbers(self, ("max_pixels", "batch_size", "workers"), least=1)
        check_text("engine", self.engine)
        if self.precision is not None:
            check_choice("precision", self.precision, get_args(Precision))
        if self.scale is not None:
            check_choice("scale of pixels", self.scale, get_args(Scale))
        check_flag_or_none("progress", self.progress)
        object.__setattr__(self, "verbose", check_verbose("verbose", self.verbose))

    def choose_listener(self, listener: Listener | None) -> Listener:
        """Return who follows the run: the caller's listener, or one that shows what is wanted."""
        return choose_listener(listener, progress=self.progress, verbose=self.verbose)


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How a store is brought up to date with its images.

    Attributes:
        overwrite: Start over; the existing store is replaced when the new one is complete.
        prune: Remove rows whose image no longer exists.
        strict: Stop at the first image that fails.
        max_failures: Stop when more images than this fail, at least 0; never when None.
        retry_failed: Also try images again that failed and have not changed since.
        shard: ``(i, n)``: only the i-th of n parts of the images, i from 1, divided by a hash of
            their keys. Each goes into a store of its own; `featx.merge_stores` joins them.
            ``"auto"`` takes both from the environment of a job array, ``"auto/n"`` only i.
        single_file_limit: Above this many bytes of features, the store refers to its part files
            instead of holding the features; when None the existing store's own limit, at first
            4 GB (4,000,000,000 bytes).
        wait: Wait for another process that writes to the store instead of refusing.
        dry_run: Only report what would be done; nothing is written.
        cluster: Divide the work among workers on a cluster of Ray: ``local`` starts them on this
            machine, ``ray://HOST:PORT`` and ``auto`` (the cluster that this machine belongs to)
            connect to one that runs. All machines need the images and the store's folder under the
            same paths.
        concurrency: How many workers, at least 1; when None, as many as there is room for.
        num_cpus: Cores of each worker, above 0; when None, those of the smallest node.
        num_gpus: GPUs of each worker, at least 0; a fraction where several share one.
        cpu_workers: How many further workers have no GPU, at least 1; with `num_gpus`.
        allow_download: Fetch pictures from servers that only a table names.
    """

    overwrite: bool = False
    prune: bool = False
    strict: bool = False
    max_failures: int | None = None
    retry_failed: bool = False
    shard: tuple[int, int] | str | None = None
    single_file_limit: int | None = None
    wait: bool = False
    dry_run: bool = False
    cluster: str | None = None
    concurrency: int | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    cpu_workers: int | None = None
    allow_download: bool = False

    def __post_init__(self) -> None:
        _check_numbers(self, ("max_failures", "single_file_limit"), least=0)
        _check_numbers(self, ("concurrency", "cpu_workers"), least=1)
        check_text("cluster", self.cluster)
        for name in ("num_cpus", "num_gpus"):
            _check_amount(self, name)
        if self.cpu_workers is not None and not self.num_gpus:
            raise InvalidValue(
                f"{option('cpu_workers')} adds workers to those with GPUs: say how many these have "
                f"with {option('num_gpus', 1)}, or leave it out."
            )
        for name in (
            "overwrite",
            "prune",
            "strict",
            "retry_failed",
            "wait",
            "dry_run",
            "allow_download",
        ):
            check_flag(name, getattr(self, name))
        if self.shard is not None:
            object.__setattr__(self, "shard", check_shard_or_auto(self.shard))

    @property
    def failure_limit(self) -> int | None:
        """The most images that may fail; None for any number."""
        return 0 if self.strict else self.max_failures


def _check_numbers(group: object, names: Iterable[str], *, least: int) -> None:
    """Check the fields of a group that are whole numbers or None."""
    for name in names:
        value = getattr(group, name)
        if value is not None:
            object.__setattr__(group, name, check_whole_number(name, value, least=least))


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """What is said of a picture besides its most probable classes.

    Attributes:
        threshold: Least probability of the first class, in [0, 1]; below it the picture is unknown.
        coverage: In (0, 1): each picture gets the set of classes that holds the true one at this
            rate, on average over pictures like those held out when the head was fitted.
        novelty: Say how unlike the pictures that the head was fitted on a picture is.
    """

    threshold: float | None = None
    coverage: float | None = None
    novelty: bool = False

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InvalidValue(
                f"A threshold is a probability in [0, 1]. Received: {self.threshold}."
            )
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise InvalidValue(f"A coverage is between 0 and 1. Received: {self.coverage}.")


def _check_amount(group: object, name: str) -> None:
    """Check a field that is a number of cores or GPUs, which may be a fraction, or None."""
    value = getattr(group, name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{option(name)} takes a number. Received: {value!r}.")
    is_right = value >= 0 if name == "num_gpus" else value > 0
    if not is_right or not math.isfinite(value):
        least = "at least 0" if name == "num_gpus" else "above 0"
        raise InvalidValue(f"{option(name)} is {least}. Received: {value!r}.")
    object.__setattr__(group, name, float(value))


GroupT = TypeVar("GroupT", bound="DataclassInstance")


def fill_group(group: type[GroupT], given: GroupT | None, options: Mapping[str, Any]) -> GroupT:
    """Return a group of options with the keywords that belong to it.

    Args:
        group: The group.
        given: What the caller passed as a whole.
        options: All keywords of the call; those of other groups are ignored.

    Raises:
        InvalidType: If `given` is something else than the group.
        RepeatedOption: If a keyword says again what `given` says.

    Example:
        >>> fill_group(RunOptions, RunOptions(workers=2), {"batch_size": 8, "prune": True}).workers
        2
    """
    start = group() if given is None else given
    if not isinstance(start, group):
        parameter = group.__name__.removesuffix("Options").lower()
        raise InvalidType(
            f"{parameter!r} takes featx.{group.__name__}(...). Received: {given!r}. "
            "Its fields can also be passed as keywords of the call."
        )
    defaults = {field.name: field.default for field in fields(group)}
    own = {name: value for name, value in options.items() if name in defaults}
    for name in own:
        if getattr(start, name) != defaults[name]:
            raise RepeatedOption(name, group.__name__)
    return replace(start, **own)
