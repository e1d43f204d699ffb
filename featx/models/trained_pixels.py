"""Which pixels a network was trained on, by its first convolution and its batch normalisation.

A convolution is linear, and batch normalisation keeps the mean of what it was given in training. So
for each filter that mean is the sum of the filter's weights for a channel times the channel's mean,
over all channels: more equations than channels, whose solution is the mean of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.input_spec import Scaling
from featx.models.inner_scaling import format_channels

_EXPLAINED = 0.98
"""Share of the variance of the means that the solution must explain; it is 1 but for borders."""

_LEAST_SPARE = 4
"""Filters beyond one for each channel: of fewer, chance explains as much of one network in ten."""

_MEANS: tuple[tuple[Scaling, float, float, float, float], ...] = (
    ("raw", 50, 205, 10, 130),
    ("unit", 0.2, 0.8, 0.05, 0.5),
    ("tf", -0.6, 0.6, 0.2, 0.75),
    ("torch", -0.8, 0.8, 0.75, 2),
    ("caffe", -40, 40, 10, 130),
)
"""Lowest and highest mean of a channel, and deviation, of photographs under each scaling. Those of
ImageNet are 0.45 and 0.27 in [0, 1]."""


@dataclass(frozen=True, slots=True)
class TrainedPixels:
    """Mean and deviation of the pixels that a network was trained on.

    Attributes:
        name: Its first convolution.
        mean: Of each channel.
        deviation: Of all; a little too small, since a filter sees an average of pixels.
    """

    name: str
    mean: np.ndarray
    deviation: float

    scaling = None
    """This is never certain; see `likely`."""

    @property
    def likely(self) -> Scaling | None:
        """The scaling that such pixels probably have."""
        for scaling, low, high, least, most in _MEANS:
            if low < self.mean.min() and self.mean.max() < high and least < self.deviation < most:
                return scaling
        return None

    def describe(self) -> str:
        """Say in a sentence what was found.

        Example:
            >>> TrainedPixels("conv", np.array([0.45]), 0.25).describe()
            "begins with 'conv', trained on pixels of mean 0.45, deviation 0.25: probably unit"
        """
        mean = format_channels(np.array([float(f"{value:.2g}") for value in self.mean]))
        likely = "" if self.likely is None else f": probably {self.likely}"
        return (
            f"begins with {self.name!r}, trained on pixels of mean {mean}, "
            f"deviation {self.deviation:.2g}{likely}"
        )

    def warn(self, asked: Scaling | None) -> str:
        """Say nothing: a guess is no reason to doubt what was asked for."""
        return ""


def find_trained_pixels(
    name: str, kernel: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> TrainedPixels | None:
    """Solve for the mean of pixels, and estimate their deviation.

    Args:
        name: The convolution.
        kernel: Its weights, (h, w, C, K).
        mean: The mean of its K results in training, without its bias.
        variance: Their variance.

    Returns:
        None where the means do not come from the pixels, or are those of an untrained network.
    """
    sums = kernel.sum(axis=(0, 1), dtype=np.float64)
    num_channels, num_filters = sums.shape
    if num_filters < num_channels + _LEAST_SPARE:
        return None
    if not mean.shape == variance.shape == (num_filters,):  # As in training: no statistics.
        return None
    if not all(np.isfinite(array).all() for array in (sums, mean, variance)) or np.ptp(mean) == 0:
        return None
    pixels, *_ = np.linalg.lstsq(sums.T, mean.astype(np.float64), rcond=None)
    rest = np.square(sums.T @ pixels - mean).sum() / np.square(mean - mean.mean()).sum()
    if not np.isfinite(rest) or rest > 1 - _EXPLAINED:
        return None
    # Filters that average: what they give deviates as the pixels do, times the sum of weights.
    totals = np.abs(sums.sum(axis=0))
    share = totals / np.maximum(np.abs(kernel).sum(axis=(0, 1, 2)), np.finfo(float).tiny)
    chosen = np.argsort(-share * (totals > 0.1 * totals.max()))[: max(3, len(totals) // 8)]
    deviation = np.median(np.sqrt(variance[chosen]) / totals[chosen])
    return TrainedPixels(name, pixels, float(deviation))
