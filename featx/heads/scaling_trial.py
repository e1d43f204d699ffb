"""What a network makes of some pictures under each scaling of their pixels: a help to choose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack, get_args

import numpy as np

from featx.arguments import plain_arguments
from featx.checks.layers import check_layer
from featx.checks.texts import check_path
from featx.errors import ImagesNotFound, InvalidValue, ModelError
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.heads.model_classifier import (
    are_probabilities,
    find_classes,
    list_classifiers,
    softmax,
)
from featx.images.reading import DecodedImage, read_images
from featx.images.sources import Images, ImageSet
from featx.input_spec import InputSpec, Scaling
from featx.keywords import CompareScalingsKeywords
from featx.models import load_model
from featx.models.backbone import Backbone, Layer
from featx.models.in_memory import Reference, add_signature, check_model
from featx.models.selection import default_layer, select_layers
from featx.options import InputOptions, RunOptions, Selection, fill_group
from featx.shown import Shown
from featx.specs import DEFAULT_MODEL
from featx.trust import GivenTrust

NUM_PICTURES = 5
"""Pictures that are computed, from all over the folder: enough to see, few enough to wait for."""


@dataclass(frozen=True, slots=True, repr=False)
class ScalingTrial(Shown):
    """What a network gives for pictures under one scaling, on average.

    Attributes:
        scaling: The scaling, as ``--preprocess`` takes it.
        layer: The layer whose values were looked at.
        num_pictures: How many pictures were computed.
        confidence: The largest probability of a picture, in [0, 1]; None if the layer gives no
            classes or values that are not finite, as the two that follow.
        entropy: Of a picture's probabilities, in bits: 0 where it is sure, log2(C) for C classes
            where it knows nothing.
        num_classes: How many different classes are the most probable of a picture.
        spread: One minus the cosine between the values of two pictures: near 0 where the network
            hardly tells them apart; None if the values are not finite.
    """

    scaling: Scaling
    layer: str
    num_pictures: int
    confidence: float | None
    entropy: float | None
    num_classes: int | None
    spread: float | None


@dataclass(frozen=True, slots=True)
class TriedModel:
    """A model whose scaling is looked for; see `featx.load_model` and `featx.extract`.

    Attributes:
        reference: The model.
        weights: Of a Keras application.
        layer: The layer to look at; its classifier when None, or else its last feature map.
        trust_model_code: Whether code that comes with it may be run.
        input: How else pictures become its pixels; the scaling in it does not count.
    """

    reference: Reference
    weights: str | None = None
    layer: str | None = None
    trust_model_code: GivenTrust = False
    input: InputOptions = field(default_factory=InputOptions)

    def load(self, scaling: Scaling | None) -> Backbone:
        """Load it with a scaling, or with its own."""
        return load_model(
            self.reference,
            weights=self.weights,
            trust_model_code=self.trust_model_code,
            input=replace(self.input, preprocess=scaling or "auto"),
        )


@plain_arguments(InputOptions, Selection, RunOptions, model=check_model)
def compare_scalings(
    images: Images = ".",
    model: Any = None,
    *,
    weights: str | Path | None = None,
    signature: str | None = None,
    layer: str | int | None = None,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    input: InputOptions | None = None,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[CompareScalingsKeywords],
) -> list[ScalingTrial]:
    """Compute five of the pictures under each scaling, and say how sure the network is of them.

    A network that was trained to classify such pictures is usually surest, and tells them apart,
    under the scaling that it was trained with. That is a hint, no proof: nothing is chosen.

    Args:
        images: Locations or objects, as for `featx.extract`.
        model: A model, as for `featx.load_model`; the built-in backbone when None.
        weights: Of a Keras application.
        signature: Of a SavedModel or Hub module.
        layer: The layer to look at; the model's classifier when None, or else its last map.
        trust_model_code: See `featx.load_model`.
        allow_download: See `featx.extract`.
        input: How else pictures become the model's pixels.
        selection: Which of the images are wanted.
        run: How images are read.
        listener: Receives notes and failures; when None, who looks on sees them.
        options: Fields of `input`, `selection` and `run` as keywords.

    Returns:
        One entry for each scaling that the model can have: ``caffe`` and ``torch`` are for colour,
        and a model that takes whole numbers has ``raw`` only.

    Raises:
        ImagesNotFound: If there are no images, or none can be read.
        ModelError: If the model cannot be loaded.

    Example:
        >>> from featx.testing import toy_model, write_images
        >>> trials = compare_scalings(write_images(5), model=toy_model(), layer="mean")
        >>> [trial.scaling for trial in trials]
        ['caffe', 'tf', 'torch', 'unit', 'raw']
    """
    run = fill_group(RunOptions, run, options)
    listener = run.choose_listener(listener)
    tried = TriedModel(
        add_signature(check_model("model", model) or DEFAULT_MODEL, signature),
        check_path("weights", weights),
        check_layer("layer", layer),
        trust_model_code,
        fill_group(InputOptions, input, options),
    )
    chosen = fill_group(Selection, selection, options)
    query = QueryImages(images, chosen, allow_download=allow_download)
    found = query.find(listener)
    backbone = tried.load(None)
    if backbone.beginning.text:
        listener.note(f"{backbone.spec.reference} {backbone.beginning.text}")
    pixels = _read_some(found, backbone.spec.input, run, listener)
    return list(_try_each(tried, pixels))


def _read_some(
    found: ImageSet, contract: InputSpec, run: RunOptions, listener: Listener
) -> np.ndarray:
    """Return pixels of some pictures, uint8 (B, H, W, C), from all over the list."""
    items = found.items if found.stream is None else tuple(islice(found.stream, NUM_PICTURES))
    step = max(1, len(items) // NUM_PICTURES)
    spread = [item for start in range(step) for item in items[start::step]]
    pixels = []
    for result in read_images(
        spread, contract, workers=run.workers, lookahead=NUM_PICTURES, max_pixels=run.max_pixels
    ):
        if isinstance(result, DecodedImage):
            pixels.append(result.pixels)
        if len(pixels) == NUM_PICTURES:
            break
    if not pixels:
        raise ImagesNotFound("None of the images can be read, so that scalings cannot be compared.")
    return np.stack(pixels)


def _try_each(tried: TriedModel, pixels: np.ndarray) -> Iterator[ScalingTrial]:
    for scaling in get_args(Scaling):
        try:
            backbone = tried.load(scaling)
        except InvalidValue:  # Of colour images only, or of fractions for a model of integers.
            continue
        output, is_classifier = _find_output(backbone, tried.layer)
        values = backbone(pixels, [output.name])[output.name]
        rows = values.reshape(len(pixels), -1).astype(np.float64)
        if not np.isfinite(rows).all():
            yield ScalingTrial(scaling, output.name, len(rows), None, None, None, None)
            continue
        classes = _find_probabilities(output, rows) if is_classifier else None
        yield _describe(scaling, output, rows, classes)


def _find_output(backbone: Backbone, layer: str | None) -> tuple[Layer, bool]:
    """Return the layer to look at, and whether it gives classes."""
    try:
        classifier = find_classes(backbone)
    except ModelError:
        classifier = None
    layers = backbone.features()
    if layer is None:
        return (default_layer(layers), False) if classifier is None else (classifier, True)
    chosen = select_layers([layer], layers, backbone.num_layers)
    if len(chosen) > 1:
        raise InvalidValue(f"Scalings are compared on one layer; {layer!r} fits {len(chosen)}.")
    return chosen[0], chosen[0] in (classifier, *list_classifiers(backbone))


def _find_probabilities(output: Layer, values: np.ndarray) -> np.ndarray:
    """Return the values of a classifier as probabilities that sum to 1, shape (N, C)."""
    if values.shape[1] == 1:
        return np.concatenate([1 - values, values], axis=1)
    if output.operation == "Sigmoid":  # Of each class by itself.
        total = values.sum(axis=1, keepdims=True)
        return np.asarray(values / np.maximum(total, np.finfo(float).tiny))
    return values if are_probabilities(values) else softmax(values)


def _describe(
    scaling: Scaling, output: Layer, values: np.ndarray, classes: np.ndarray | None
) -> ScalingTrial:
    """Describe the values of a layer, shape (N, D), and its classes, if it gives any, (N, C)."""
    confidence = entropy = num_classes = None
    if classes is not None:
        logarithms = np.log2(classes, out=np.zeros_like(classes), where=classes > 0)
        confidence = float(classes.max(axis=1).mean())
        entropy = float(-(classes * logarithms).sum(axis=1).mean())
        num_classes = len(set(classes.argmax(axis=1).tolist()))
    return ScalingTrial(
        scaling, output.name, len(values), confidence, entropy, num_classes, _find_spread(values)
    )


def _find_spread(values: np.ndarray) -> float:
    """Return one minus the mean cosine between two rows; 0 for a single one.

    Example:
        >>> _find_spread(np.array([[1.0, 0.0], [0.0, 2.0]]))
        1.0
    """
    if len(values) < 2:
        return 0.0
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    rows = values / np.maximum(lengths, np.finfo(float).tiny)
    pairs = np.triu_indices(len(rows), 1)
    return float(1 - (rows @ rows.T)[pairs].mean())
