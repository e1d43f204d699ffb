"""A backbone as it was loaded, as one of the networks that are chosen from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.engines.engines import Results
from featx.errors import ModelError, first_line
from featx.models.backbone import Backbone


class LoadedNetwork:
    """A backbone on the engine that loaded it, in float32.

    Args:
        backbone: The model.
        names: The layers.

    Attributes:
        engine: That engine, by its name in `run_facts`: ``tensorflow``, or the backbone's own for
            those that need none; None for a backbone that only has a graph.
        failure: Why it cannot compute on this machine; empty while it can.
    """

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        self.facts = dict(backbone.run_facts)
        self.engine: str | None = self.facts.get("engine")
        self.failure = ""
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

    def try_out(self, pixels: np.ndarray) -> Results | None:
        """Compute a batch; return None if that fails, for the reason in `failure`.

        TensorFlow has no convolutions with channels first on some processors, for example.
        """
        if not self.failure:
            try:
                return self(pixels)
            except ModelError as error:
                self.failure = first_line(error).rstrip(":.")
        return None
