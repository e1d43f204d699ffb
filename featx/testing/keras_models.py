"""A small Keras network with every kind of layer, whose activations can be computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow

KERAS_TOY_SIZE = 4
"""Height and width of the toy's input, in pixels."""


def toy_keras_model() -> Any:
    """Build the network. For an image of one colour (r, g, b) in [0, 255] its layers are:

    - ``scale``: the colour / 255 (the model's own preprocessing), shape (4, 4, 3);
    - ``shift``: colour / 255 - 0.5; ``relu``: the same, not below 0;
    - ``block/halve`` and ``block/sum``, inside the nested model ``block``: half of ``relu``,
      and the sum of that over the channels, shape (2, 2, 1);
    - ``average``: ``block/sum`` as a vector, shape (1,); call it s;
    - ``twice#1``: 2 s and ``twice#2``: 4 s, one layer called twice;
    - ``both:0``: 4 s and ``both:1``: -4 s, one layer with two outputs;
    - ``joined``: (4 s, -4 s).

    Example:
        >>> toy_keras_model().count_params()
        25
    """
    import_tensorflow()
    import keras

    class Both(keras.layers.Layer):  # type: ignore[misc]
        """Returns its input and the negative of it."""

        def call(self, inputs: Any) -> tuple[Any, Any]:
            return inputs, -inputs

    size = KERAS_TOY_SIZE
    inner = keras.Input((size, size, 3))
    halve = keras.layers.Conv2D(3, 1, use_bias=False, name="halve")
    pool = keras.layers.AveragePooling2D(2, name="pool")
    total = keras.layers.Conv2D(1, 1, use_bias=False, name="sum")
    block = keras.Model(inner, total(pool(halve(inner))), name="block")
    halve.set_weights([0.5 * np.eye(3).reshape(1, 1, 3, 3)])
    total.set_weights([np.ones((1, 1, 3, 1))])

    images = keras.Input((size, size, 3), name="images")
    shift = keras.layers.Conv2D(3, 1, name="shift")
    twice = keras.layers.Dense(1, use_bias=False, name="twice")
    x = keras.layers.Rescaling(1 / 255, name="scale")(images)
    x = keras.layers.ReLU(name="relu")(shift(x))
    x = keras.layers.GlobalAveragePooling2D(name="average")(block(x))
    x = twice(twice(x))
    outputs = keras.layers.Concatenate(name="joined")(list(Both(name="both")(x)))
    shift.set_weights([np.eye(3).reshape(1, 1, 3, 3), np.full(3, -0.5)])
    twice.set_weights([np.array([[2.0]])])
    return keras.Model(images, outputs, name="toy")
