"""A backbone with one layer of any width, for tests with large features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from featx.models import SOURCES
from featx.models.backbone import Layer, ModelRequest
from featx.models.sources import ModelSource
from featx.specs import digest
from featx.testing import toy


class WideBackbone(toy.ToyBackbone):
    """Computes ``wide``: (W,), the mean red of the image, W times."""

    width = 1

    def features(self) -> Sequence[Layer]:
        """Describe the layer."""
        return (Layer("wide", "layer", "Repeat", 0, (self.width,)),)

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute the layer; see `featx.models.backbone.Backbone`."""
        red = super().__call__(images, ["mean"])["mean"][:, :1]
        return {name: np.repeat(red, self.width, axis=1) for name in names}


def register_wide_model(width: int) -> str:
    """Make ``wide:WIDTH`` a model reference in this process, and return it.

    Args:
        width: Values in a row, of 4 bytes each.

    Example:
        >>> import featx
        >>> white = np.full((1, 8, 8, 3), 255, np.uint8)
        >>> featx.load_model(register_wide_model(5))(white, ["wide"])["wide"].tolist()
        [[1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    SOURCES.add("wide", WideSource())
    return f"wide:{width}"


class WideSource(ModelSource):
    """The source ``wide``: names are numbers of values."""

    def load(self, request: ModelRequest) -> WideBackbone:
        """Load the backbone of ``wide:WIDTH``."""
        spec = replace(toy.load(request).spec, source="wide", weights_sha256=digest(request.name))
        backbone = WideBackbone(spec)
        backbone.width = int(request.name)
        return backbone
