"""Features of a few images in memory, computed exactly as a store's were."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy as np

from featx.errors import UnknownName
from featx.events import Listener
from featx.features.batch_queue import ComputedBatch
from featx.features.computing import compute_features
from featx.images.reading import HASH_BYTES, LOOKAHEAD, read_images
from featx.images.sources import (
    EVERYTHING,
    ImageFailure,
    ImageItem,
    Images,
    ImageSet,
    gather,
)
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.models import restore_model
from featx.models.backbone import Backbone
from featx.options import RunOptions, Selection
from featx.specs import DEFAULT_READ_PRECISION, FeatureSpec, ModelSpec


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


@dataclass(frozen=True, slots=True)
class QueryImages:
    """Images whose features are computed now, and how.

    Attributes:
        images: Locations or objects, as for `featx.extract`.
        selection: Which of them.
        run: How they are read and the network is run.
        weights: Where the model's weights are now, if they have moved.
        trust_model_code: See `featx.load_model`.
    """

    images: Images
    selection: Selection = EVERYTHING
    run: RunOptions = field(default_factory=RunOptions)
    weights: str | None = None
    trust_model_code: bool = False

    def find(self, listener: Listener) -> ImageSet:
        """Return the images, and pass on the notes about how they were found."""
        found = gather(self.images, selection=self.selection)
        for note in found.notes:
            listener.note(note)
        return found


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
    backbone = restore_model(model, weights=query.weights, trust_model_code=query.trust_model_code)
    layers = [layer.name for layer in backbone.features()]
    if feature.name not in layers:
        raise UnknownName("layer", feature.name, layers)
    return embed_found(found, backbone, feature, query.run, listener)


def embed_found(
    found: ImageSet,
    backbone: Backbone,
    feature: FeatureSpec,
    options: RunOptions,
    listener: Listener,
) -> EmbeddedImages:
    """Compute one feature of images with a model that is loaded; see `embed_images`."""
    backbone = AcceleratedBackbone(
        backbone,
        EngineRequest(options.engine, options.precision or DEFAULT_READ_PRECISION),
        listener=listener,
    )
    collected = _Collected(feature, list(found.failures))
    for failure in found.failures:
        listener.failure(found.root.shown(failure.key), failure.reason)
    images = read_images(
        found.items if found.stream is None else found.stream,
        backbone.spec.input,
        workers=options.workers,
        lookahead=max(LOOKAHEAD, 2 * (options.batch_size or 0)),
        max_pixels=options.max_pixels,
    )
    results = compute_features(images, backbone, [feature], batch_size=options.batch_size)
    listener.start(len(found.items), "images")
    try:
        with contextlib.closing(results):
            for result in results:
                if isinstance(result, ComputedBatch):
                    collected.add(result)
                    listener.advance(len(result.items))
                elif isinstance(result, ImageFailure):
                    collected.fail(result)
                    listener.failure(found.root.shown(result.key), result.reason)
                    listener.advance(1)
    finally:
        listener.finish()
    return collected.join()


class _Collected:
    """Features as they come, block by block."""

    def __init__(self, feature: FeatureSpec, failures: list[ImageFailure]) -> None:
        self._failures = failures
        self._feature = feature
        self._items: list[ImageItem] = []
        self._values: list[np.ndarray] = []
        self._hashes: list[np.ndarray] = []

    def add(self, batch: ComputedBatch) -> None:
        """Take a batch."""
        self._items.extend(batch.items)
        self._hashes.append(batch.content_hash)
        self._values.append(batch.features[self._feature.name].reshape(len(batch.items), -1))

    def fail(self, failure: ImageFailure) -> None:
        """Take an image that cannot be used."""
        self._failures.append(failure)

    def join(self) -> EmbeddedImages:
        """Return all of them as one."""
        width = int(np.prod(self._feature.shape))
        values = [np.zeros((0, width), np.float32), *self._values]
        hashes = [np.zeros((0, HASH_BYTES), np.uint8), *self._hashes]
        return EmbeddedImages(
            tuple(self._items),
            np.concatenate(hashes),
            np.concatenate(values),
            tuple(self._failures),
        )
