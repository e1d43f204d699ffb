"""Images whose features are asked for, before anything is loaded to compute them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from featx.errors import AllImagesFailed
from featx.events import Listener
from featx.images.sources import EVERYTHING, ImageFailure, Images, ImageSet, gather
from featx.options import RunOptions, Selection
from featx.trust import GivenTrust
from featx.units import format_count

if TYPE_CHECKING:
    from featx.models.in_memory import InMemory


@dataclass(frozen=True, slots=True)
class QueryImages:
    """Images whose features are computed now, and how.

    Attributes:
        images: Locations or objects, as for `featx.extract`.
        selection: Which of them.
        run: How they are read and the network is run.
        weights: Where the model's weights are now, if they have moved.
        trust_model_code: See `featx.load_model`.
        allow_download: Whether a model or pictures that only a file names may be fetched.
        in_order: See `featx.images.sources.gather`.
        model: The model that made the features, if it is in memory.
    """

    images: Images
    selection: Selection = EVERYTHING
    run: RunOptions = field(default_factory=RunOptions)
    weights: str | None = None
    trust_model_code: GivenTrust = False
    allow_download: bool = False
    in_order: bool = False
    model: InMemory | None = None

    def find(self, listener: Listener) -> ImageSet:
        """Return the images, and pass on the notes about how they were found."""
        found = gather(
            self.images,
            selection=self.selection,
            scale=self.run.scale,
            in_order=self.in_order,
            allow_download=self.allow_download,
        )
        for note in found.notes:
            listener.note(note)
        return found


def require_images(report: object, failures: Sequence[ImageFailure], num_used: int) -> None:
    """Refuse a call in which no image could be used.

    Raises:
        AllImagesFailed: Names the first one, and has the report.
    """
    if failures and not num_used:
        first = failures[0]
        raise AllImagesFailed(
            f"None of the images could be used: {format_count(len(failures), 'image')} failed. "
            f"The first one: {first.key}: {first.reason.rstrip('.')}.",
            report,
        )
