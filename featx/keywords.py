"""The keywords of functions that take groups of options, for type checkers.

A test compares them with the fields of the groups in `featx.options`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from featx.events import Verbose
from featx.input_spec import ChannelOrder, Decode, Exif, Icc, Interpolation, Preprocess, Resize
from featx.options import InputOptions, Layers, OnError, RunOptions, Scale
from featx.specs import Precision
from featx.trust import GivenTrust


class InputKeywords(TypedDict, total=False):
    """The fields of `InputOptions` as keywords."""

    img_size: int | tuple[int, int] | None
    preprocess: Preprocess
    channel_order: ChannelOrder | None
    resize: Resize | None
    interpolation: Interpolation | None
    exif: Exif | None
    decode: Decode | None
    icc: Icc | None


class SelectionKeywords(TypedDict, total=False):
    """The fields of `Selection` as keywords."""

    exclude: Sequence[str]
    image_list: str | Path | None
    split: str | None
    frame: int | str | None
    class_names: str | Path | Sequence[str] | None


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions` as keywords."""

    max_pixels: int | None
    batch_size: int | None
    workers: int | None
    engine: str
    precision: Precision | None
    scale: Scale | None
    progress: bool | None
    verbose: Verbose | None


class UpdateKeywords(TypedDict, total=False):
    """The fields of `UpdateOptions` as keywords."""

    overwrite: bool
    prune: bool
    strict: bool
    max_failures: int | None
    retry_failed: bool
    shard: tuple[int, int] | str | None
    single_file_limit: int | None
    wait: bool
    dry_run: bool
    cluster: str | None
    concurrency: int | None
    num_cpus: float | None
    num_gpus: float | None
    cpu_workers: int | None
    allow_download: bool


class LayerSynonyms(TypedDict, total=False):
    """What functions that take one ``layer`` take, too."""

    layers: str | int | None


class ExtractorKeywords(InputKeywords, RunKeywords, total=False):
    """The options that `featx.Extractor` takes as keywords."""

    layers: Layers | None


class EmbedKeywords(ExtractorKeywords, total=False):
    """The options that `featx.embed` takes as keywords: all of `featx.Extractor`."""

    pool: str | None
    weights: str | Path | None
    signature: str | None
    trust_model_code: GivenTrust
    input: InputOptions | None
    run: RunOptions | None
    on_error: OnError
    custom_objects: Mapping[str, Any] | None


class DecisionKeywords(TypedDict, total=False):
    """The fields of `DecisionOptions` as keywords."""

    threshold: float | None
    coverage: float | None
    novelty: bool


class CodeKeywords(TypedDict, total=False):
    """What functions that load a model take of its code, besides ``trust_model_code``."""

    custom_objects: Mapping[str, Any] | None


class LoadKeywords(InputKeywords, CodeKeywords, total=False):
    """The options that `featx.load_model` and `featx.layers` take as keywords."""


class CompareScalingsKeywords(
    InputKeywords, CodeKeywords, SelectionKeywords, RunKeywords, LayerSynonyms, total=False
):
    """The options that `featx.compare_scalings` takes as keywords."""


class PredictKeywords(CompareScalingsKeywords, DecisionKeywords, total=False):
    """The options that `featx.predict` takes as keywords."""


class EvaluateKeywords(CodeKeywords, SelectionKeywords, RunKeywords, total=False):
    """The options that `featx.evaluate` takes as keywords."""


class ExtractKeywords(
    InputKeywords, CodeKeywords, SelectionKeywords, RunKeywords, UpdateKeywords, total=False
):
    """The options that `featx.extract` takes as keywords."""

    layer: Layers | None
