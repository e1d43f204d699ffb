"""Pixels turned to the layout that a graph takes, and its maps turned back, in NumPy alone."""

from __future__ import annotations

import numpy as np

from featx.engines.graph import Layout
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec


def scale_for_graph(pixels: np.ndarray, contract: InputSpec, layout: Layout) -> np.ndarray:
    """Scale pixels (B, H, W, C) as a model wants them, in the layout in which its graph takes them.

    Example:
        >>> white = np.full((1, 8, 9, 3), 255, np.uint8)
        >>> scale_for_graph(white, InputSpec(8, 9, scaling="unit"), "channels_first").shape
        (1, 3, 8, 9)
    """
    scaled = scale_pixels(pixels, contract)
    if layout == "channels_first":
        scaled = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
    return scaled


def channels_last(values: np.ndarray, layout: Layout | None) -> np.ndarray:
    """Return what a graph gives in a layout, maps with their channels last.

    Example:
        >>> channels_last(np.zeros((1, 3, 8, 9)), "channels_first").shape
        (1, 8, 9, 3)
    """
    if layout != "channels_first":
        return values
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1))
