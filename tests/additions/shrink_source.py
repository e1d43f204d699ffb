"""A model source: pictures made smaller, read from files that say to what size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featx.files import hash_file
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec
from featx.models.backbone import Layer, ModelRequest, NumpyBackbone
from featx.models.sources import ModelSource
from featx.specs import ModelSpec


class Shrink(NumpyBackbone):
    def __init__(self, spec: ModelSpec, size: int) -> None:
        super().__init__(spec)
        self.size = size

    def features(self) -> Sequence[Layer]:
        shape = (self.size, self.size, 3)
        return (
            Layer("small", "layer", "Mean", None, shape),
            Layer("classes", "output", "Softmax", None, (3,)),
        )

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        pixels = scale_pixels(images, self.spec.input)
        count, side, _, channels = pixels.shape
        cells = pixels.reshape(count, self.size, side // self.size, self.size, -1, channels)
        small = cells.mean(axis=(2, 4), dtype=np.float32)
        means = small.mean(axis=(1, 2))
        results = {"small": small, "classes": means / means.sum(axis=1, keepdims=True)}
        return {name: results[name] for name in names}


class ShrinkSource(ModelSource):
    spellings = ("shrink:FILE",)
    bare = "a .shrink file"

    def load(self, request: ModelRequest) -> Shrink:
        path = Path(request.name).absolute()
        contract = request.overrides.apply(InputSpec(24, 24, scaling="unit"))
        spec = ModelSpec("shrink", path.name, (), str(path), hash_file(path), contract)
        return Shrink(spec, int(path.read_text()))

    def reads(self, name: str) -> bool:
        return name.endswith(".shrink")

    def files(self, name: str, weights: str | None) -> Sequence[Path]:
        return [Path(name)]


SOURCE = ShrinkSource()
