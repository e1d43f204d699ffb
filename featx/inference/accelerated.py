"""A backbone on the engine and in the precision that suit it and this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.engines import ENGINES, Network
from featx.engines.graph import NetworkGraph
from featx.events import Listener
from featx.inference.choosing import choose_network
from featx.inference.request import EngineRequest
from featx.inference.trial import FIRST_BATCH, Trial, no_further_images
from featx.models.backbone import Backbone, Layer


@dataclass(frozen=True, slots=True)
class Choosing:
    """What the choice of engine and precision took: it is no measure of speed.

    Attributes:
        seconds: Converting the network, comparing results and measuring.
        num_images: Images whose results came out of it.
    """

    seconds: float = 0.0
    num_images: int = 0


class AcceleratedBackbone:
    """A backbone on the engine and in the precision that suit it and this machine.

    Both are chosen when the first batch is there, and stay so.

    Args:
        backbone: The model.
        request: Which engine and precision.
        listener: Is told what was chosen, and why.
        further: Gives more images to compare precisions on, where the first ones agree.

    Attributes:
        run_facts: Engine and precision, and what was measured; empty before the first batch.
        choosing: What the choice took.
        concurrency: Batches that may be computed at the same time; 1 before the first.
        batch_size: Images that are best given at a time.

    Example:
        >>> from featx.models import load_model
        >>> fast = AcceleratedBackbone(load_model("builtin:mini"), EngineRequest("openvino"))
        >>> fast(np.zeros((2, 128, 128, 3), np.uint8), ["embedding"])["embedding"].shape
        (2, 256)
        >>> fast.run_facts["engine"]
        'openvino'
    """

    def __init__(
        self,
        backbone: Backbone,
        request: EngineRequest | None = None,
        *,
        listener: Listener | None = None,
        further: Callable[[], Sequence[np.ndarray]] = no_further_images,
    ) -> None:
        self.spec = backbone.spec
        self.num_layers = backbone.num_layers
        self.default_layer = backbone.default_layer
        self.notes = backbone.notes
        self.packages = backbone.packages
        self.beginning = backbone.beginning
        self.runs_own_code = backbone.runs_own_code
        self.concurrency = 1
        self.batch_size = FIRST_BATCH
        self.run_facts: dict[str, Any] = {}
        self.choosing = Choosing()
        self._backbone = backbone
        self._request = request or EngineRequest()
        self._listener = listener or Listener()
        self._further = further
        self._network: Network | None = None
        self._names: tuple[str, ...] = ()
        self._lock = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether the model itself is in memory."""
        return self._backbone.is_loaded

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._backbone.features()

    def freeze(self, names: Sequence[str]) -> NetworkGraph | None:
        """Return the graph of the model; see `featx.models.backbone.Backbone`."""
        return self._backbone.freeze(names)

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `featx.models.backbone.Backbone`. Pixels are uint8."""
        with self._lock:
            if self._network is None or self._names != tuple(names):
                results = self._choose(images, tuple(names))
                if results is not None and len(images) <= FIRST_BATCH:
                    return results
            network = self._network
        assert network is not None
        return network(images)

    def _choose(self, images: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
        """Choose what computes from now on; return what it gave for the first images."""
        first = images[:FIRST_BATCH]
        trial = Trial(self._backbone, names, first, len(images), self._further, self._listener)
        began = time.perf_counter()
        choice = choose_network(trial, self._request)
        seconds = time.perf_counter() - began
        self._network, self._names = choice.network, names
        self.run_facts = choice.facts
        if choice.engine in ENGINES:  # Else there was no choice.
            is_computed = choice.results is not None and len(images) <= FIRST_BATCH
            self.choosing = Choosing(seconds, len(images) if is_computed else 0)
        self.concurrency = choice.network.concurrency
        self.batch_size = choice.network.batch_size
        return choice.results
