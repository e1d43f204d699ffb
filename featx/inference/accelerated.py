"""A backbone on the engine and in the precision that suit it and this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np

from featx.engines.graph import NetworkGraph
from featx.errors import InvalidValue
from featx.events import Listener
from featx.inference.choosing import FIRST_BATCH, WITH_BFLOAT16, Chooser
from featx.inference.network import Network
from featx.models.backbone import Backbone, Layer
from featx.specs import Engine, Precision, check_choice


class AcceleratedBackbone:
    """A backbone on the engine and in the precision that suit it and this machine.

    Everything is decided when the first batch is there, and stays so.

    Args:
        backbone: The model.
        engine: ``auto``, ``tensorflow`` or ``openvino``.
        precision: ``auto``, ``float32``, ``mixed`` or ``bfloat16``.
        former: What ``auto`` goes on with, if this engine and processor can: the precision of
            features that are there already.
        listener: Is told what was chosen, and why.
        further: Gives more images to compare precisions on, where the first ones allow bfloat16.

    Attributes:
        run_facts: Engine and precision, and what was measured; empty before the first batch.
        concurrency: Batches that may be computed at the same time; 1 before the first.
        batch_size: Images that are best given at a time.

    Raises:
        UnknownName: If there is no such engine or precision.
        InvalidValue: If an engine does not compute in the precision asked for.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        engine: Engine = "auto",
        precision: Precision = "auto",
        former: Precision = "auto",
        listener: Listener | None = None,
        further: Callable[[], Sequence[np.ndarray]] = tuple,
    ) -> None:
        check_engine(engine, precision)
        self.spec = backbone.spec
        self.num_layers = backbone.num_layers
        self.default_layer = backbone.default_layer
        self.notes = backbone.notes
        self.packages = backbone.packages
        self.runs_own_code = backbone.runs_own_code
        self.concurrency = 1
        self.batch_size = FIRST_BATCH
        self.run_facts: dict[str, Any] = {}
        self._backbone = backbone
        self._asked = (engine, precision, former, listener or Listener(), further)
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
                chooser = Chooser(self._backbone, tuple(names), *self._asked)
                choice = chooser.choose(images[:FIRST_BATCH], len(images))
                self._network, self._names = choice.network, tuple(names)
                self.run_facts = choice.facts
                self.concurrency = choice.network.concurrency
                self.batch_size = choice.network.batch_size
                if choice.results is not None and len(images) <= FIRST_BATCH:
                    return choice.results
            network = self._network
        return network(images)


def check_engine(engine: Engine, precision: Precision) -> None:
    """Refuse unknown engines and precisions, and an engine that does not compute in one.

    Raises:
        UnknownName: If there is no such engine or precision.
        InvalidValue: If an engine does not compute in the precision asked for.
    """
    check_choice("engine", engine, get_args(Engine))
    check_choice("precision", precision, get_args(Precision))
    if engine == "tensorflow" and precision in WITH_BFLOAT16:
        raise InvalidValue(
            "The engine tensorflow computes in float32. "
            f"For --precision {precision} take --engine openvino."
        )
