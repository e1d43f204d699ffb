"""The engine with which a model was loaded, as one of those that are chosen from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.inference.network import Results
from featx.models.backbone import Backbone


class OwnEngine:
    """A backbone as it was loaded, in float32: TensorFlow, but for backbones of tests."""

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        self.facts = dict(backbone.run_facts)
        self._backbone = backbone
        self._names = names

    @property
    def concurrency(self) -> int:
        """Batches that it computes at the same time."""
        return self._backbone.concurrency

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        return self._backbone.batch_size

    def __call__(self, pixels: np.ndarray) -> Results:
        """Compute one batch."""
        return self._backbone(pixels, self._names)
