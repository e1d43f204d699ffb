"""The networks as people build them with Keras, and how much they compute."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from benchmarks.speeds.networks import Network


def build(network: Network, weights: str = "random") -> Any:
    """Build a network that ends with the layer that is taken; other weights are seeded."""
    import keras

    keras.utils.set_random_seed(0)
    if network.name == "mini":
        from featx.models.mini_network import build_mini

        return build_mini()
    constructor = getattr(keras.applications, network.name)
    loaded = None if weights == "random" else weights
    if network.layer is not None:
        base = constructor(weights=loaded)
        return keras.Model(base.input, base.get_layer(network.layer).output)
    if loaded is not None:  # The file comes with the classifier.
        base = constructor(weights=loaded)
        return keras.Model(base.input, base.layers[-2].output)
    return constructor(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))


def preprocessing(network: Network) -> Callable[[Any], Any]:
    """Return Keras's own `preprocess_input` of a network."""
    if network.name == "mini":  # The scaling is its first layer.
        return lambda images: images
    from featx.models.contracts import APPLICATIONS

    family = APPLICATIONS[network.name].family
    module = importlib.import_module(f"keras.applications.{family}")
    function: Callable[[Any], Any] = module.preprocess_input
    return function


def count_flops(model: Any) -> int:
    """Count floating-point operations for one picture: two for each multiplication by a weight.

    Activations, normalisation and pooling are left out: they are what an engine hides.
    """
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = math.prod(layer.output.shape[1:-1])
            total += 2 * math.prod(layer.kernel.shape) * places
    return total
