"""A backbone as it was loaded, as one of the networks that are chosen from."""

from __future__ import annotations

import numpy as np

from featx.engines.engines import Results
from featx.errors import ModelError, first_line
from featx.inference.trial import Trial


class LoadedNetwork:
    """A backbone on the engine that loaded it, in float32.

    Args:
        trial: The backbone and its layers.

    Attributes:
        engine: That engine, by its name in `run_facts`: ``tensorflow``, or the backbone's own for
            those that need none; None for a backbone that only has a graph.
        failure: Why it cannot compute on this machine; empty while it can.
    """

    def __init__(self, trial: Trial) -> None:
        self.facts = dict(trial.backbone.run_facts)
        self.engine: str | None = self.facts.get("engine")
        self.failure = ""
        self._trial = trial
        self._results: Results | None = None

    @property
    def concurrency(self) -> int:
        """Batches that it computes at the same time."""
        return self._trial.backbone.concurrency

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        return self._trial.backbone.batch_size

    def __call__(self, pixels: np.ndarray) -> Results:
        """Compute one batch."""
        return self._trial.backbone(pixels, self._trial.names)

    def try_out(self) -> Results | None:
        """Compute the trial's pixels, once; None where that fails, for the reason in `failure`.

        TensorFlow has no convolutions with channels first on some processors, for example.
        """
        if self._results is None and not self.failure:
            try:
                self._results = self(self._trial.pixels)
            except ModelError as error:
                self.failure = first_line(error).rstrip(":.")
        return self._results
