"""Weights rounded to bfloat16, in NumPy: to the nearest, at the best scale, or by their effect."""

from __future__ import annotations

import numpy as np

_SCALES = np.float32(2) ** (np.arange(32, dtype=np.float32) / 32)
"""Scales tried for each row; further powers of two would change nothing."""

_DAMPING = 0.01
"""Added to a covariance that was estimated, as a share of its mean variance."""

_CORRELATION = 0.9
"""Of a pixel of a map and the next one. From 0.8 to 0.97, features come out alike
(``benchmarks/LOG.md``)."""


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round float32 numbers to the nearest bfloat16, ties to even.

    Example:
        >>> to_bfloat16(np.array([1.0, 1.001, 1.005], np.float32)).tolist()
        [1.0, 1.0, 1.0078125]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (nearest & np.uint32(0xFFFF0000)).view(np.float32)


def round_weights(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round rows to bfloat16 times a scale that minimises the squared error.

    Args:
        rows: float32 (N, K).

    Returns:
        Rows that bfloat16 represents exactly, (N, K), and scales (N,); rows times scales are
        close to `rows`.

    Example:
        >>> rows = np.array([[1.01, 2.02]], np.float32)
        >>> rounded, scales = round_weights(rows)
        >>> np.allclose(rounded * scales[:, None], rows), np.allclose(to_bfloat16(rows), rows)
        (True, False)
    """
    best = np.full(len(rows), np.inf)
    rounded = np.zeros_like(rows)
    scales = np.ones(len(rows), np.float32)
    exact = rows.astype(np.float64)  # Squares of small weights underflow in float32.
    for scale in _SCALES:
        candidate = to_bfloat16(rows * scale).astype(np.float64)
        squares = (candidate * candidate).sum(axis=1)
        back = (candidate * exact).sum(axis=1) / np.where(squares > 0, squares, 1)
        error = ((candidate * back[:, None] - exact) ** 2).sum(axis=1)
        better = error < best
        best[better], scales[better] = error[better], back[better]
        rounded[better] = candidate[better]
    return rounded, np.where(rounded.any(axis=1), scales, np.float32(1))


def round_by_effect(rows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Round rows to bfloat16 so that their products with inputs change least.

    One column after the other is rounded, the last one first, and those that follow make up for
    what was lost. This is GPTQ (Frantar et al., 2022), in the form of Babai's algorithm for the
    nearest point of a lattice, which needs no inverse (Chen et al., The Geometry of LLM
    Quantization, 2025). A row for which rounding to the nearest loses less is rounded so.

    Args:
        rows: float32 (N, K).
        covariance: Of the inputs, (K, K), positive definite.

    Returns:
        float32 (N, K) that bfloat16 represents exactly.

    Raises:
        numpy.linalg.LinAlgError: If the covariance is not positive definite.

    Example:
        Inputs that are nearly equal: a sum of weights counts, not each of them.

        >>> rows = np.array([[1.0039, 1.0039]], np.float32)
        >>> round_by_effect(rows, np.array([[1.0, 0.99], [0.99, 1.0]])).tolist()
        [[1.0078125, 1.0]]
    """
    factor = np.linalg.cholesky(covariance).T
    exact = rows.astype(np.float64)
    rounded = np.empty_like(rows)
    lost = np.empty_like(exact)
    for column in reversed(range(rows.shape[1])):
        behind = factor[column, column + 1 :] / factor[column, column]
        wanted = exact[:, column] + lost[:, column + 1 :] @ behind
        rounded[:, column] = to_bfloat16(wanted.astype(np.float32))
        lost[:, column] = exact[:, column] - rounded[:, column]
    nearest = to_bfloat16(rows)
    effects = [((one @ factor.T) ** 2).sum(axis=1) for one in (lost, exact - nearest)]
    return np.where((effects[0] <= effects[1])[:, None], rounded, nearest)


def damp(covariance: np.ndarray) -> np.ndarray:
    """Make an estimated covariance (K, K) positive definite, and less sure of itself.

    Example:
        >>> damp(np.array([[1.0, 1.0], [1.0, 1.0]]))
        array([[1.01, 1.  ],
               [1.  , 1.01]])
    """
    variance = float(np.diagonal(covariance).mean())
    return covariance + (_DAMPING * variance or 1.0) * np.eye(len(covariance))


def correlate_window(height: int, width: int) -> np.ndarray:
    """Return how the pixels of a window in a map are correlated: (height * width,) * 2.

    Maps are smooth: it falls with the distance.

    Example:
        >>> correlate_window(1, 2)
        array([[1. , 0.9],
               [0.9, 1. ]])
    """
    places = np.indices((height, width)).reshape(2, -1)
    distances = np.hypot(*(places[:, :, None] - places[:, None]))
    return np.asarray(_CORRELATION**distances)
