"""Mixed precision: networks whose features survive bfloat16, because its rounding is corrected.

In a network of small convolutions, bfloat16 does most of its damage not by rounding activations but
by rounding constants: weights and biases keep 8 of their 24 bits, the error is the same for every
image, and later layers multiply it. Constants can be corrected once, without any images:

- Each output channel of a convolution is scaled so that rounding its weights loses least. The scale
  is undone after the convolution, in float32.
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
from featx.machine import available_cores
from featx.scratch import scratch_folder

FLOAT32_CONVOLUTIONS = 3
"""In MobileNetV2, the stem and the first block. The lowest cosine over 540 photographs is then
0.9988; with none in float32 it is 0.995, with four to six 0.999 at 0.8 of the speed
(``benchmarks/LOG.md``)."""

_SCALES = np.float32(2) ** (np.arange(32, dtype=np.float32) / 32)
"""Scales tried for each channel; further powers of two would change nothing."""

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
    def bias(self) -> np.ndarray:
        """The bias of each output channel."""
        if self.add is None:
            return np.zeros(len(self.weights), np.float32)
        return np.asarray(self.add.input_value(1).get_node().data).reshape(-1)


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
    means = _mean_inputs(core, model, found)
    _mark(tree, exact)
    model = _read(core, tree, weights)
    for one in list(_convolutions(model)):  # Find all before the first one changes.
        if one.name in means:
            _correct_convolution(one, means[one.name])
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


def _mean_inputs(core: Any, model: Any, found: list[_Convolution]) -> dict[str, np.ndarray]:
    """Return the means of the channels that go into convolutions, for images of noise."""
    import openvino
    from openvino import opset13 as ops

    means = [ops.reduce_mean(one.node.input_value(0), [0, 2, 3]).output(0) for one in found]
    measured = openvino.Model(means, model.get_parameters(), "means").clone()
    _, height, width, channels = measured.input(0).get_partial_shape()
    measured.reshape([_BLOCK, height, width, channels])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": available_cores(),
    }
    compiled = core.compile_model(measured, "CPU", settings)
    images = make_noise(*(size.get_length() for size in (height, width, channels)))
    blocks = [
        [values.astype(np.float64) for values in compiled([block]).to_tuple()]
        for block in np.split(images, _NUM_IMAGES // _BLOCK)
    ]
    totals = [np.mean(values, axis=0) for values in zip(*blocks, strict=True)]
    return {one.name: total for one, total in zip(found, totals, strict=True)}


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


def _correct_convolution(convolution: _Convolution, mean: np.ndarray) -> None:
    """Replace weights and bias by rounded weights, their scales and a corrected bias."""
    from openvino import opset13 as ops

    weights = convolution.weights
    rounded, scales = round_weights(weights.reshape(len(weights), -1))
    products = rounded.astype(np.float64) * scales[:, None]
    lost = weights - products.reshape(weights.shape)
    if convolution.is_depthwise:
        change = lost.sum(axis=(1, 2, 3, 4)) * mean
    else:
        change = lost.sum(axis=(2, 3)) @ mean
    bias = (convolution.bias + change).astype(np.float32)
    result = convolution.node if convolution.add is None else convolution.add
    targets = list(result.output(0).get_target_inputs())
    convolution.node.input(1).replace_source_output(
        ops.constant(rounded.reshape(weights.shape)).output(0)
    )
    # Changes nothing, but keeps the plugin from folding scale and bias into the convolution, where
    # they would be rounded too.
    result = ops.clamp(convolution.node.output(0), -_UNLIMITED, _UNLIMITED)
    result = ops.multiply(result, ops.constant(scales.reshape(1, -1, 1, 1)))
    result = ops.add(result, ops.constant(bias.reshape(1, -1, 1, 1)))
    for target in targets:
        target.replace_source_output(result.output(0))


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
    return rounded, scales


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round float32 numbers to the nearest bfloat16, ties to even.

    Example:
        >>> to_bfloat16(np.array([1.0, 1.001, 1.005], np.float32)).tolist()
        [1.0, 1.0, 1.0078125]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (nearest & np.uint32(0xFFFF0000)).view(np.float32)
