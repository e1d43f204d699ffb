"""Layers that draw random numbers: left out of graphs that were exported as in training."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from featx.engines.graph_nodes import ancestors, dependents, node_of
from featx.engines.randomness import BATCH, probe_shape, random_numbers_error

_ABOVE_MIDDLE = float(np.nextafter(np.float32(0.5), np.float32(1)))
_MIDDLES = {
    "StatelessRandomUniformV2": _ABOVE_MIDDLE,
    "StatelessRandomNormalV2": 0.0,
    "StatelessTruncatedNormalV2": 0.0,
}
"""Operations that draw → the middle of what they draw."""

_NEUTRAL = (0.0, 1.0, 0.5)
"""Numbers that change nothing: of an angle or a shift, a zoom or a contrast, a saturation."""

_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
"""Ranges of pixels that a layer may expect."""

_TOLERANCE = 2e-3
"""Largest difference of pixels, relative to their range, that a rotation by 0 degrees or a
conversion of colours may leave."""

_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_CHANNELS = (None, 1, 3, 4)
"""Numbers of channels of tensors that may be images."""

_SAMPLES = 4096
"""About how many values of a tensor are compared."""


class Augmentation:
    """The random layers of a graph, and the images before and after each.

    In inference, Keras's layers of augmentation return their input. So a layer is left out if it is
    recognised: everything after it depends on the random number through one tensor, and with a
    number that changes nothing, that tensor equals the layer's input. This is tried on images of
    noise. A crop has no such number; its middle is taken.

    Args:
        graph: A GraphDef without variables; `leave_out` changes it.
        images: The tensor that takes images.
        outputs: The tensors that it gives.
    """

    def __init__(self, graph: Any, images: str, outputs: Sequence[str]) -> None:
        import tensorflow

        self._graph = graph
        # The graph as it was tried: `leave_out` changes the inputs of layers that follow others.
        self._tried = [
            SimpleNamespace(name=node.name, op=node.op, input=list(node.input))
            for node in graph.node
        ]
        self._replaced: dict[str, str] = {}
        self._outputs = {node_of(name) for name in outputs}
        imported = tensorflow.Graph()
        with imported.as_default():
            tensorflow.graph_util.import_graph_def(graph, name="")
        config = tensorflow.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tensorflow.compat.v1.Session(graph=imported, config=config)
        self._images = imported.get_tensor_by_name(images)
        self._operations = {each.name: each for each in imported.get_operations()}
        self._order = {name: number for number, name in enumerate(self._operations)}
        self._pictures = self._find_pictures()

    def leave_out(self, draws: Sequence[str]) -> None:
        """Leave out the layers that draw, and fix the numbers that decide where crops begin.

        Args:
            draws: Names of the nodes that draw.

        Raises:
            ModelError: If a layer that draws is neither.
        """
        with self._session:
            crops = self._replace_layers(draws)
        self._tidy(draws, crops)

    def _replace_layers(self, draws: Sequence[str]) -> list[str]:
        """Leave out all layers that are no crops; return the nodes that draw for crops."""
        crops: list[str] = []
        trials = [self._run(draws, span, value) for span in _RANGES for value in (None, *_NEUTRAL)]
        cropped = self._run(draws, _RANGES[0], None, whole=True)
        for name in sorted(draws, key=self._order.__getitem__):
            if name not in ancestors(self._outputs, self._graph.node):
                continue
            layer = self._find_layer(name, draws, trials)
            if layer is not None:
                self._replace(*layer)
            elif self._is_crop(name, cropped):
                crops.append(name)
            else:
                raise random_numbers_error(self._operations[name].type, name)
        return crops

    def _find_pictures(self) -> dict[str, Any]:
        """Return the tensors that depend on the images and may be images: name → tensor."""
        nodes = self._graph.node
        opened = [node.name for node in nodes if node.op in ("Enter", "RefEnter")]
        closed = [node.name for node in nodes if node.op in ("Exit", "RefExit")]
        in_loops = dependents(opened, nodes) - dependents(closed, nodes)
        found: dict[str, Any] = {}
        for name in dependents([self._images.op.name], nodes) - in_loops:
            for tensor in self._operations[name].outputs:
                shape = tensor.shape
                is_number = tensor.dtype.is_floating or tensor.dtype.is_integer
                channels = (shape[1], shape[3]) if shape.rank == 4 else ()
                if is_number and (shape.rank is None or any(c in _CHANNELS for c in channels)):
                    found[tensor.name] = tensor
        return found

    def _run(
        self,
        draws: Sequence[str],
        span: tuple[float, float],
        value: float | None,
        *,
        whole: bool = False,
        given: str = "",
    ) -> dict[str, np.ndarray]:
        """Return all tensors that may be images, for images of noise; none if that fails.

        Args:
            draws: The nodes that draw.
            span: Range of the pixels.
            value: What all drawn numbers become, once scaled; None for the middle of each.
            whole: Whether to return all values, not a sample.
            given: A tensor that is given noise as well.
        """
        import tensorflow

        noise = np.random.default_rng(0).uniform(*span, probe_shape(self._images.shape))
        feed = {self._images: noise.astype(self._images.dtype.as_numpy_dtype)}
        fixed = [name for name in draws if self._operations[name].type in _MIDDLES]
        values = {
            name: _MIDDLES[self._operations[name].type] if value is None else value
            for name in fixed
        }
        targets = [
            self._operations[name if value is None else self._scaled(name)].outputs[0]
            for name in fixed
        ]
        try:
            if given:
                like = self._pictures[given]
                shape = self._session.run(like, feed).shape
                feed[like] = np.random.default_rng(1).uniform(*span, shape)
            drawn = self._session.run(targets, feed)
            for target, like, number in zip(targets, drawn, values.values(), strict=True):
                feed[target] = np.full_like(like, number)
            found = self._session.run(self._pictures, feed)
        except (tensorflow.errors.OpError, ValueError, TypeError):
            return {}
        return found if whole else {name: _sample(array) for name, array in found.items()}

    def _scaled(self, name: str) -> str:
        """Return the node that scales drawn numbers: ``number * (high - low) + low``."""
        for tensor in self._operations[name].outputs:
            for product in tensor.consumers():
                if product.type == "Mul":
                    for user in product.outputs[0].consumers():
                        if user.type in ("Add", "AddV2"):
                            return str(user.name)
        return name

    def _find_layer(
        self, name: str, draws: Sequence[str], trials: Sequence[Mapping[str, np.ndarray]]
    ) -> tuple[str, str] | None:
        """Return the input of the layer that draws, and the equal tensor at its end."""
        behind, before = self._split(name)
        pairs = {
            (one, other)
            for trial in trials
            for other in behind
            for one in before
            if other in trial and _is_same(trial[one], trial[other])
        }
        ends = {other for other in {pair[1] for pair in pairs} if self._is_cut(name, other)}
        random = {one: self._count_draws(one, draws) for one in {pair[0] for pair in pairs}}
        ordered = sorted(
            (pair for pair in pairs if pair[1] in ends),
            key=lambda pair: (
                _shared_scope(name, pair[1]),
                -random[pair[0]],
                self._order[node_of(pair[1])],
                self._order[node_of(pair[0])],
            ),
            reverse=True,
        )
        for one, other in ordered:
            if self._is_input(one, other):
                return one, self._find_end(name, draws, one, other)
        return None

    def _find_end(self, name: str, draws: Sequence[str], before: str, end: str) -> str:
        """Return the last tensor of a layer, which may clip values outside the range of pixels.

        That is the end of the layer itself, not of a later one that happens to change nothing, such
        as ReLU.
        """
        scope = _shared_scope(name, end)
        behind, _ = self._split(name)
        later = [
            other
            for other in behind
            if self._order[node_of(other)] > self._order[node_of(end)]
            and _shared_scope(name, other) >= scope
            and self._is_cut(name, other)
        ]
        if later:
            for span in _RANGES:
                for value in _NEUTRAL:
                    found = self._run(draws, span, value, given=before)
                    same = [o for o in later if o in found and _is_same(found[before], found[o])]
                    end = max([end, *same], key=lambda other: self._order[node_of(other)])
        return end

    def _split(self, name: str) -> tuple[list[str], list[str]]:
        """Return the tensors that may be images: those that depend on a node, and the others."""
        reached = dependents([name], self._graph.node)
        needed = ancestors(self._outputs, self._graph.node)
        behind = [each for each in self._pictures if node_of(each) in reached & needed]
        return behind, [each for each in self._pictures if node_of(each) not in reached]

    def _is_cut(self, name: str, tensor: str) -> bool:
        """Whether a node reaches the outputs through one tensor only."""
        cut = node_of(tensor)
        others = [node for node in self._graph.node if node.name != cut]
        is_inside = cut not in self._outputs and len(self._operations[cut].outputs) == 1
        return is_inside and not dependents([name], others) & (self._outputs | {cut}) - {cut}

    def _is_input(self, tensor: str, behind: str) -> bool:
        """Whether the images, except their shape, reach `behind` only through `tensor`."""
        cut = node_of(tensor)
        others = [node for node in self._tried if node.name != cut and node.op not in _SHAPES]
        image = self._images.op.name
        return cut == image or node_of(behind) not in dependents([image], others)

    def _count_draws(self, tensor: str, draws: Sequence[str]) -> int:
        return len(ancestors([node_of(tensor)], self._graph.node) & set(draws))

    def _is_crop(self, name: str, pictures: Mapping[str, np.ndarray]) -> bool:
        """Whether a node only decides where a crop begins; its middle gives the central crop."""
        behind, before = self._split(name)
        return any(
            _is_centre(pictures[other], pictures[one]) and self._is_cut(name, other)
            for other in behind
            for one in before
            if other in pictures
        )

    def _replace(self, before: str, behind: str) -> None:
        """Let all users of the tensor `behind` take `before` instead."""
        before = self._replaced.get(before, before)
        self._replaced[behind] = before
        for node in self._graph.node:
            for number, tensor in enumerate(node.input):
                if tensor in (behind, behind.removesuffix(":0")):
                    node.input[number] = before

    def _tidy(self, draws: Sequence[str], crops: Sequence[str]) -> None:
        """Remove what was left out, and fix what crops draw."""
        unused = dependents(draws, self._graph.node)
        unused -= ancestors(self._outputs, self._graph.node)
        kept = [node for node in self._graph.node if node.name not in unused]
        for node in kept:
            node.input[:] = [each for each in node.input if each.removeprefix("^") not in unused]
        constants = [_fix(node, _MIDDLES[node.op]) for node in kept if node.name in crops]
        del self._graph.node[:]
        self._graph.node.extend([*kept, *constants])


def _sample(array: np.ndarray) -> np.ndarray:
    """Return a sample of a tensor, at the same positions for all tensors of a shape."""
    if array.ndim != 4 or array.shape[0] != BATCH or array.size <= _SAMPLES:
        return array
    return array.ravel()[:: array.size // _SAMPLES | 1]


def _is_same(before: np.ndarray, behind: np.ndarray) -> bool:
    if before.shape != behind.shape or before.dtype != behind.dtype or not before.size:
        return False
    width = float(np.ptp(before))
    difference = np.abs(behind.astype(np.float64) - before).max()
    return width > 0 and bool(difference <= _TOLERANCE * width)


def _is_centre(crop: np.ndarray, picture: np.ndarray) -> bool:
    """Whether images are the central crops of others, rounded either way."""
    if crop.ndim != 4 or picture.ndim != 4 or crop.dtype != picture.dtype:
        return False
    left = np.subtract(picture.shape, crop.shape)
    if left.min() < 0 or left.max() == 0 or left[0] or np.ptp(picture) == 0:
        return False
    offsets = [{number // 2, (number + 1) // 2} for number in left.tolist()]
    return any(
        np.array_equal(
            crop, picture[tuple(slice(o, o + n) for o, n in zip(offset, crop.shape, strict=True))]
        )
        for offset in itertools.product(*offsets)
    )


def _shared_scope(one: str, other: str) -> int:
    """Return how many scopes two nodes share, as Keras names them by layers."""
    parts = zip(one.split("/")[:-1], node_of(other).split("/")[:-1], strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], parts)))


def _fix(node: Any, value: float) -> Any:
    """Make a node that draws numbers fill with a constant; return the constant's node."""
    import tensorflow
    from tensorflow.core.framework import node_def_pb2

    dtype = node.attr["dtype"].type
    constant = node_def_pb2.NodeDef(name=f"{node.name}/fixed", op="Const")
    constant.attr["dtype"].type = dtype
    constant.attr["value"].tensor.CopyFrom(tensorflow.make_tensor_proto(value, dtype))
    filled = node_def_pb2.NodeDef(name=node.name, op="Fill", device=node.device)
    filled.input.extend([node.input[0], constant.name])
    filled.attr["T"].type = dtype
    filled.attr["index_type"].type = node.attr["Tshape"].type
    node.CopyFrom(filled)
    return constant
