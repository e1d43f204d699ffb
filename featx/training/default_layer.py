"""Which layer a new top is put on when none is named: the one before a network's own classifier."""

from __future__ import annotations

from collections.abc import Sequence

from featx.models.backbone import Layer

_DENSE = "Dense"

_CLASSIFYING = ("Conv2D", "Softmax")
"""Types of layers that end a network whose result is a map of classes."""


def find_top(layers: Sequence[Layer]) -> str | None:
    """Return the vector that a network's own last dense layer takes, or the map that it ends with.

    Of a network without its own end, small pictures leave a map of one position, 1 x 1: all of its
    layers are below the top then, too.

    Args:
        layers: The network's, in the order of computation.

    Returns:
        The name of a layer; None for a network that ends with something else.

    Example:
        >>> def make(name, kind, *shape, is_result=False):
        ...     return Layer(name, "layer", kind, None, shape, is_result=is_result)
        >>> find_top([make("flat", "Flatten", 64), make("out", "Dense", 10, is_result=True)])
        'flat'
        >>> find_top([make("mixed10", "Concatenate", 1, 1, 2048, is_result=True)])
        'mixed10'
        >>> find_top([make("conv", "Conv2D", 7, 7, 8, is_result=True)]) is None
        True
    """
    ends = [layer for layer in layers if layer.is_result]
    if [layer.shape[:-1] for layer in ends] == [(1, 1)] and ends[0].type not in _CLASSIFYING:
        return ends[0].name
    if not any(layer.is_result and len(layer.shape) == 1 for layer in layers):
        return None
    dense = [number for number, layer in enumerate(layers) if layer.type == _DENSE]
    if not dense or any(len(layer.shape) != 1 for layer in layers[dense[-1] :]):
        return None
    before = layers[: dense[-1]]
    if not before or len(before[-1].shape) != 1:
        return None
    return before[-1].name
