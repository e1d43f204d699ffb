"""`Trial`, the images that candidates are tried on, and `Choice`, the result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.engines.engines import Network, Results
from featx.events import Listener
from featx.models.backbone import Backbone

if TYPE_CHECKING:
    from featx.images.reading import DecodedImage
    from featx.inference.agreement import Agreement

FIRST_BATCH = 8
"""Images of the first batch, on which precisions and engines are compared. Unless the user sets
a batch size, the batch has no more, so that nothing is computed twice."""


def no_samples() -> Sequence[DecodedImage]:
    """Return no pictures: there are none that 8 bits could be calibrated on."""
    return ()


def no_further_images() -> Sequence[np.ndarray]:
    """Return no images: precisions are compared on the first batch alone."""
    return ()


@dataclass(slots=True)
class Spent:
    """Where the time of a choice goes, besides comparing.

    Attributes:
        load: Seconds of loading a model that was known from earlier.
        convert: Seconds of converting its network, or reading it from the cache, and compiling it.
    """

    load: float = 0.0
    convert: float = 0.0

    @contextlib.contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Add the seconds that a block takes to ``load`` or ``convert``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Trial:
    """What candidates are to compute, and what they are tried on.

    Attributes:
        backbone: The model.
        names: The layers.
        pixels: The first images: uint8 (B, H, W, C).
        batch_size: Images of the first batch, of which `pixels` may be only some.
        further: Gives more images to compare precisions on: uint8 (H, W, C) each.
        checked: Gives a few of them, to check a precision that was chosen earlier.
        samples: Gives pictures with their labels, on which 8 bits are calibrated and compared.
        listener: Told what was chosen, and why.
        num_images: How many images are to be computed in all; None where that is not known.
        is_checked_later: Whether a precision that is known may compute before it is checked; see
            `Choice.check`.
        spent: Where the time goes.
    """

    backbone: Backbone
    names: tuple[str, ...]
    pixels: np.ndarray
    batch_size: int
    further: Callable[[], Sequence[np.ndarray]] = no_further_images
    checked: Callable[[], Sequence[np.ndarray]] = no_further_images
    samples: Callable[[], Sequence[DecodedImage]] = no_samples
    listener: Listener = field(default_factory=Listener)
    num_images: int | None = None
    is_checked_later: bool = False
    spent: Spent = field(default_factory=Spent)

    def timing_load(self) -> contextlib.AbstractContextManager[None]:
        """Time what loads the model first, if it is not in memory."""
        return self.spent.timing("convert" if self.backbone.is_loaded else "load")

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
        seconds: How long these took.
        missing_precision: Why it does not compute in the precision of stored features, where its
            engine has that precision.
        reference: The network in float32 with which its precision was compared, if it was.
        is_warm: Whether it has computed before, so that its next images show its speed.
        seconds_per_image: How long it took for each of the trial's images; 0 where that was not
            measured.
        check: Compares its precision with float32, where that is still to be done: until then no
            result of it may be kept. May be called in another thread than computes.
    """

    engine: str
    network: Network
    facts: dict[str, Any]
    results: Results | None = None
    seconds: float = 0.0
    missing_precision: str = ""
    reference: Network | None = None
    is_warm: bool = False
    seconds_per_image: float = 0.0
    check: Callable[[], Agreement] | None = None
