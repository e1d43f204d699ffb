"""Features of the pictures in a Ray Dataset: a step of a pipeline, by a pool of actors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from featx.arguments import plain_arguments
from featx.checks.layers import check_layers, check_pool
from featx.checks.numbers import check_whole_numbers
from featx.checks.texts import check_path
from featx.errors import InvalidValue, join_names
from featx.events import Listener
from featx.features.computing import max_batch_size, plan_features
from featx.features.embedding import ComputedRows, compute_rows
from featx.images.roots import MEMORY, is_url
from featx.images.sources import ImageItem, ImageSet
from featx.images.sources.pictures import HeldPicture, PathPicture
from featx.images.sources.remote import make_url_item
from featx.inference import AcceleratedBackbone
from featx.inference.decided import DecidedNetwork, make_noise, request_chosen
from featx.inference.request import request_reading
from featx.inference.trial import FIRST_BATCH
from featx.keywords import InputKeywords, RunKeywords
from featx.models import load_model
from featx.models.in_memory import Reference, add_signature, check_model
from featx.models.input_contract import require_scaling
from featx.options import InputOptions, Layers, RunOptions, fill_group
from featx.poolings import POOLINGS
from featx.ray.connection import import_ray
from featx.ray.pool import share_machine
from featx.specs import (
    DEFAULT_MODEL,
    DEFAULT_READ_POOLING,
    FeatureSpec,
)
from featx.trust import GivenTrust
from featx.wording import option

PICTURE_COLUMNS = ("bytes", "image", "path")
"""Columns that hold the pictures, the first that there is: bytes of files, pixels, paths or URLs.
So Ray's own ``read_binary_files`` and ``read_images`` call them."""

HASH_COLUMN, ERROR_COLUMN = "content_hash", "error"


class PictureKeywords(InputKeywords, RunKeywords, total=False):
    """The options that `features` takes as keywords."""


@plain_arguments(InputOptions, RunOptions, model=check_model, rows=check_whole_numbers(1))
def features(
    dataset: Any,
    model: Any = None,
    *,
    layers: Layers = (),
    pool: str | None = DEFAULT_READ_POOLING,
    weights: str | Path | None = None,
    signature: str | None = None,
    trust_model_code: GivenTrust = False,
    rows: int = 256,
    concurrency: int | tuple[int, int] = 1,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    input: InputOptions | None = None,
    run: RunOptions | None = None,
    **options: Unpack[PictureKeywords],
) -> Any:
    """Compute features of the pictures in a Ray Dataset, by actors that hold one network each.

    Pictures are in the column ``bytes`` (of files, as `ray.data.read_binary_files` gives them),
    ``image`` (pixels, as `ray.data.read_images` does) or ``path`` (paths or URLs that all machines
    can read). The model is loaded here once, and engine and precision are decided, so that all
    actors compute the same. As all of Ray Data, this runs when the result is used.

    Args:
        dataset: A ``ray.data.Dataset``.
        model: As for `featx.extract`; the built-in backbone when None.
        layers: One or several, as for `featx.extract`; the last feature map when empty.
        pool: How maps of shape (h, w, c) are reduced; ``none`` keeps them.
        weights: As for `featx.load_model`.
        signature: Of a SavedModel or Hub module.
        trust_model_code: See `featx.load_model`.
        rows: Rows that an actor gets at a time, at least 1.
        concurrency: How many actors, or the least and the most of them.
        num_cpus: Cores of each; one when None.
        num_gpus: GPUs of each; may be a fraction.
        input: How pictures become pixels.
        run: How images are read and the network is run; in ``float32`` unless it says otherwise.
        options: Fields of `input` and `run` as keywords, such as ``img_size=(96, 96)``.

    Returns:
        A ``ray.data.Dataset`` of the same rows, without ``bytes`` and ``image``, and with a column
        of float32 for each layer, ``content_hash`` (hexadecimal) and ``error``: why a picture could
        not be used, else empty. The features of such a one are NaN.

    Raises:
        LibraryMissing: If ``featx[ray]`` is not installed.
        UnknownName: If the model or a layer does not exist.
        FeatxError: If the model cannot be loaded, as `featx.load_model`.
    """
    import_ray("featx.ray.features")
    run = fill_group(RunOptions, run, options)
    network, specs = decide(
        name_model(model, weights, signature, trust_model_code),
        layers,
        pool,
        fill_group(InputOptions, input, options),
        run,
    )
    return dataset.map_batches(
        Featurizer,
        fn_constructor_args=(network, specs, run, max(1, int(num_cpus or 1))),
        batch_format="numpy",
        batch_size=rows,
        compute=_make_pool(concurrency),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
    )


