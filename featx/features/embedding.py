"""Features of a few images in memory, computed exactly as a store's were."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

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


def embed_images(
    images: Images,
    model: ModelSpec,
    feature: FeatureSpec,
    options: RunOptions,
    *,
    selection: Selection = EVERYTHING,
    weights: str | None = None,
    trust_model_code: bool = False,
    listener: Listener | None = None,
) -> EmbeddedImages:
    """Compute one feature of images with the model that made a store, head or index.

    Args:
        images: Places or objects, as for `featx.extract`.
        model: The model as recorded.
        feature: The feature as recorded, pooling included.
        options: How they are read and computed.
        selection: Which of them.
        weights: Where the model's weights lie now, if they have moved.
        trust_model_code: See `featx.load_model`.
        listener: Receives progress and failures.

    Raises:
        ImagesNotFound: If there are no images.
        FingerprintMismatch: If the model is no longer the one that was recorded.
    """
    listener = listener or Listener()
    found = gather(images, selection=selection)
    for note in found.notes:
        listener.note(note)
    backbone = restore_model(model, weights=weights, trust_model_code=trust_model_code)
    layers = [layer.name for layer in backbone.features()]
    if feature.name not in layers:
        raise UnknownName("layer", feature.name, layers)
    return embed_found(found, backbone, feature, options, listener)


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
    items: list[ImageItem] = []
    blocks: list[np.ndarray] = []
    hashes: list[np.ndarray] = []
    failures = list(found.failures)
    for failure in found.failures:
        listener.failure(failure.key, failure.reason)
    listener.start(len(found.items), "images")
    try:
        images = read_images(
            found.items if found.stream is None else found.stream,
            backbone.spec.input,
            workers=options.workers,
            lookahead=max(LOOKAHEAD, 2 * (options.batch_size or 0)),
            max_pixels=options.max_pixels,
        )
        results = compute_features(images, backbone, [feature], batch_size=options.batch_size)
        with contextlib.closing(results):
            for result in results:
                if isinstance(result, ComputedBatch):
                    items.extend(result.items)
                    hashes.append(result.content_hash)
                    blocks.append(result.features[feature.name].reshape(len(result.items), -1))
                    listener.advance(len(result.items))
                elif isinstance(result, ImageFailure):
                    failures.append(result)
                    listener.failure(result.key, result.reason)
                    listener.advance(1)
    finally:
        listener.finish()
    width = int(np.prod(feature.shape))
    values = np.concatenate(blocks) if blocks else np.zeros((0, width), np.float32)
    content_hash = np.concatenate(hashes) if hashes else np.zeros((0, HASH_BYTES), np.uint8)
    return EmbeddedImages(tuple(items), content_hash, values, tuple(failures))
