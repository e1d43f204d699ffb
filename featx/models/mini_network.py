"""The network of the built-in backbone: small, plain, with layers named the VGG way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow

MINI_SIZE = 128
"""Height and width of the input, in pixels."""

BLOCKS = ((48, 1), (96, 2), (160, 5), (320, 2))
"""Channels and number of 3x3 convolutions of each block: dense convolutions and few layers at high
resolution, because these run nearest to a CPU's arithmetic limit."""

LAST_CHANNELS = 512
EMBEDDING_WIDTH = 256


def build_mini() -> Any:
    """Build the network with fresh weights, as a Keras functional model.

    The input is RGB in [0, 255], 128 x 128; the scaling is the first layer. Layers:
    ``block1_conv1``, ``block1_pool``, ..., ``block4_conv3`` (the last map, 4 x 4 x 512),
    ``block4_pool`` (its average) and ``embedding`` (256 values). In training, each convolution
    had batch normalisation and where the widths allow it a branch around it (RepVGG: Ding et
    al., 2021); both are folded into the kernels.

    Example:
        >>> build_mini().get_layer("embedding").output.shape
        (None, 256)
    """
    import_tensorflow()
    import keras

    images = keras.Input((MINI_SIZE, MINI_SIZE, 3), name="images")
    x = keras.layers.Rescaling(1 / 64, offset=-2.0, name="scaling")(images)
    for number, (channels, num_convolutions) in enumerate(BLOCKS, start=1):
        for position in range(1, num_convolutions + 1):
            is_stem = number == position == 1
            if is_stem:
                x = keras.layers.ZeroPadding2D(1, name="block1_pad")(x)
            x = keras.layers.Conv2D(
                channels,
                6 if is_stem else 3,
                strides=4 if is_stem else 1,
                padding="valid" if is_stem else "same",
                activation="relu",
                name=f"block{number}_conv{position}",
            )(x)
        if number < len(BLOCKS):
            x = keras.layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
    x = keras.layers.Conv2D(LAST_CHANNELS, 1, activation="relu", name="block4_conv3")(x)
    x = keras.layers.GlobalAveragePooling2D(name="block4_pool")(x)
    return keras.Model(
        images, keras.layers.Dense(EMBEDDING_WIDTH, name="embedding")(x), name="mini"
    )


def set_weights(model: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the network its trained weights: ``layer/kernel`` and ``layer/bias``, any float type."""
    for layer in model.layers:
        if layer.weights:
            names = (f"{layer.name}/kernel", f"{layer.name}/bias")
            layer.set_weights([arrays[name].astype(np.float32) for name in names])
