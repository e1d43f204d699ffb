"""`Trial`, the images that candidates are tried on, and `Choice`, the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.engines.engines import Network, Results
from featx.events import Listener
from featx.models.backbone import Backbone

FIRST_BATCH = 8
"""Images of the first batch, on which precisions and engines are compared. Unless the user sets
a batch size, the batch has no more, so that nothing is computed twice."""


def no_further_images() -> Sequence[np.ndarray]:
    """Return no images: precisions are compared on the first batch alone."""
    return ()


@dataclass(frozen=True, slots=True)
class Trial:
    """What candidates are to compute, and what they are tried on.

    Attributes:
        backbone: The model.
        names: The layers.
        pixels: The first images: uint8 (B, H, W, C).
        batch_size: Images of the first batch, of which `pixels` may be only some.
        further: Gives more images to compare precisions on: uint8 (H, W, C) each.
        listener: Told what was chosen, and why.
    """

    backbone: Backbone
    names: tuple[str, ...]
    pixels: np.ndarray
    batch_size: int
    further: Callable[[], Sequence[np.ndarray]] = no_further_images
    listener: Listener = field(default_factory=Listener)

    @property
    def reference(self) -> str:
        """The model, for messages."""
        return self.backbone.spec.reference


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate that is ready to compute, or the one that was chosen.

    Attributes:
        engine: The name of its engine.
        network: Computes the layers.
        facts: Engine and precision, and what was measured: for the record of the run.
        results: Its results for the trial's pixels; None if it was not tried.
        missing_precision: Why it does not compute in the precision of stored features, where its
            engine has that precision.
        reference: The network in float32 with which its precision was compared, if it was.
    """

    engine: str
    network: Network
    facts: dict[str, Any]
    results: Results | None = None
    missing_precision: str = ""
    reference: Network | None = None
