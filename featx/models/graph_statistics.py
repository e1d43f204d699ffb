"""Which pixels the network of a graph was trained on: the batch normalisation behind its door."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.models.trained_pixels import TrainedPixels, find_trained_pixels

_ADDS = ("Add", "AddV2", "BiasAdd")
_COPIES = ("Identity", "Cast", "Reshape", "Squeeze")


def find_trained(images: Any, name: str) -> TrainedPixels | None:
    """Find out which pixels a graph was trained on, where it begins with a convolution.

    Args:
        images: The tensor that its first layer takes.
        name: What to call the convolution.
    """
    convolution = _only_user(images)
    if convolution is None or convolution.type != "Conv2D":
        return None
    kernel, tensor = _constant(convolution.inputs[1]), convolution.outputs[0]
    bias = np.float32(0)
    user = _only_user(tensor)
    if user is not None and user.type in _ADDS and _constant(user.inputs[1]) is not None:
        bias, tensor = _constant(user.inputs[1]), user.outputs[0]
    statistics = _find_statistics(_only_user(tensor), tensor)
    if kernel is None or statistics is None:
        return None
    mean, variance = statistics
    return find_trained_pixels(name, kernel, mean - bias, variance)


def _find_statistics(operation: Any, tensor: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and variance of a normalisation: one operation, or those that stand for it.

    `tf.nn.batch_normalization` is ``x * m + (offset - mean * m)``, with
    ``m = rsqrt(variance + epsilon) * scale``.
    """
    if operation is None:
        return None
    if operation.type.startswith("FusedBatchNorm"):
        found = (_constant(operation.inputs[3]), _constant(operation.inputs[4]))
    elif operation.type == "Mul":
        factor = _other_input(operation, tensor)
        following = _only_user(operation.outputs[0])
        if following is None or following.type not in _ADDS:
            return None
        offset = _other_input(following, operation.outputs[0]).op
        product = _source(offset.inputs[1]).op if offset.type == "Sub" else None
        if product is None or product.type != "Mul":
            return None
        found = (_constant(_other_input(product, factor)), _find_variance(factor.op))
    else:
        return None
    mean, variance = found
    return None if mean is None or variance is None else (mean, variance)


def _find_variance(operation: Any) -> np.ndarray | None:
    """Return the variance of which an operation gives one by the root, times a scale."""
    if operation.type == "Mul":
        inputs = [_source(each).op for each in operation.inputs]
        operation = next((each for each in inputs if each.type == "Rsqrt"), operation)
    if operation.type != "Rsqrt":
        return None
    total = _source(operation.inputs[0])
    candidates = [total, *(total.op.inputs if total.op.type in _ADDS else ())]
    return next((value for value in map(_constant, candidates) if np.ndim(value) == 1), None)


def _only_user(tensor: Any) -> Any:
    """Return the operation that takes a tensor; None if there are several."""
    users = tensor.consumers()
    return users[0] if len(users) == 1 else None


def _other_input(operation: Any, tensor: Any) -> Any:
    """Return the first input of an operation that is not this tensor."""
    sources = [_source(each) for each in operation.inputs]
    return next((each for each in sources if each is not tensor), sources[0])


def _source(tensor: Any) -> Any:
    """Return the tensor whose values `tensor` holds, in whatever shape and type."""
    while tensor.op.type in _COPIES:
        tensor = tensor.op.inputs[0]
    return tensor


def _constant(tensor: Any) -> Any:
    """Return the value of a constant, or None."""
    from tensorflow.python.framework import tensor_util

    return tensor_util.constant_value(_source(tensor))
