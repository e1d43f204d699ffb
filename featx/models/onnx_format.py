"""The content of an ONNX file, read without loading it: nodes, weights, files that it refers to.

ONNX files are messages of Protocol Buffers, described by
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Only the few fields that featx needs are
read. The file may come from anyone: nothing is allocated that it does not hold.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from featx.engines.randomness import random_numbers_error
from featx.errors import ModelError
from featx.models.protobuf import decode_text, read_fields, read_integers, read_text

MAX_DEPTH = 30
"""Graphs within graphs, as in the branches of If; a file with more is damaged or malicious."""

MAX_VALUES_PER_BYTE = 2
"""The smallest types, of 4 bits, put two values into a byte."""

MAX_AXES = 64
"""Axes of a tensor; NumPy has no more."""

MAX_OPERATIONS = 100_000
"""Operations of a file: reading so many takes a minute."""

MAX_VERSION = 1000
"""Version of a set of operators: 26 in 2026; readers try all versions from the highest down."""

_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
"""Messages that hold tensors, directly or further inside: field number → message."""

_TENSOR_CONTENT = (4, 5, 6, 7, 9, 10, 11)
"""Fields of a tensor with its values: of each type by itself, and raw."""

_NO_WEIGHTS = (6, 7, 8, 9, 12, 13)
"""Types of tensors: int32, int64, string, bool, uint32 and uint64."""

_EXTERNAL = 1

_FEWEST_INPUTS: Mapping[str, int] = {
    **dict.fromkeys("GlobalAveragePool GlobalMaxPool LogSoftmax Max Mean Min Sum".split(), 1),
    **dict.fromkeys("Conv ExperimentalDetectronTopKROIs FusedConv Pad".split(), 2),
    **dict.fromkeys("Attention DetectionOutput ExperimentalDetectronPriorGridGenerator".split(), 3),
    "ExperimentalDetectronDetectionOutput": 4,
}
"""Operators whose nodes OpenVINO 2026.4 reads without counting their inputs: with fewer, it ends
the process. Found by reading each operator with each number of inputs."""


_RANDOM = frozenset(
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
)
"""Operators that draw random numbers: new ones for each call, even with a seed. A Dropout that
draws them is refused by OpenVINO."""


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """An operation.

    Attributes:
        type: The operator, with its domain where that is not ONNX's own.
        inputs: Names of the tensors that it reads, empty for those left out; then those that its
            branches and loops read.
        outputs: Names of the tensors that it gives.
        permutation: Order of axes, of a Transpose.
    """

    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    permutation: tuple[int, ...] = ()


@dataclass(slots=True)
class OnnxFile:
    """The content of a file.

    Attributes:
        nodes: Operations of the main graph, in the order of computation.
        weights: Tensors of fractions that are stored: name → number of values.
        outputs: Names of the graph's results.
        external: Files with weights beside it, sorted.
    """

    nodes: list[OnnxNode] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    external: list[Path] = field(default_factory=list)


def read_onnx_file(path: Path) -> OnnxFile:
    """Read a file, and check everything in it that says how much is to be read from where.

    Raises:
        ModelError: If it is no ONNX model, if a tensor claims more values than there are, if it
            refers to files outside its folder, or if it draws random numbers.
    """
    if not path.is_file():
        raise ModelError(f"There is no ONNX file {str(path)!r}.")
    if path.stat().st_size == 0:
        raise ModelError(f"{str(path)!r} is not an ONNX model: it is empty.")
    found = OnnxFile()
    external: set[Path] = set()
    with path.open("rb") as file:
        # Closed when nothing refers to it any more: views of it may outlive an error.
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        for tensor in _find_tensors(content, "model", 0):
            _check_tensor(tensor, path, external)
        for number, value in read_fields(content):
            if number == 7 and isinstance(value, memoryview):
                _read_graph(value, found)
            elif number == 8 and isinstance(value, memoryview):
                _check_version(value)
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is not an ONNX model: {error}.") from error
    if not found.nodes:
        raise ModelError(f"{str(path)!r} is not an ONNX model: it has no operations.")
    found.external = sorted(external)
    return found


def _check_version(operators: memoryview) -> None:
    for number, value in read_fields(operators):
        if number == 2 and isinstance(value, int) and value > MAX_VERSION:
            raise ValueError(f"it needs version {value} of a set of operators")


def _find_tensors(
    message: memoryview, kind: str, depth: int, *, is_training: bool = False
) -> Iterator[memoryview]:
    """Find every tensor that a message holds, in whatever graph, function or attribute."""
    if depth > MAX_DEPTH * 3:  # A graph in a graph is three messages further in.
        raise ValueError(f"it nests more than {MAX_DEPTH} graphs")
    if kind == "node":
        _check_inputs(message)
        if not is_training:
            _check_repeatable(message)
    is_training |= kind == "training"
    inner = _MESSAGES[kind]
    for number, value in read_fields(message):
        if number not in inner:
            continue
        if not isinstance(value, memoryview):
            raise ValueError("it holds a number where a message belongs")
        if inner[number] == "tensor":
            yield value
        else:
            yield from _find_tensors(value, inner[number], depth + 1, is_training=is_training)


def _check_inputs(node: memoryview) -> None:
    fields = list(read_fields(node))
    operator = read_text(node, 4)
    count = sum(number == 1 for number, _ in fields)
    attributes = [value for number, value in fields if number == 5]
    # Before version 11 of ONNX's operators, the sizes of a Pad are an attribute.
    is_old = operator == "Pad" and any(
        isinstance(value, memoryview) and read_text(value, 1) in ("pads", "paddings")
        for value in attributes
    )
    if count < _FEWEST_INPUTS.get(operator, 0) - is_old:
        raise ValueError(f"an operation {operator} has too few inputs ({count})")


def _check_repeatable(node: memoryview) -> None:
    operator = read_text(node, 4)
    if operator in _RANDOM and read_text(node, 7) in ("", "ai.onnx"):
        raise random_numbers_error(operator, read_text(node, 3) or read_text(node, 2))


def _check_tensor(tensor: memoryview, path: Path, external: set[Path]) -> None:
    """Refuse a tensor that claims more than is stored; note the file that stores it."""
    entries: dict[str, str] = {}
    stored, is_external = 0, False
    for number, value in read_fields(tensor):
        if number in _TENSOR_CONTENT:
            stored += len(value) if isinstance(value, memoryview) else 1
        elif number == 13 and isinstance(value, memoryview):
            key, text = _entry(value)
            entries[key] = text
        elif number == 14:
            is_external |= value == _EXTERNAL
    if is_external or entries:
        file = _locate(path, entries.get("location", ""))
        external.add(file)
        stored += _stored_outside(file, entries, path)
    if len(read_integers(tensor, 1)) > MAX_AXES:
        raise ModelError(f"{path.name!r} is damaged: a tensor has more than {MAX_AXES} axes.")
    if _count(tensor) > MAX_VALUES_PER_BYTE * stored:
        raise ModelError(
            f"{path.name!r} is damaged: a tensor of {_count(tensor):,} values is stored in "
            f"{stored:,} bytes."
        )


def _locate(path: Path, location: str) -> Path:
    """Return a file that a model refers to; it must be beside the model or below.

    Raises:
        ModelError: If it is elsewhere, or not there.
    """
    folder = path.absolute().parent
    file = folder / location
    is_inside = file.resolve().is_relative_to(folder.resolve())
    if not location or "\0" in location or Path(location).is_absolute() or not is_inside:
        raise ModelError(
            f"{path.name!r} takes weights from {location!r}, outside its own folder. featx reads "
            "only files beside the model. Put them there, and write it again with "
            "onnx.save_model(..., location='NAME')."
        )
    if not file.is_file():
        raise ModelError(
            f"{path.name!r} takes weights from {location!r}, which is not there. Put that file "
            "beside the model."
        )
    return file


def _stored_outside(file: Path, entries: Mapping[str, str], path: Path) -> int:
    """Return how many bytes of another file belong to a tensor."""
    size = file.stat().st_size
    offset, length = (entries.get(key) or "0" for key in ("offset", "length"))
    if not (offset.isascii() and offset.isdigit() and length.isascii() and length.isdigit()):
        raise ValueError("it refers to another file by something else than numbers")
    wanted = int(length) or max(0, size - int(offset))
    if int(offset) + wanted > size:
        raise ModelError(
            f"{path.name!r} is damaged, or {file.name!r} is: it takes {wanted:,} bytes from "
            f"{int(offset):,} on, and the file has {size:,}."
        )
    return wanted


def _read_graph(message: memoryview, found: OnnxFile) -> None:
    """Read the operations, weights and results of the main graph."""
    for number, value in read_fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            node = _read_node(value)
            found.nodes.append(node)
            if len(found.nodes) > MAX_OPERATIONS:
                raise ValueError(f"it has more than {MAX_OPERATIONS:,} operations")
            if node.type == "Constant":
                found.weights.update(dict.fromkeys(node.outputs, _constant_count(value)))
        elif number == 5 and _is_fraction(value):
            found.weights[read_text(value, 8)] = _count(value)
        elif number == 12:
            found.outputs.append(read_text(value, 1))


def _read_node(message: memoryview) -> OnnxNode:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: [], 7: []}
    permutation: tuple[int, ...] = ()
    for number, value in read_fields(message):
        if number in texts and isinstance(value, memoryview):
            texts[number].append(decode_text(value))
        elif number == 5 and isinstance(value, memoryview):
            if read_text(value, 1) == "perm":
                permutation = tuple(read_integers(value, 8))
            texts[1] += _read_inside(value, "attribute")
    domain = "".join(texts[7][-1:])
    name = "".join(texts[4][-1:])
    kind = name if domain in ("", "ai.onnx") else f"{domain}.{name}"
    return OnnxNode(kind, tuple(texts[1]), tuple(texts[2]), permutation)


def _read_inside(message: memoryview, kind: str) -> Iterator[str]:
    """Yield what operations in the graphs of an attribute read: branches take it from outside."""
    for number, value in read_fields(message):
        inner = _MESSAGES[kind].get(number, "")
        if isinstance(value, memoryview) and inner in ("graph", "node", "attribute"):
            yield from _read_inside(value, inner)
        elif kind == "node" and number == 1 and isinstance(value, memoryview):
            yield decode_text(value)


def _constant_count(node: memoryview) -> int:
    """Return the number of fractions in a Constant."""
    attributes = [value for number, value in read_fields(node) if number == 5]
    tensors = [
        value
        for attribute in attributes
        if isinstance(attribute, memoryview)
        for number, value in read_fields(attribute)
        if number == 5 and isinstance(value, memoryview)
    ]
    return sum(_count(tensor) for tensor in tensors if _is_fraction(tensor))


def _is_fraction(tensor: memoryview) -> bool:
    """Whether a tensor holds weights, quantised ones too, and no indices, texts or truth values."""
    return all(value not in _NO_WEIGHTS for number, value in read_fields(tensor) if number == 2)


def _count(tensor: memoryview) -> int:
    """Return the number of values that a tensor claims to have."""
    return math.prod(read_integers(tensor, 1))


def _entry(message: memoryview) -> tuple[str, str]:
    return read_text(message, 1), read_text(message, 2)
