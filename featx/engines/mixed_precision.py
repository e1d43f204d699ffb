"""Mixed precision: networks whose features survive bfloat16, because its rounding is corrected.

In a network of small convolutions, bfloat16 does most of its damage not by rounding activations but
by rounding constants: weights and biases keep 8 of their 24 bits, the error is the same for every
image, and later layers multiply it. Constants can be corrected once, without anybody's images:

- Weights of dense convolutions are rounded by their effect on the outputs for images of noise
  (`featx.engines.rounding.round_by_effect`).
- Each channel of a depthwise convolution, which has few weights, is also scaled so that rounding
  loses least, and so are those of dense convolutions with small maps, where it costs little time.
  The scale is undone after the convolution, in float32.
- Biases stay in float32, and compensate for what rounded weights change at the mean of their input
  (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019; there
  for 8-bit integers, with means from batch normalisation).
- The first convolutions stay in float32: they have few channels, in which each error is large, and
  their errors go through all layers.

``python -m benchmarks.precision`` measures the result.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from featx.engines.graph import NotConvertible
from featx.engines.noise_statistics import Maps, Statistics, measure
from featx.engines.rounding import (
    correlate_window,
    damp,
    round_by_effect,
    round_weights,
    to_bfloat16,
)
from featx.numeric_threads import one_thread
from featx.scratch import scratch_folder

FLOAT32_CONVOLUTIONS = 3
"""In MobileNetV2, the stem and the first block. With two, the lowest cosine over 540 photographs is
0.995 instead of 0.999 (``benchmarks/LOG.md``)."""

MAX_COLUMNS = 1280
"""Dense convolutions with more weights for each channel are rounded like depthwise ones: their
covariance would take seconds."""

MAX_SCALED_PIXELS = 56 * 56
"""Of maps whose channels are scaled behind dense convolutions. Larger maps, of which MobileNetV2
has one in bfloat16, take more time than they bring (``benchmarks/LOG.md``)."""

_UNLIMITED = 1e30

_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_WEIGHTED = (*_CONVOLUTIONS, "MatMul")
_NO_OPERATION = ("Constant", "Parameter", "Result")

_NOTHING = (
    "there are no convolutions that can be corrected behind the first "
    f"{FLOAT32_CONVOLUTIONS} layers with weights"
)

MARK = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16,bf16"}
"""OpenVINO's internal mark of an operation that stays in float32. A version that does not know the
mark computes in bfloat16, which is noticed when the network is compiled."""


class _Convolution(NamedTuple):
    """A convolution with constant weights, and the addition of its constant bias, if any."""

    node: Any
    add: Any | None
    weights: np.ndarray

    @property
    def name(self) -> str:
        name: str = self.node.get_friendly_name()
        return name

    @property
    def is_depthwise(self) -> bool:
        return bool(self.node.get_type_name() == "GroupConvolution")

    @property
    def is_rounded_by_effect(self) -> bool:
        """Whether its rounding needs to know how the channels of its input are correlated."""
        return not self.is_depthwise and self.weights[0].size <= MAX_COLUMNS

    @property
    def is_scaled(self) -> bool:
        """Whether its results are scaled: where that takes little time, or little else helps."""
        height, width = list(self.node.get_output_partial_shape(0))[2:]
        num_pixels = height.get_length() * width.get_length()
        return not self.is_rounded_by_effect or num_pixels <= MAX_SCALED_PIXELS

    @property
    def input(self) -> Maps:
        """What has to be measured."""
        return Maps(self.node.input_value(0), self.is_rounded_by_effect)

    @property
    def bias(self) -> np.ndarray:
        """The bias of each output channel."""
        if self.add is None:
            return np.zeros(len(self.weights), np.float32)
        return np.asarray(self.add.input_value(1).get_node().data).reshape(-1)


class _Rounded(NamedTuple):
    """Weights that bfloat16 represents exactly, scales of their results (N,), if any, bias (N,)."""

    weights: np.ndarray
    scales: np.ndarray | None
    bias: np.ndarray


def correct(core: Any, model: Any) -> Any:
    """Return a model that computes in bfloat16 nearly what `model` computes in float32.

    Args:
        core: OpenVINO's core.
        model: A model that the engine converted; not modified.

    Returns:
        A model with the same input and results. In float32, it differs from `model` only by the
        rounding of its weights.

    Raises:
        NotConvertible: If it has no convolutions that can be corrected, or computes numbers that
            are too large for float32.
    """
    from openvino._offline_transformations import apply_moc_transformations

    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    weighted = [kind for kind in kinds if kind in _WEIGHTED]
    if not {*weighted[FLOAT32_CONVOLUTIONS:]}.intersection(_CONVOLUTIONS):
        raise NotConvertible(_NOTHING)  # Checked before a large network is written to a file.
    model = model.clone()
    # The plugin would do this later, and ignore the marks.
    apply_moc_transformations(model, True)
    tree, weights = _write(model)
    model = _read(core, tree, weights)  # In a file, names of operations are unique.
    exact = _first_operations(model)
    found = [one for one in _convolutions(model) if one.name not in exact]
    if not found:
        raise NotConvertible(_NOTHING)
    measured = measure(core, model, [one.input for one in found])
    with one_thread():  # Of two, each mostly waits for the other: the matrices are small.
        rounded = {one.name: _round(one, known) for one, known in zip(found, measured, strict=True)}
    _mark(tree, exact)
    model = _read(core, tree, weights)
    for one in list(_convolutions(model)):  # Find all before the first one changes.
        if one.name in rounded:
            _replace(one, rounded[one.name])
    model.validate_nodes_and_infer_types()
    return model


def _first_operations(model: Any) -> set[str]:
    """Return the names of the operations before the first convolution that may be rounded."""
    names: set[str] = set()
    count = 0
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        count += kind in _WEIGHTED
        if count > FLOAT32_CONVOLUTIONS:
            break
        if kind not in _NO_OPERATION:
            names.add(node.get_friendly_name())
    return names


def _convolutions(model: Any) -> Iterator[_Convolution]:
    """Yield dense and depthwise convolutions of images with float32 weights."""
    for node in model.get_ordered_ops():
        if node.get_type_name() not in _CONVOLUTIONS:
            continue
        is_grouped = node.get_type_name() == "GroupConvolution"
        kernel = node.input_value(1).get_node()
        if kernel.get_type_name() != "Constant":
            continue
        weights = np.asarray(kernel.data)
        if weights.dtype != np.float32 or weights.ndim != 4 + is_grouped:
            continue
        if not np.abs(weights).max() < _UNLIMITED:  # Or they are no numbers.
            continue
        if not is_grouped or weights.shape[1:3] == (1, 1):
            yield _Convolution(node, _find_bias(node, len(weights)), weights)


def _find_bias(node: Any, num_channels: int) -> Any | None:
    """Return the addition of a constant per channel, if nothing else uses a result."""
    users = [target.get_node() for target in node.output(0).get_target_inputs()]
    if len(users) != 1 or users[0].get_type_name() != "Add":
        return None
    bias = users[0].input_value(1).get_node()
    is_constant = bias.get_type_name() == "Constant" and bias.data.dtype == np.float32
    shapes = ((1, num_channels, 1, 1), (num_channels, 1, 1))
    return users[0] if is_constant and bias.data.shape in shapes else None


def _write(model: Any) -> tuple[ElementTree.Element, np.ndarray]:
    """Return the content of OpenVINO's two files of a model."""
    import openvino

    with scratch_folder() as folder:
        path = folder / "model.xml"
        openvino.serialize(model, path)
        return ElementTree.fromstring(path.read_bytes()), np.fromfile(
            path.with_suffix(".bin"), np.uint8
        )


