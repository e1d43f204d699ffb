"""The source ``graphdef``: frozen graphs of TensorFlow 1."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.models.savedmodel_folder import GRAPH_NAME
from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest


class FrozenGraphSource(ModelSource):
    """Graphs with weights as constants, each in one file."""

    spellings = ("graphdef:FILE.pb",)
    bare = "a .pb file"
    packages = ("tensorflow",)

    def load(self, request: ModelRequest) -> Backbone:
        """Load a graph; see `ModelSource`."""
        from featx.models import graphdef
        from featx.models.keras_settings import build_apart

        return build_apart(lambda: graphdef.load(request))

    def reads(self, name: str) -> bool:
        """Whether it is an existing ``.pb`` file that does not belong to a SavedModel."""
        is_graph = name.lower().endswith(".pb") and os.path.basename(name) != GRAPH_NAME
        return is_graph and os.path.isfile(name)

    def files(self, name: str, weights: str | None) -> Sequence[Path]:
        """Return the file."""
        return [Path(name)]


SOURCE = FrozenGraphSource()
