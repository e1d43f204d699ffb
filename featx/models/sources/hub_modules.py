"""The source ``hub``: modules of TensorFlow Hub, by their URLs or folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.models.savedmodel_folder import is_tf1_module, savedmodel_files
from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest

_HUB_URL = re.compile(
    r"https?://(www\.)?(tfhub\.dev/|hub\.tensorflow\.google\.cn/|kaggle\.com/models/)",
    re.IGNORECASE,
)
"""URLs that name a module without a source in front."""


class HubSource(ModelSource):
    """Modules of TensorFlow Hub, downloaded once."""

    spellings = ("hub:URL", "hub:DIR")
    bare = "a model's page on tfhub.dev or kaggle.com"
    packages = ("tensorflow",)

    def load(self, request: ModelRequest) -> Backbone:
        """Load a module, downloaded if need be; see `ModelSource`."""
        from featx.models import hub
        from featx.models.keras_settings import build_apart

        return build_apart(lambda: hub.load(request))

    def reads(self, name: str) -> bool:
        """Whether it is the URL of a module, or a folder marked as one."""
        return _HUB_URL.match(name) is not None or is_tf1_module(name)

    def files(self, name: str, weights: str | None) -> Sequence[Path] | None:
        """Return the graph and its variables; None for a module that is not downloaded."""
        from featx.models.hub_cache import module_folder
        from featx.models.reference import is_module_url
        from featx.models.savedmodel_damage import is_complete

        if not is_module_url(name):
            return savedmodel_files(Path(name))
        folder = module_folder(name)
        return savedmodel_files(folder) if is_complete(folder) else None


SOURCE = HubSource()
