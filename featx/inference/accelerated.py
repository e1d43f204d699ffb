"""A backbone on the engine and in the precision that suit it and this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.engines.engines import ENGINES, Network
from featx.engines.graph import NetworkGraph
from featx.events import Listener
from featx.forks import ProcessLock
from featx.inference.agreement import Agreement, compare_results
from featx.inference.choosing import choose_network
from featx.inference.pending import PendingCheck
from featx.inference.request import EngineRequest
from featx.inference.trial import FIRST_BATCH, Choice, Trial, no_further_images, no_samples
from featx.models.backbone import Backbone, Layer
from featx.shown import Shown

if TYPE_CHECKING:
    from featx.images.reading import DecodedImage


@dataclass(frozen=True, slots=True)
class Choosing:
    """What the choice of engine and precision took: it is no measure of speed.

    Attributes:
        seconds: All of it: converting the network, comparing results, measuring, and computing
            the first images. Of a check beside what computes, the time after the last image.
        num_images: Images whose results came out of it.
        loading: The part of `seconds` in which the model was loaded, if it was known from earlier.
        converting: The part in which its network was converted, or read from the cache, and
            compiled.
        computing: The part in which the results that came out were computed.
    """

    seconds: float = 0.0
    num_images: int = 0
    loading: float = 0.0
    converting: float = 0.0
    computing: float = 0.0


class AcceleratedBackbone(Shown):
    """A backbone on the engine and in the precision that suit it and this machine.

    Both are chosen when the first batch is there, and stay so.

    Args:
        backbone: The model.
        request: Which engine and precision.
        listener: Is told what was chosen, and why.
        further: Gives more images to compare precisions on, where the first ones agree.
        checked: Gives a few of them, to check a precision that was chosen for other images.
        samples: Gives pictures with their labels, on which 8 bits are calibrated and compared.
        num_images: How many images there are in all; None where that is not known. For few, the
            network is not converted.

    Attributes:
        run_facts: Engine and precision, and what was measured; empty before the first batch, and
            until a precision is checked.
        choosing: What the choice took.
        concurrency: Batches that may be computed at the same time; 1 before the first.
        batch_size: Images that are best given at a time.
        num_images: As given; who learns it later may set it before the first batch.

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
        checked: Callable[[], Sequence[np.ndarray]] = no_further_images,
        samples: Callable[[], Sequence[DecodedImage]] = no_samples,
        num_images: int | None = None,
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
        self.num_images = num_images
        self.run_facts: dict[str, Any] = {}
        self.choosing = Choosing()
        self._backbone = backbone
        self._request = request or EngineRequest()
        self._listener = listener or Listener()
        self._further = further
        self._checked = checked
        self._samples = samples
        self._network: Network | None = None
        self._pending: PendingCheck | None = None
        self._computed_at = 0.0  # When the last images were computed.
        self._names: tuple[str, ...] = ()
        self._lock = ProcessLock()

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
        self.settle()
        return self._compute(images, names, is_checked_later=False)

    def compute_unsettled(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers as a call does, but let a known precision be checked meanwhile.

        No result may be kept before `settle`, and none from before where that returns False: for
        one that calls, in one or several threads.
        """
        return self._compute(images, names, is_checked_later=True)

    @property
    def is_settled(self) -> bool:
        """Whether `settle` would return at once."""
        pending = self._pending
        return pending is None or pending.is_done

    def settle(self) -> bool:
        """Wait until the precision that computes is checked, and replace one that does not suit.

        Returns:
            False where it was replaced: what was computed before has to be computed again.
        """
        pending = self._pending
        if pending is None:
            return True
        began, before = time.perf_counter(), self._network
        pending.wait()  # Others compute meanwhile.
        with self._lock:
            idle_since = max(began, self._computed_at)
            choice = pending.settle()
            self._take(choice)
            self._pending = None
            seconds = self.choosing.seconds + time.perf_counter() - idle_since
            if choice.network is before:
                self.choosing = replace(self.choosing, seconds=seconds)
                return True
            spent = pending.trial.spent
            self.choosing = Choosing(seconds, loading=spent.load, converting=spent.convert)
            return False

    def _compute(
        self, images: np.ndarray, names: Sequence[str], *, is_checked_later: bool
    ) -> dict[str, np.ndarray]:
        with self._lock:
            if self._network is None or self._names != tuple(names):
                choice = self._choose(
                    images[:FIRST_BATCH],
                    tuple(names),
                    len(images),
                    is_checked_later=is_checked_later,
                )
                results = choice.results if len(images) <= FIRST_BATCH else None
                if results is not None and self.choosing.seconds:
                    self.choosing = replace(
                        self.choosing, num_images=len(images), computing=choice.seconds
                    )
                if results is not None:
                    return results
            network = self._network
        assert network is not None
        results = network(images)
        self._computed_at = time.perf_counter()
        return results

    def compare_decoding(
        self, names: Sequence[str], exact: np.ndarray, fast: np.ndarray, batch_size: int
    ) -> Agreement:
        """Compare features of pictures that were decoded in two ways, before the first batch.

        What computes from now on is chosen here, on the exact pixels, and computes the features of
        the fast ones. They are compared with what it was chosen against: exact pixels in float32,
        or in the precision that was asked for.

        Args:
            names: The layers.
            exact: uint8 (B, H, W, C), decoded exactly.
            fast: The same pictures, decoded at a fraction of their size.
            batch_size: Images of the first batch.
        """
        with self._lock:
            choice = self._choose(exact[:FIRST_BATCH], tuple(names), batch_size)
        reference = choice.reference or choice.network
        agreement = Agreement(dict.fromkeys(names, 1.0), 0)
        for start in range(0, len(exact), FIRST_BATCH):
            some = slice(start, start + FIRST_BATCH)
            compared = compare_results(reference(exact[some]), choice.network(fast[some]))
            agreement = agreement.add(compared, len(exact[some]))
        return agreement

    def _choose(
        self,
        first: np.ndarray,
        names: tuple[str, ...],
        batch_size: int,
        *,
        is_checked_later: bool = False,
    ) -> Choice:
        """Choose what computes from now on, by the first images."""
        began = time.perf_counter()
        trial = Trial(
            self._backbone,
            names,
            first,
            batch_size,
            self._further,
            self._checked,
            self._samples,
            self._listener,
            self.num_images,
            is_checked_later,
        )
        choice = choose_network(trial, self._request)
        if choice.engine in ENGINES:  # Else there was no choice.
            seconds, spent = time.perf_counter() - began, trial.spent
            self.choosing = Choosing(seconds, loading=spent.load, converting=spent.convert)
        self._names = names
        self._take(choice)
        if choice.check is not None:
            self.run_facts = {}  # A part may be written meanwhile, of failures and copies.
            self._pending = PendingCheck(trial, self._request, choice)
        return choice

    def _take(self, choice: Choice) -> None:
        self._network = choice.network
        self.run_facts = choice.facts
        self.concurrency = choice.network.concurrency
        self.batch_size = choice.network.batch_size
