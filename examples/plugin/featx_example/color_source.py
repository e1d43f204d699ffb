"""A model source without a network: colour histograms, ``color:histogram``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.errors import InvalidValue, UnknownName
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec
from featx.models.backbone import Layer, ModelRequest, NumpyBackbone
from featx.models.sources import ModelSource
from featx.specs import ModelSpec, digest

SIZE = 64
"""Height and width that pictures are reduced to."""

REVISION = 1
"""Part of the identity: to be raised when the same picture gets other numbers."""


class ColorHistogram(NumpyBackbone):
    """Two layers that NumPy computes.

    - ``grid``: (4, 4, 3), mean colours of 16 cells;
    - ``histogram``: (bins ** 3,), the share of pixels of each colour.
    """

    default_layer: str | None = "histogram"

    def __init__(self, spec: ModelSpec, bins: int) -> None:
        super().__init__(spec)
        self.bins = bins

    def features(self) -> Sequence[Layer]:
        """Describe the two layers."""
        return (
            Layer("grid", "layer", "Mean", 0, (4, 4, 3)),
            Layer("histogram", "layer", "Histogram", 1, (self.bins**3,)),
        )

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers of (B, H, W, 3) pixels in [0, 255]."""
        pixels = scale_pixels(images, self.spec.input)  # To [0, 1].
        compute = {"grid": self._grid, "histogram": self._histogram}
        return {name: compute[name](pixels) for name in names}

    def _grid(self, pixels: np.ndarray) -> np.ndarray:
        count, height, width, channels = pixels.shape
        cells = pixels.reshape(count, 4, height // 4, 4, width // 4, channels)
        return np.asarray(cells.mean(axis=(2, 4)), np.float32)

    def _histogram(self, pixels: np.ndarray) -> np.ndarray:
        levels = np.minimum((pixels * self.bins).astype(int), self.bins - 1)
        cells = levels @ np.array([self.bins**2, self.bins, 1])
        counts = [np.bincount(image.ravel(), minlength=self.bins**3) for image in cells]
        return np.asarray(np.stack(counts) / cells[0].size, np.float32)


class ColorSource(ModelSource):
    """The source ``color``."""

    spellings = ("color:histogram[,bins=N]",)

    def load(self, request: ModelRequest) -> ColorHistogram:
        """Return the histogram; ``bins`` is the number of levels of each colour, 4 by default."""
        if request.name != "histogram":
            raise UnknownName("model of 'color'", request.name, ["histogram"])
        bins = request.arguments.get("bins", 4)
        if not isinstance(bins, int) or not 2 <= bins <= 16:
            raise InvalidValue(f"'bins' is a number from 2 to 16. Received: {bins!r}.")
        contract = request.overrides.apply(InputSpec(SIZE, SIZE, scaling="unit"))
        if contract.height % 4 or contract.width % 4:
            raise InvalidValue(
                "Sizes for color:histogram are multiples of 4. "
                f"Received: {contract.height} x {contract.width}."
            )
        spec = ModelSpec(
            source="color",
            name=request.name,
            arguments=tuple(sorted(request.arguments.items())),
            location=request.name,  # There is no file: the name is all that is needed to load it.
            weights_sha256=digest({"revision": REVISION, "bins": bins}),
            input=contract,
        )
        return ColorHistogram(spec, bins)


SOURCE = ColorSource()