def _make_pool(concurrency: int | tuple[int, int]) -> Any:
    """Return Ray Data's pool of so many actors."""
    data = importlib.import_module("ray.data")
    if isinstance(concurrency, int):
        return data.ActorPoolStrategy(size=concurrency)
    least, most = concurrency
    return data.ActorPoolStrategy(min_size=least, max_size=most)


class Featurizer:
    """What an actor of Ray Data holds: a network. Batches of columns in, batches of columns out.

    Args:
        network: The network.
        specs: The features.
        run: How images are read.
        threads: Cores to compute on.
    """

    def __init__(
        self,
        network: DecidedNetwork,
        specs: Sequence[FeatureSpec],
        run: RunOptions,
        threads: int,
    ) -> None:
        share_machine(threads)
        self._backbone = network.open()
        self._specs = specs
        self._run = run

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Add the features of a batch."""
        column = choose_column(batch)
        pictures = batch[column]
        items = tuple(make_item(number, column, each) for number, each in enumerate(pictures))
        computed = compute_rows(
            ImageSet(MEMORY, items), self._backbone, self._specs, self._run, Listener()
        )
        kept = {name: values for name, values in batch.items() if name not in ("bytes", "image")}
        return {**kept, **_describe(computed, self._specs)}


def choose_column(batch: Mapping[str, Any]) -> str:
    """Return the column with the pictures.

    Raises:
        InvalidValue: If there is none.

    Example:
        >>> choose_column({"label": [1], "path": ["a.jpg"]})
        'path'
    """
    for name in PICTURE_COLUMNS:
        if name in batch:
            return name
    raise InvalidValue(
        f"Pictures are in a column {join_names([*map(repr, PICTURE_COLUMNS)])}. Received: "
        f"{join_names([*map(repr, batch)], conjunction='and')}. Rename one of them with "
        "dataset.rename_columns()."
    )


def make_item(number: int, column: str, picture: Any) -> ImageItem:
    """Return the item of one row."""
    key = str(number)
    if column != "path":
        return ImageItem(key, MEMORY, None, -1, -1, HeldPicture(picture))
    if is_url(str(picture)):
        return make_url_item(key, str(picture), None)
    return ImageItem(key, MEMORY, None, -1, -1, PathPicture(str(picture)))


def _describe(computed: ComputedRows, specs: Sequence[FeatureSpec]) -> dict[str, np.ndarray]:
    """Return the columns of all rows, also of those that failed."""
    hashes = {
        item.key: content.tobytes().hex()
        for item, content in zip(computed.items, computed.content_hash, strict=True)
    }
    reasons = {failure.key: failure.reason for failure in computed.failures}
    columns = {spec.name: computed.with_failures(computed.values[spec.name]) for spec in specs}
    columns[HASH_COLUMN] = np.array([hashes.get(key, "") for key in computed.keys], object)
    columns[ERROR_COLUMN] = np.array([reasons.get(key, "") for key in computed.keys], object)
    return columns


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model as it was named: its reference, weights, and which of its code may run."""

    reference: Reference
    weights: str | None
    trust_model_code: GivenTrust


def name_model(
    model: Any, weights: str | Path | None, signature: str | None, trust_model_code: GivenTrust
) -> NamedModel:
    """Return the model that arguments name."""
    reference = add_signature(check_model("model", model) or DEFAULT_MODEL, signature)
    return NamedModel(reference, check_path("weights", weights), trust_model_code)


def decide(
    model: NamedModel, layers: Layers, pool: str | None, input: InputOptions, run: RunOptions
) -> tuple[DecidedNetwork, tuple[FeatureSpec, ...]]:
    """Load a model here, and decide what computes its layers everywhere.

    Raises:
        InvalidValue: If the precision is to be found out, or 8 bits are to be calibrated.
        UnknownName: If the model, a layer or the pooling does not exist.
    """
    pooling = check_pool("pool", pool)
    POOLINGS.check(pooling)
    if run.precision == "auto":
        raise InvalidValue(
            f"Which precision suits is measured on pictures, and none is here yet: "
            f"{option('precision', 'float32', 'bfloat16', 'mixed')}."
        )
    request = request_reading(run.engine, run.precision)
    loaded = load_model(
        model.reference,
        weights=model.weights,
        input=input,
        trust_model_code=model.trust_model_code,
    )
    require_scaling(loaded)
    specs = plan_features(loaded, check_layers("layers", layers), pooling)
    names = tuple(spec.name for spec in specs)
    size = min(run.batch_size or FIRST_BATCH, max_batch_size(loaded, names))
    backbone = AcceleratedBackbone(loaded, request)
    backbone(make_noise(loaded.spec, size), names)
    network = DecidedNetwork(
        model=model.reference,
        weights=model.weights,
        input=input,
        trust_model_code=model.trust_model_code,
        spec=loaded.spec,
        layers=names,
        engine=request_chosen(backbone.run_facts),
        first_batch=size,
    )
    return network, specs
