"""A head in layers and operations of Keras: the second interpreter of its operations.

`featx.heads.operations` says what each operation computes, and computes it in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from featx.errors import HeadError
from featx.heads.operations import (
    Affine,
    NearestMean,
    NearestVote,
    Operation,
    Relu,
    Sigmoid,
    Softmax,
    Standardise,
    Temper,
    UnitLength,
)


def add_head(vectors: Any, operations: Sequence[Operation]) -> Any:
    """Put a head's operations behind vectors.

    Args:
        vectors: float32 (B, D), a symbol of Keras.
        operations: Of a head, `featx.Head.operations`.

    Returns:
        What the last one gives, (B, K). Affine maps are Dense layers, named ``head_affine``,
        ``head_affine_2`` ..., which training changes; the constants of all others stay.

    Raises:
        HeadError: If an operation is not one of featx's own.
    """
    counts: dict[str, int] = {}
    for operation in operations:
        kind = type(operation)
        if kind not in _LAYERS:
            raise HeadError(
                f"The operation {kind.__name__!r} of this head belongs to an add-on, and is "
                "computed in NumPy only: the head cannot be exported."
            )
        title = f"head_{kind.__name__.lower()}"
        counts[title] = counts.get(title, 0) + 1
        name = title if counts[title] == 1 else f"{title}_{counts[title]}"
        vectors = _LAYERS[kind](vectors, operation, name)
    return vectors


def _standardise(vectors: Any, operation: Standardise, name: str) -> Any:
    import keras

    # Subtracted first: of products, the large ones would cancel in float32.
    centred = keras.layers.Rescaling(1.0, (-operation.mean).tolist(), name=f"{name}_mean")(vectors)
    if (operation.scale == 1).all():
        return centred
    factors = 1 / np.asarray(operation.scale, np.float64)
    return keras.layers.Rescaling(factors.tolist(), 0.0, name=f"{name}_scale")(centred)


def _unit_length(vectors: Any, operation: UnitLength, name: str) -> Any:
    from keras import ops

    lengths = ops.sqrt(ops.sum(vectors * vectors, axis=-1, keepdims=True))
    return vectors / ops.where(lengths > 0, lengths, ops.ones_like(lengths))


def _affine(vectors: Any, operation: Affine, name: str) -> Any:
    import keras

    layer = keras.layers.Dense(len(operation.intercepts), name=name)
    result = layer(vectors)
    layer.set_weights([operation.coefficients.T, operation.intercepts])
    return result


def _activation(kind: str) -> Callable[[Any, Operation, str], Any]:
    def apply(vectors: Any, operation: Operation, name: str) -> Any:
        import keras

        return keras.layers.Activation(kind, name=name)(vectors)

    return apply


def _temper(vectors: Any, operation: Temper, name: str) -> Any:
    from keras import ops

    largest = ops.max(vectors, axis=-1, keepdims=True)
    powers = ops.power(vectors / largest, np.float32(1 / operation.temperature))
    return powers / ops.sum(powers, axis=-1, keepdims=True)


def _nearest_vote(vectors: Any, operation: NearestVote, name: str) -> Any:
    from keras import ops

    nearest, votes = _find_votes(vectors, operation, name)
    numbers = _look_up(nearest, operation.targets[:, np.newaxis], f"{name}_classes")[..., 0]
    classes = ops.one_hot(ops.cast(numbers, "int32"), operation.num_classes)
    shares = ops.sum(votes[..., None] * classes, axis=1)
    smoothing = operation.smoothing
    return (shares + smoothing / operation.num_classes) / (1 + smoothing)


def _nearest_mean(vectors: Any, operation: NearestMean, name: str) -> Any:
    from keras import ops

    nearest, votes = _find_votes(vectors, operation, name)
    targets = _look_up(nearest, operation.targets, f"{name}_targets")
    means = ops.sum(votes[..., None] * targets, axis=1)
    prior = np.asarray(operation.smoothing * operation.prior, np.float32)
    return (means + prior) / (1 + operation.smoothing)


def _find_votes(vectors: Any, operation: NearestVote | NearestMean, name: str) -> tuple[Any, Any]:
    """Return the numbers of the nearest examples, (B, k), and their votes, rows summing to 1."""
    import keras
    from keras import ops

    layer = keras.layers.Dense(
        len(operation.examples), use_bias=False, trainable=False, name=f"{name}_examples"
    )
    products = layer(vectors)
    layer.set_weights([operation.examples.T])
    near, nearest = ops.top_k(products, min(operation.neighbours, len(operation.examples)))
    near = near / np.float32(operation.temperature)
    counts = _look_up(nearest, operation.counts[:, np.newaxis], f"{name}_counts")[..., 0]
    votes = counts * ops.exp(near - ops.max(near, axis=-1, keepdims=True))
    return nearest, votes / ops.sum(votes, axis=-1, keepdims=True)


def _look_up(numbers: Any, rows: np.ndarray, name: str) -> Any:
    """Return rows of a table, (B, k, K) of (N, K)."""
    import keras

    layer = keras.layers.Embedding(*rows.shape, trainable=False, name=name)
    result = layer(numbers)
    layer.set_weights([np.asarray(rows, np.float32)])
    return result


_LAYERS: dict[type, Callable[[Any, Any, str], Any]] = {
    Standardise: _standardise,
    UnitLength: _unit_length,
    Affine: _affine,
    Relu: _activation("relu"),
    Softmax: _activation("softmax"),
    Sigmoid: _activation("sigmoid"),
    Temper: _temper,
    NearestVote: _nearest_vote,
    NearestMean: _nearest_mean,
}
