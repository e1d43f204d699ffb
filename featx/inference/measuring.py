"""What engines and precisions are compared by: agreement of rows, and images per second."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from featx.inference.network import Network


def lowest_cosine(reference: np.ndarray, values: np.ndarray) -> float:
    """Return the lowest cosine between rows of two arrays; two rows of zeros agree.

    A row with NaN or infinity has the cosine 0.

    Example:
        >>> rows = np.eye(2, dtype=np.float32)
        >>> lowest_cosine(rows, 2 * rows), lowest_cosine(rows, rows[::-1])
        (1.0, 0.0)
    """
    first = reference.reshape(len(reference), -1).astype(np.float64)
    second = values.reshape(len(values), -1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # Of infinity, and of infinity and 0.
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        products = (first * second).sum(axis=1)
        both_zero = ~(first.any(axis=1) | second.any(axis=1))
        cosines = np.where(both_zero, 1.0, products / np.where(lengths > 0, lengths, math.inf))
    return float(np.nan_to_num(cosines, nan=0.0).min(initial=1.0))


def compare_speeds(runs: Sequence[tuple[Network, np.ndarray]], seconds: float = 0.5) -> list[float]:
    """Measure images per second of several networks: the best of rounds in turn.

    In turn, and the best: what else runs on the machine then slows down all alike, or none.

    Args:
        runs: Networks, and one batch for each.
        seconds: How long to go on with each; at least two rounds are counted.
    """
    best = [math.inf] * len(runs)
    spent = [0.0] * len(runs)

    def compute(network: Network, pixels: np.ndarray) -> None:
        network(pixels)  # What it gives may be large, and is not kept.

    with ThreadPoolExecutor(max(network.concurrency for network, _ in runs)) as pool:
        for number in range(50):
            for index, (network, pixels) in enumerate(runs):
                if number > 2 and spent[index] > seconds:
                    continue
                start = time.perf_counter()
                count = network.concurrency
                list(pool.map(compute, [network] * count, [pixels] * count))
                elapsed = time.perf_counter() - start
                if number:  # In the first round, kernels are made and memory is taken.
                    best[index] = min(best[index], elapsed)
                    spent[index] += elapsed
    return [
        len(pixels) * network.concurrency / elapsed
        for (network, pixels), elapsed in zip(runs, best, strict=True)
    ]
