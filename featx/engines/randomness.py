"""Random numbers in graphs: what draws them, and whether they change results."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from featx.engines.graph_nodes import ancestors
from featx.errors import ModelError

DRAWS = re.compile(
    "(Stateless|Parameterized)?(Random(?!Get|Dataset|Seed)|TruncatedNormal|Multinomial|Shuffle|"
    "Parameterized|.*Sample)"
)
"""Operations that draw random numbers."""

BATCH, _SIZE = 3, 32
"""Number and size of the images of a trial, unless the model fixes them."""


def require_repeatable(function: Any) -> None:
    """Refuse a function whose results depend on random numbers.

    It may draw numbers that do not matter, such as those of a dropout that is switched off, or
    those of a fixed seed that are the same for all images.

    Args:
        function: A concrete function of images, without variables.

    Raises:
        ModelError: If the results of an image depend on its position in the batch, or on the call.
    """
    import tensorflow

    nodes = function.graph.as_graph_def().node
    needed = ancestors([tensor.op.name for tensor in function.outputs], nodes)
    drawing = [node for node in nodes if node.name in needed and DRAWS.match(node.op)]
    if not drawing:
        return
    images = function.inputs[0]
    shape = probe_shape(images.shape)
    noise = np.random.default_rng(0).uniform(0, 255, shape).astype(images.dtype.as_numpy_dtype)
    noise[-1] = noise[0]
    pruned = function.prune([images], list(function.outputs))
    try:
        first, second = (
            [np.asarray(each) for each in pruned(tensorflow.constant(noise))] for _ in range(2)
        )
    except (tensorflow.errors.OpError, ValueError, TypeError):
        first, second = [], []
    is_batch = [one.ndim > 0 and len(one) == len(noise) for one in first]
    if not first or not all(
        np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
        and (not batch or np.allclose(one[0], one[-1], rtol=1e-4, atol=1e-5, equal_nan=True))
        for one, other, batch in zip(first, second, is_batch, strict=True)
    ):
        raise random_numbers_error(drawing[0].op, drawing[0].name)


def random_numbers_error(operation: str, name: str) -> ModelError:
    """Return the error for a node that draws random numbers which matter."""
    return ModelError(
        "The network computes with random numbers, which would make features depend on where in a "
        f"batch a picture is: {operation} (node {name!r}). featx cannot tell what it gives without "
        "them. Export it without the layer that draws them."
    )


def probe_shape(shape: Any) -> list[int]:
    """Return the shape of a batch for a trial; sizes that a model fixes are kept."""
    sizes = shape.as_list() if shape.rank else [None] * 4
    usual = [BATCH, _SIZE, _SIZE, 3]
    if len(sizes) == 4 and sizes[1] in (1, 3):
        usual = [BATCH, 3, _SIZE, _SIZE]
    return [size or other for size, other in zip(sizes, usual, strict=False)]
