"""A backbone without TensorFlow whose every output is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec
from featx.models import SOURCES
from featx.models.backbone import Layer, ModelRequest, NumpyBackbone
from featx.models.sources import ModelSource
from featx.specs import ModelSpec, digest

TOY_SIZE = 8
"""Height and width of the toy's input, in pixels."""


class ToyBackbone(NumpyBackbone):
    """Computes from RGB pixels, scaled by its contract (``unit``: to [0, 1]):

    - ``map``: (2, 2, 3), the mean colour of each quarter;
    - ``mean``: (3,), the mean colour;
    - ``head/double``: (3,), twice the mean colour (a name with a slash).

    Attributes:
        calls: Sizes of the batches it was called with: batching can be asserted.
    """

    num_layers: int | None = 2
    run_facts: Mapping[str, Any] = {"engine": "toy", "precision": "float32"}

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.calls: list[int] = []

    def features(self) -> Sequence[Layer]:
        """Describe the three layers."""
        return (
            Layer("map", "layer", "Quarters", 0, (2, 2, 3)),
            Layer("mean", "layer", "Mean", 1, (3,)),
            Layer("head/double", "layer", "Double", None, (3,)),
        )

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `featx.models.backbone.Backbone`."""
        self.calls.append(len(images))
        scaled = scale_pixels(images, self.spec.input)
        count, height, width, channels = scaled.shape
        quarters = scaled.reshape(count, 2, height // 2, 2, width // 2, channels)
        maps = quarters.mean(axis=(2, 4), dtype=np.float32)
        mean = maps.mean(axis=(1, 2), dtype=np.float32)
        results = {"map": maps, "mean": mean, "head/double": 2 * mean}
        return {name: results[name] for name in names}


def toy_model() -> str:
    """Register the model source ``toy`` and return a reference to it.

    Example:
        >>> import featx
        >>> white = np.full((1, 8, 8, 3), 255, np.uint8)
        >>> featx.load_model(toy_model())(white, ["mean"])["mean"].tolist()
        [[1.0, 1.0, 1.0]]
    """
    register_toy_model()
    return "toy:colors"


def register_toy_model() -> None:
    """Make ``toy:NAME`` a model reference in this process."""
    SOURCES.add("toy", ToySource())


class ToySource(ModelSource):
    """The source ``toy``: every name is a model."""

    spellings = ("toy:NAME",)

    def load(self, request: ModelRequest) -> ToyBackbone:
        """Load the toy; see `load`."""
        return load(request)


def load(request: ModelRequest) -> ToyBackbone:
    """Load the toy; ``toy:colors,weights=2`` and the like give other "weights"."""
    contract = request.overrides.apply(InputSpec(TOY_SIZE, TOY_SIZE, scaling="unit"))
    if contract.height % 2 or contract.width % 2:
        raise InvalidValue(f"The toy takes even sizes. Received: {contract.height}.")
    return ToyBackbone(
        ModelSpec(
            source="toy",
            name=request.name,
            arguments=tuple(sorted(request.arguments.items())),
            location=request.name,
            weights_sha256=digest(sorted(request.arguments.items())),
            input=contract,
        )
    )
