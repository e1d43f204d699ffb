"""Heads that are layers of a network: from operations back to the arrays of a kind of head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.heads.operations import Affine, Operation, Relu, Sigmoid, Softmax, Standardise
from featx.training.goals import Stretch


def weights_of(operations: Sequence[Operation]) -> tuple[str, dict[str, np.ndarray]] | None:
    """Return the kind of head that has these operations, and its arrays.

    Returns:
        ``linear``, ``mlp`` or, of a number, ``ridge``; None for operations that are not dense
        layers behind one another.

    Example:
        >>> kind, arrays = weights_of([Affine(np.eye(2), np.zeros(2)), Softmax()])
        >>> kind, sorted(arrays)
        ('linear', ['coefficients', 'intercepts', 'mean', 'scale'])
    """
    steps = list(operations)
    end = steps.pop() if steps and isinstance(steps[-1], Softmax | Sigmoid) else None
    first = steps[0] if steps else None
    if isinstance(first, Standardise):
        steps = steps[1:]
    maps = [step for step in steps[::2] if isinstance(step, Affine)]
    between = [step for step in steps[1::2] if isinstance(step, Relu)]
    if not maps or len(maps) + len(between) != len(steps) or len(steps) % 2 == 0:
        return None
    width = np.shape(maps[0].coefficients)[1]
    arrays = {"mean": np.zeros(width, np.float32), "scale": np.ones(width, np.float32)}
    if isinstance(first, Standardise):
        arrays = {"mean": np.asarray(first.mean), "scale": np.asarray(first.scale)}
    if isinstance(end, Sigmoid):
        arrays["multi"] = np.array(True)
    if len(maps) == 1:
        if end is None:
            arrays["number"] = np.array(True)
        return "linear" if end is not None else "ridge", arrays | {
            "coefficients": maps[0].coefficients,
            "intercepts": maps[0].intercepts,
        }
    if end is None:
        return None
    for number, step in enumerate(maps):
        arrays[f"coefficients_{number}"] = step.coefficients
        arrays[f"intercepts_{number}"] = step.intercepts
    return "mlp", arrays


def stretch(operations: Sequence[Operation], by: Stretch) -> tuple[Operation, ...]:
    """Return operations of which the last affine map gives other numbers: see `Stretch`.

    Example:
        >>> (found,) = stretch([Affine(np.eye(2), np.ones(2))], Stretch(2.0, 1.0))
        >>> found(np.array([[1.0, 0.0]])).tolist()
        [[5.0, 3.0]]
    """
    found = list(operations)
    place = max(n for n, operation in enumerate(found) if isinstance(operation, Affine))
    last = found[place]
    assert isinstance(last, Affine)
    found[place] = Affine(
        np.asarray(by.factor * last.coefficients, np.float32),
        np.asarray(by.factor * last.intercepts + by.shift, np.float32),
    )
    return tuple(found)
