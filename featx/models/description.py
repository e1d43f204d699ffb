"""Descriptions of loaded models, apart from how they compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featx.engines.graph import Layout
from featx.models.backbone import Beginning, Layer
from featx.models.inner_scaling import InnerScaling
from featx.models.trained_pixels import TrainedPixels
from featx.shown import Shown
from featx.specs import ModelSpec

_CHANNELS_FIRST_NOTE = (
    "channels first: pixels are given to it as (channels, height, width), and its maps are "
    "turned into (h, w, c)"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What identifies a SavedModel, whether it is in a folder or in memory.

    Attributes:
        source: The model source.
        name: What it is called.
        location: Where it is.
        weights_sha256: Of what decides the numbers: of its files, or of its functions.
    """

    source: str
    name: str
    location: str
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a source knows of a model that it has loaded; the fields are those of `Backbone`.

    Attributes:
        spec: The resolved model.
        layers: Every layer.
        num_layers: Length of Keras's `model.layers`; None for models without numbered layers.
        default_layer: The layer that is taken when none is named; None for the last feature map.
        channels_first: Whether the network takes (B, C, H, W).
        notes: Further notes for the user, one line each.
        packages: Packages that loaded it besides TensorFlow and Keras, by their names for pip.
        runs_own_code: Whether code that came with it was trusted.
        inner_scaling: What it does with pixels first, or which it was trained on; None where
            neither is known.
        any_size: Whether it takes images of any size, and none was chosen.
    """

    spec: ModelSpec
    layers: Sequence[Layer]
    num_layers: int | None = None
    default_layer: str | None = None
    channels_first: bool = False
    notes: Sequence[str] = ()
    packages: Sequence[str] = ()
    runs_own_code: bool = False
    inner_scaling: InnerScaling | TrainedPixels | None = None
    any_size: bool = False

    @property
    def input_layout(self) -> Layout:
        """The order of axes in which the network takes images."""
        return "channels_first" if self.channels_first else "channels_last"


class DescribedBackbone(Shown):
    """The part of a backbone that only describes; how to compute is up to subclasses.

    Args:
        description: What is known of the model.
    """

    def __init__(self, description: ModelDescription) -> None:
        note = [_CHANNELS_FIRST_NOTE] if description.channels_first else []
        self.spec = description.spec
        self.num_layers = description.num_layers
        self.default_layer = description.default_layer
        self.notes: Sequence[str] = (*note, *description.notes)
        self.packages: Sequence[str] = tuple(description.packages)
        self.runs_own_code = description.runs_own_code
        inner = description.inner_scaling
        begins = ("", "")
        if inner is not None:
            begins = (inner.describe(), inner.warn(description.spec.input.scaling))
        self.beginning = Beginning(*begins, any_size=description.any_size)
        self._layers = tuple(description.layers)

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._layers