def _read(core: Any, tree: ElementTree.Element, weights: np.ndarray) -> Any:
    import openvino

    return core.read_model(ElementTree.tostring(tree), openvino.Tensor(weights))


def _mark(tree: ElementTree.Element, names: set[str]) -> None:
    """Mark operations that stay in float32. Python can only set the mark in the file."""
    for layer in tree.iterfind("layers/layer"):
        if layer.get("name") in names:
            info = layer.find("rt_info")
            info = ElementTree.SubElement(layer, "rt_info") if info is None else info
            ElementTree.SubElement(info, "attribute", MARK)


def _round(convolution: _Convolution, measured: Statistics) -> _Rounded:
    """Round the weights of a convolution, and correct its bias by what that changes."""
    weights = convolution.weights
    rows = weights.reshape(len(weights), -1)
    rounded, scales = round_weights(rows) if convolution.is_scaled else (to_bfloat16(rows), None)
    covariance = _find_covariance(convolution, measured)
    if covariance is not None:
        exact = rows if scales is None else rows / scales[:, None]
        # Not positive definite: in float32, means have cancelled variances far below their squares.
        with suppress(np.linalg.LinAlgError):
            rounded = round_by_effect(exact, damp(covariance))
    products = rounded.astype(np.float64) * (1 if scales is None else scales[:, None])
    lost = (weights - products.reshape(weights.shape)).sum(axis=(-2, -1))
    change = lost[:, 0, 0] * measured.means if convolution.is_depthwise else lost @ measured.means
    bias = (convolution.bias + change).astype(np.float32)
    return _Rounded(rounded.reshape(weights.shape), scales, bias)


def _find_covariance(convolution: _Convolution, measured: Statistics) -> np.ndarray | None:
    """Return how the inputs of one sum of products are correlated, (K, K), if that is known."""
    window = correlate_window(*convolution.weights.shape[-2:])
    if convolution.is_depthwise:
        return window
    if measured.products is None:
        return None
    return np.kron(measured.products - np.outer(measured.means, measured.means), window)


def _replace(convolution: _Convolution, rounded: _Rounded) -> None:
    """Replace weights and bias of a convolution."""
    from openvino import opset13 as ops

    result = convolution.node if convolution.add is None else convolution.add
    targets = list(result.output(0).get_target_inputs())
    convolution.node.input(1).replace_source_output(ops.constant(rounded.weights).output(0))
    # Changes nothing, but keeps the plugin from folding scale and bias into the convolution, where
    # they would be rounded too.
    result = ops.clamp(convolution.node.output(0), -_UNLIMITED, _UNLIMITED)
    if rounded.scales is not None:
        result = ops.multiply(result, ops.constant(rounded.scales.reshape(1, -1, 1, 1)))
    result = ops.add(result, ops.constant(rounded.bias.reshape(1, -1, 1, 1)))
    for target in targets:
        target.replace_source_output(result.output(0))
