"""A backbone as it was loaded, as one of the networks that are chosen from."""

from __future__ import annotations

import time
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
        seconds_per_image: How long it took for each image of a trial behind the first one, which
            includes making its kernels; 0 where that was not measured.
        seconds: How long all images of the trial took.
    """

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        self.facts = dict(backbone.run_facts)
        self.engine: str | None = self.facts.get("engine")
        self.failure = ""
        self.seconds_per_image = 0.0
        self.seconds = 0.0
        self._tried: tuple[np.ndarray, Results] | None = None
        self._backbone = backbone
        self._names = names

    @property
    def is_tried(self) -> bool:
        """Whether it has computed the images of a trial."""
        return self._tried is not None

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
        """Compute a batch, once; return None if that fails, for the reason in `failure`.

        TensorFlow has no convolutions with channels first on some processors, for example.
        """
        if self._tried is not None and self._tried[0] is pixels:
            return self._tried[1]
        if not self.failure:
            began = time.perf_counter()
            try:
                self._tried = pixels, self._try(pixels)
                self.seconds = time.perf_counter() - began
                return self._tried[1]
            except ModelError as error:
                self.failure = first_line(error).rstrip(":.")
        return None

    def _try(self, pixels: np.ndarray) -> Results:
        results = self(pixels[:1])
        if any(np.shape(rows)[:1] != (1,) for rows in results.values()):
            return self(pixels)  # A layer without a row for each image, which is refused later.
        if len(pixels) == 1:
            return results
        began = time.perf_counter()
        following = self(pixels[1:])
        self.seconds_per_image = (time.perf_counter() - began) / (len(pixels) - 1)
        return {name: np.concatenate([results[name], following[name]]) for name in results}
