"""Mixed precision: networks whose features survive bfloat16, because its rounding is corrected.

In a network of small convolutions, bfloat16 does most of its damage not by rounding activations but
by rounding constants: weights and biases keep 8 of their 24 bits, the error is the same for every
image, and later layers multiply it. Constants can be corrected once, without anybody's images:

- Weights of dense convolutions are rounded by their effect on the outputs for images of noise
  (`featx.engines.rounding.round_by_effect`).
- Each channel of a depthwise convolution, which has few weights, is also scaled so that rounding
  loses least. The scale is undone after the convolution, in float32.
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
from typing import Any, NamedTuple

import numpy as np

from featx.engines.graph import NotConvertible
from featx.engines.rounding import correlate_window, damp, round_by_effect, round_weights
from featx.machine import available_cores
from featx.scratch import scratch_folder

FLOAT32_CONVOLUTIONS = 3
"""In MobileNetV2, the stem and the first block. The lowest cosine over 540 photographs is then
0.9988; with none in float32 it is 0.995, with four to six 0.999 at 0.8 of the speed
(``benchmarks/LOG.md``)."""

MAX_COLUMNS = 1280
"""Dense convolutions with more weights for each channel are rounded like depthwise ones: their
covariance would take seconds."""

_MAX_MEASURED = 2**24
"""Numbers of covariances that are in memory at a time: 64 MiB."""

_NUM_IMAGES = 16
_BLOCK = 4

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
    def num_moments(self) -> int:
        """How many products of two channels its rounding needs."""
        channels = self.weights.shape[1]
        is_small = self.weights[0].size <= MAX_COLUMNS
        return channels**2 if is_small and not self.is_depthwise else 0

    @property
    def bias(self) -> np.ndarray:
        """The bias of each output channel."""
        if self.add is None:
            return np.zeros(len(self.weights), np.float32)
        return np.asarray(self.add.input_value(1).get_node().data).reshape(-1)


class _Measured(NamedTuple):
    """What goes into a convolution: means of channels (C,), of products of two, (C, C) or None."""

    means: np.ndarray
    moments: np.ndarray | None


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
        NotConvertible: If it has no convolutions that can be corrected.
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
    rounded = {
        one.name: _round(one, measured)
        for group in _in_groups(found)
        for one, measured in zip(group, _measure(core, model, group), strict=True)
    }
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


def _in_groups(found: list[_Convolution]) -> Iterator[list[_Convolution]]:
    """Divide convolutions so that what is measured for each group fits into memory."""
    group: list[_Convolution] = []
    total = 0
    for one in found:
        if group and total + one.num_moments > _MAX_MEASURED:
            yield group
            group, total = [], 0
        group.append(one)
        total += one.num_moments
    yield group


def _measure(core: Any, model: Any, group: list[_Convolution]) -> list[_Measured]:
    """Measure what goes into convolutions, for images of noise; summed inside OpenVINO."""
    import openvino
    from openvino import opset13 as ops

    results = [ops.reduce_mean(one.node.input_value(0), [0, 2, 3]).output(0) for one in group]
    results += [_multiply_channels(one.node.input_value(0)) for one in group if one.num_moments]
    measured = openvino.Model(results, model.get_parameters(), "measured").clone()
    _, height, width, channels = measured.input(0).get_partial_shape()
    measured.reshape([_BLOCK, height, width, channels])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": available_cores(),
    }
    compiled = core.compile_model(measured, "CPU", settings)
    images = make_noise(*(size.get_length() for size in (height, width, channels)))
    blocks = np.split(images, _NUM_IMAGES // _BLOCK)
    totals: list[Any] = [0.0] * len(results)
    for block in blocks:
        totals = [
            total + values / len(blocks)
            for total, values in zip(totals, compiled([block]).to_tuple(), strict=True)
        ]
    moments = iter(totals[len(group) :])
    return [
        _Measured(means.astype(np.float64), next(moments) if one.num_moments else None)
        for one, means in zip(group, totals, strict=False)
    ]


def _multiply_channels(maps: Any) -> Any:
    """Return the mean products of all pairs of channels: (C, C)."""
    from openvino import opset13 as ops

    flat = ops.reshape(maps, [0, 0, -1], True)  # (B, C, h * w)
    products = ops.reduce_mean(ops.matmul(flat, flat, False, True), [0])
    size = ops.convert(ops.reduce_prod(ops.gather(ops.shape_of(maps), [2, 3], 0), [0]), "f32")
    return ops.divide(products, size).output(0)


def make_noise(height: int, width: int, channels: int) -> np.ndarray:
    """Return images of noise with the spectrum of photographs, the same ones every time.

    The amplitude of photographs falls with frequency, about as 1/f (Field, Relations between the
    statistics of natural images and the response properties of cortical cells, 1987). For the
    means of the inputs of layers, such noise serves as well as photographs.

    Returns:
        uint8 (16, height, width, channels).
    """
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1.0
    images = []
    for _ in range(_NUM_IMAGES):
        white = np.fft.fft2(random.normal(size=(channels, height, width)))
        layers = np.fft.ifft2(white / frequency ** random.uniform(0.9, 1.4)).real
        layers = layers[:1] + 0.5 * layers  # Mostly grey, as photographs are.
        layers = (layers - layers.mean()) / (layers.std() or 1.0)
        pixels = np.clip(128 + 60 * layers + 30 * random.normal(), 0, 255)
        images.append(pixels.astype(np.uint8).transpose(1, 2, 0))
    return np.stack(images)


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


def _round(convolution: _Convolution, measured: _Measured) -> _Rounded:
    """Round the weights of a convolution, and correct its bias by what that changes."""
    weights = convolution.weights
    rows = weights.reshape(len(weights), -1)
    window = correlate_window(*weights.shape[-2:])
    scales = None
    if measured.moments is not None:
        moments = measured.moments.astype(np.float64)
        covariance = moments - np.outer(measured.means, measured.means)
        rounded = round_by_effect(rows, damp(np.kron(covariance, window)))
    else:
        rounded, scales = round_weights(rows)
        if convolution.is_depthwise:
            rounded = round_by_effect(rows / scales[:, None], damp(window))
    products = rounded.astype(np.float64) * (1 if scales is None else scales[:, None])
    lost = (weights - products.reshape(weights.shape)).sum(axis=(-2, -1))
    change = lost[:, 0, 0] * measured.means if convolution.is_depthwise else lost @ measured.means
    bias = (convolution.bias + change).astype(np.float32)
    return _Rounded(rounded.reshape(weights.shape), scales, bias)


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
