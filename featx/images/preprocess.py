"""Scaling of 8-bit pixels to what a model was trained on, in NumPy alone.

The arithmetic is that of `keras.applications.imagenet_utils.preprocess_input`,
operation by operation in float32, so that results are equal to the last digit.
"""

from __future__ import annotations

import numpy as np

from featx.errors import DimensionMismatch, InvalidValue
from featx.input_spec import InputSpec
from featx.wording import option

CAFFE_MEAN = np.array([123.68, 116.779, 103.939], dtype=np.float32)
"""Mean RGB of ImageNet in [0, 255] that VGG and ResNet v1 subtract
(Keras, `applications/imagenet_utils.py`, mode "caffe"; there in BGR order)."""

TORCH_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
TORCH_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
"""Mean and standard deviation of ImageNet's RGB in [0, 1] (same file, mode "torch")."""


def scale_pixels(pixels: np.ndarray, contract: InputSpec) -> np.ndarray:
    """Scale a batch of pixels to the range a model was trained on.

    Args:
        pixels: RGB or grey in [0, 255], uint8 or float, shape (B, H, W, C). Not modified.
        contract: Scaling and channel order.

    Returns:
        float32 array of the same shape.

    Raises:
        DimensionMismatch: If the shape is not (B, H, W, C) with the contract's channels.
        InvalidValue: If the contract does not say how to scale.

    Example:
        >>> white = np.full((1, 1, 1, 3), 255, np.uint8)
        >>> scale_pixels(white, InputSpec(1, 1, scaling="tf")).ravel().tolist()
        [1.0, 1.0, 1.0]
    """
    pixels = np.asarray(pixels)  # A caller may pass a list of pictures.
    if pixels.ndim != 4 or pixels.shape[3] != contract.channels:
        raise DimensionMismatch(
            f"A batch of images has the shape (B, H, W, {contract.channels}). "
            f"Received: shape={pixels.shape}."
        )
    if contract.scaling is None:
        raise InvalidValue(
            f"The model's preprocessing is not known. Choose one with {option('preprocess')}."
        )
    scaled = pixels.astype(np.float32)
    if contract.scaling == "caffe":
        scaled -= CAFFE_MEAN
    elif contract.scaling == "tf":
        scaled /= np.float32(127.5)
        scaled -= np.float32(1.0)
    elif contract.scaling in ("torch", "unit"):
        scaled /= np.float32(255.0)
        if contract.scaling == "torch":
            scaled -= TORCH_MEAN
            scaled /= TORCH_STD
    if contract.channel_order == "bgr":
        scaled = np.ascontiguousarray(scaled[..., ::-1])
    return scaled
