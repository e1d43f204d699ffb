"""Heads that are layers of a network: from operations back to the arrays of a kind of head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.heads.operations import Affine, Operation, Relu, Softmax, Standardise


def weights_of(operations: Sequence[Operation]) -> tuple[str, dict[str, np.ndarray]] | None:
    """Return the kind of head that has these operations, and its arrays.

    Returns:
        ``linear`` or ``mlp``; None for operations that are not dense layers behind one another.

    Example:
        >>> kind, arrays = weights_of([Affine(np.eye(2), np.zeros(2)), Softmax()])
        >>> kind, sorted(arrays)
        ('linear', ['coefficients', 'intercepts', 'mean', 'scale'])
    """
    steps = list(operations)
    if not steps or not isinstance(steps.pop(), Softmax):
        return None
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
    if len(maps) == 1:
        return "linear", arrays | {
            "coefficients": maps[0].coefficients,
            "intercepts": maps[0].intercepts,
        }
    for number, step in enumerate(maps):
        arrays[f"coefficients_{number}"] = step.coefficients
        arrays[f"intercepts_{number}"] = step.intercepts
    return "mlp", arrays
