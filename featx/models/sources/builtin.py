"""The source ``builtin``: the network that featx ships."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from featx.errors import ModelError
from featx.models.sources import ModelSource
from featx.specs import DEFAULT_MODEL, ModelSpec

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest
    from featx.models.catalogue_entry import CatalogueEntry


class BuiltinSource(ModelSource):
    """The network that featx ships; nothing is remembered, since it loads in no time."""

    spellings = (DEFAULT_MODEL,)

    def load(self, request: ModelRequest) -> Backbone:
        """Load it; see `ModelSource`."""
        from featx.models import builtin

        return builtin.load(request)

    def reads(self, name: str) -> bool:
        """Whether it is the network's name."""
        return f"builtin:{name}" == DEFAULT_MODEL

    def with_classifier(self, request: ModelRequest) -> ModelRequest:
        """Refuse: it was trained without classes.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"builtin:{request.name} knows no classes of its own. Fit a head on its features "
            "(featx fit-head), or name a model with a classifier, such as keras:MobileNetV2."
        )

    def restore(self, spec: ModelSpec, location: str) -> ModelRequest:
        """Return a request by name; see `ModelSource`."""
        from featx.models.backbone import ModelRequest

        return ModelRequest(spec.name, dict(spec.arguments))

    def list_models(self) -> Iterable[CatalogueEntry]:
        """List it, with what was measured of its features."""
        from featx.models.builtin import MINI, WEIGHTS_FOLDER, read_card
        from featx.models.catalogue_entry import CatalogueEntry
        from featx.models.mini_network import EMBEDDING_WIDTH, MINI_SIZE

        card, weights = read_card(), WEIGHTS_FOLDER / f"{MINI}.npz"
        yield CatalogueEntry(
            reference=f"builtin:{MINI}",
            size=MINI_SIZE,
            parameters=card.parameters / 1e6,
            width=EMBEDDING_WIDTH,
            megabytes=round(weights.stat().st_size / 1e6, 1),
            on_disk=True,
            location=str(weights),
            measurements=card.measurements,
            is_built_in=True,
        )


SOURCE = BuiltinSource()
