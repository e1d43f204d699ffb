"""Which layer a new top is put on when none is named: the one before a network's own classifier."""

from __future__ import annotations

from collections.abc import Sequence

from featx.models.backbone import Layer

_DENSE = "Dense"


def find_top(layers: Sequence[Layer]) -> str | None:
    """Return the vector that a network's own last dense layer takes.

    Args:
        layers: The network's, in the order of computation.

    Returns:
        The name of a layer; None for a network that ends with something else, such as a map.

    Example:
        >>> def make(name, kind, *shape, is_result=False):
        ...     return Layer(name, "layer", kind, None, shape, is_result=is_result)
        >>> find_top([make("flat", "Flatten", 64), make("out", "Dense", 10, is_result=True)])
        'flat'
        >>> find_top([make("conv", "Conv2D", 7, 7, 8, is_result=True)]) is None
        True
    """
    if not any(layer.is_result and len(layer.shape) == 1 for layer in layers):
        return None
    dense = [number for number, layer in enumerate(layers) if layer.type == _DENSE]
    if not dense or any(len(layer.shape) != 1 for layer in layers[dense[-1] :]):
        return None
    before = layers[: dense[-1]]
    if not before or len(before[-1].shape) != 1:
        return None
    return before[-1].name
