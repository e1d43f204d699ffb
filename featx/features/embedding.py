"""Features of a few images in memory, computed exactly as a store's were."""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from featx.errors import UnknownName
from featx.events import Listener
from featx.features.batch_queue import ComputedBatch
from featx.features.computing import compute_features
from featx.features.query_images import QueryImages
from featx.files import HASH_BYTES
from featx.images.reading import LOOKAHEAD, read_images
from featx.images.sources import ImageFailure, ImageItem, ImageSet
from featx.images.sources.keys import natural_key
from featx.inference import AcceleratedBackbone
from featx.inference.request import request_reading
from featx.models import restore_model
from featx.models.backbone import Backbone
from featx.options import RunOptions
from featx.specs import FeatureSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class EmbeddedImages:
    """Features of the images that could be used, row for row, and the failures.

    Attributes:
        items: N images.
        content_hash: uint8 (N, 16), of each file's bytes.
        values: float32 (N, D).
        failures: Images that could not be used.
    """

    items: tuple[ImageItem, ...]
    content_hash: np.ndarray
    values: np.ndarray
    failures: tuple[ImageFailure, ...]


def embed_images(
    query: QueryImages, model: ModelSpec, feature: FeatureSpec, listener: Listener
) -> EmbeddedImages:
    """Compute one feature of images with the model that made a store, head or index.

    Args:
        query: The images.
        model: The model as recorded.
        feature: The feature as recorded, pooling included.
        listener: Receives progress and failures.

    Raises:
        ImagesNotFound: If there are no images.
        FingerprintMismatch: If the model is no longer the one that was recorded.
    """
    found = query.find(listener)
    return embed_found(found, load_network(query, model, feature), feature, query.run, listener)


def iter_embedded(
    query: QueryImages, model: ModelSpec, feature: FeatureSpec, listener: Listener
) -> Iterator[ComputedBatch | ImageFailure]:
    """Compute one feature of images, batch by batch, so that memory does not grow with them.

    Images are found and the model is loaded before this returns. See `embed_images`.

    Yields:
        Batches of consecutive images, and failures, which may come before their turn.
    """
    found = query.find(listener)
    network = load_network(query, model, feature)
    backbone = accelerate(network, query.run, listener, found)
    items = found.items if found.stream is None else found.stream
    return _iter_computed(found, items, backbone, [feature], query.run, listener)


def load_network(query: QueryImages, model: ModelSpec, feature: FeatureSpec) -> Backbone:
    """Load the model that made a store, head or index.

    Raises:
        FingerprintMismatch: If the model is no longer the one that was recorded.
        UnknownName: If it has no such layer.
    """
    backbone = restore_model(
        model,
        weights=query.weights,
        trust_model_code=query.trust_model_code,
        allow_download=query.allow_download,
        model=query.model,
    )
    layers = [layer.name for layer in backbone.features()]
    if feature.name not in layers:
        raise UnknownName("layer", feature.name, layers)
    return backbone


def accelerate(
    backbone: Backbone, options: RunOptions, listener: Listener, found: ImageSet | None = None
) -> Backbone:
    """Return a model on the engine that is to compute some images; None: nobody knows how many."""
    request = request_reading(options.engine, options.precision)
    count = None if found is None or found.stream is not None else len(found.items)
    return AcceleratedBackbone(backbone, request, listener=listener, num_images=count)


def embed_found(
    found: ImageSet,
    backbone: Backbone,
    feature: FeatureSpec,
    options: RunOptions,
    listener: Listener,
) -> EmbeddedImages:
    """Compute one feature of images with a model that is loaded; see `embed_images`."""
    if not isinstance(backbone, AcceleratedBackbone):
        backbone = accelerate(backbone, options, listener, found)
    rows = compute_rows(found, backbone, [feature], options, listener)
    values = rows.values[feature.name].reshape(len(rows.items), math.prod(feature.shape))
    return EmbeddedImages(rows.items, rows.content_hash, values, rows.failures)


