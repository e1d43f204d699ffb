"""How many threads numerical libraries use for a fit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from featx.heads.kinds import Examples

SMALL_PROBLEM = 500_000_000
"""Multiplications of one pass over the data (N x D x C) up to which one thread is used. A pass
then takes milliseconds: more threads gain little, and where another program uses the cores they
wait for each other at every step (measured: 44 s instead of 3 s)."""


def threads_for(examples: Examples) -> AbstractContextManager[Any]:
    """Keep numerical libraries to one thread where more would cost time."""
    from threadpoolctl import threadpool_limits

    multiplications = examples.values.shape[0] * examples.values.shape[1] * examples.num_classes
    limits: AbstractContextManager[Any] = threadpool_limits(
        1 if multiplications <= SMALL_PROBLEM else None
    )
    return limits
