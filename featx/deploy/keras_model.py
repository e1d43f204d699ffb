"""A head, its network and the preparation of pictures as one Keras model."""

from __future__ import annotations

from typing import Any

from featx.deploy.head_layers import add_head
from featx.deploy.pixels import prepare
from featx.deploy.pooling import add_pooling
from featx.errors import ModelError
from featx.heads.head import Head
from featx.models.backbone import Backbone, Layer
from featx.models.keras_part import EXPORTED, NETWORK, keras_layers_of, make_names_single
from featx.specs import FeatureSpec


def build_keras_model(head: Head, backbone: Backbone) -> Any:
    """Build one Keras model from a head and the network that it was fitted on.

    Nothing in it is featx's own, so that Keras alone loads it. Call it in
    `featx.models.keras_settings.build_apart`.

    Args:
        head: The head.
        backbone: Its model, from `featx.models.restore_model`.

    Returns:
        A functional model: ``images``, uint8 (B, any height, any width, 3), RGB; preparation as
        the network wants it; the network, a model that is its layer ``network``; pooling; and the
        head's layers, named ``head_...``. It gives what the head predicts: (B, C) probabilities, or
        (B, 1) numbers.

    Raises:
        ModelError: If the network is not made of layers of Keras 3.
        HeadError: If the head or its pooling has operations of an add-on.
    """
    import keras

    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    pixels = prepare(images, backbone.spec.input)
    vectors = take_network(backbone, head.feature)(pixels)
    return keras.Model(images, add_head(vectors, head.operations), name=EXPORTED)


def take_network(backbone: Backbone, feature: FeatureSpec) -> Any:
    """Return a network up to a feature, pooling included, as a Keras model.

    Args:
        backbone: The model.
        feature: The layer, and its pooling.

    Returns:
        A functional model named ``network``, a copy that can be trained: from scaled pixels,
        float32 (B, H, W, C), to vectors (B, D). Its layers have their own names.

    Raises:
        ModelError: If the network is not made of layers of Keras 3.
    """
    import keras

    found = keras_layers_of(backbone)
    if found is None:
        raise ModelError(f"{backbone.spec.reference!r} is a graph, not a model of Keras.")
    part = found.take_part(feature.name)
    takes = part.inputs[0]
    contract = backbone.spec.input
    pixels = keras.Input((contract.height, contract.width, contract.channels), name="pixels")
    given = pixels
    if tuple(takes.shape[1:]) != tuple(pixels.shape[1:]):
        given = keras.ops.transpose(given, (0, 3, 1, 2))
    if takes.dtype != "float32":
        given = keras.ops.cast(given, takes.dtype)
    values = part.call(given)
    layer = find_layer(backbone, feature.name)
    if layer.layout == "channels_first":
        values = keras.ops.transpose(values, (0, 2, 3, 1))
    vectors = add_pooling(keras.ops.cast(values, "float32"), feature.pool)
    make_names_single(vectors)
    return keras.Model(pixels, vectors, name=NETWORK)


def find_layer(backbone: Backbone, name: str) -> Layer:
    """Return the description of a layer that a backbone is known to have."""
    return next(layer for layer in backbone.features() if layer.name == name)