@dataclass(frozen=True, slots=True)
class ComputedRows:
    """Features of images, in the order in which they came.

    Attributes:
        items: The N images that could be used.
        content_hash: uint8 (N, 16), of each file's bytes.
        values: Layers by name: float32 (N, *shape).
        failures: The images that could not be used.
        keys: Those of all images that came, with or without features, in their order.
    """

    items: tuple[ImageItem, ...]
    content_hash: np.ndarray
    values: dict[str, np.ndarray]
    failures: tuple[ImageFailure, ...]
    keys: tuple[str, ...]

    def with_failures(self, values: np.ndarray) -> np.ndarray:
        """Return the rows of a layer with a row of NaN for each image that came and failed."""
        used = {item.key for item in self.items}
        filled = np.full((len(self.keys), *values.shape[1:]), np.nan, np.float32)
        filled[[key in used for key in self.keys]] = values
        return filled


def compute_rows(
    found: ImageSet,
    backbone: Backbone,
    features: Sequence[FeatureSpec],
    options: RunOptions,
    listener: Listener,
) -> ComputedRows:
    """Compute features of images with a model that is loaded.

    Args:
        found: The images. Those that were not even found come first among the failures.
        backbone: The model, on the engine that is to compute.
        features: What is wanted of it.
        options: How images are read; engine and precision are the backbone's.
        listener: Receives progress and failures.
    """
    collected = _Collected(features)
    items = collected.follow(found.items if found.stream is None else found.stream)
    for result in _iter_computed(found, items, backbone, features, options, listener):
        if isinstance(result, ComputedBatch):
            collected.add(result)
        else:
            collected.fail(result)
    return collected.join(found.failures)


def _iter_computed(
    found: ImageSet,
    items: Iterable[ImageItem],
    backbone: Backbone,
    features: Sequence[FeatureSpec],
    options: RunOptions,
    listener: Listener,
) -> Iterator[ComputedBatch | ImageFailure]:
    for failure in found.failures:
        listener.failure(found.root.shown(failure.key), failure.reason)
        yield failure
    images = read_images(
        items,
        backbone.spec.input,
        workers=options.workers,
        lookahead=max(LOOKAHEAD, 2 * (options.batch_size or 0)),
        max_pixels=options.max_pixels,
    )
    results = compute_features(images, backbone, features, batch_size=options.batch_size)
    listener.start(len(found.items), "images")
    try:
        with contextlib.closing(results):
            for result in results:
                if isinstance(result, ComputedBatch):
                    listener.advance(len(result.items))
                    yield result
                elif isinstance(result, ImageFailure):
                    listener.failure(found.root.shown(result.key), result.reason)
                    listener.advance(1)
                    yield result
    finally:
        listener.finish()


class _Collected:
    """Features as they come, block by block."""

    def __init__(self, features: Sequence[FeatureSpec]) -> None:
        self._features = features
        self._failures: list[ImageFailure] = []
        self._keys: list[str] = []
        self._items: list[ImageItem] = []
        self._blocks: list[dict[str, np.ndarray]] = []
        self._hashes: list[np.ndarray] = []

    def follow(self, items: Iterable[ImageItem]) -> Iterator[ImageItem]:
        """Pass images on, and take down their order: failures come out before their turn."""
        for item in items:
            self._keys.append(item.key)
            yield item

    def add(self, batch: ComputedBatch) -> None:
        """Take a batch."""
        self._items.extend(batch.items)
        self._hashes.append(batch.content_hash)
        self._blocks.append(batch.features)

    def fail(self, failure: ImageFailure) -> None:
        """Take an image that cannot be used."""
        self._failures.append(failure)

    def join(self, unlisted: Sequence[ImageFailure]) -> ComputedRows:
        """Return all of them as one.

        Args:
            unlisted: Failures that came before all images; in the order of keys they are between.
        """
        more = sorted((failure.key for failure in unlisted), key=natural_key)
        values = {
            feature.name: np.concatenate(
                [
                    np.zeros((0, *feature.shape), np.float32),
                    *(block[feature.name] for block in self._blocks),
                ]
            )
            for feature in self._features
        }
        hashes = [np.zeros((0, HASH_BYTES), np.uint8), *self._hashes]
        return ComputedRows(
            tuple(self._items),
            np.concatenate(hashes),
            values,
            tuple(self._failures),
            tuple(heapq.merge(self._keys, more, key=natural_key)),
        )
