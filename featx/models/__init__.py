"""Models: their sources, and what loads them. Names are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.late_names import import_when_used

if TYPE_CHECKING:
    from featx.models.backbone import Backbone as Backbone
    from featx.models.backbone import Layer as Layer
    from featx.models.backbone import ModelRequest as ModelRequest
    from featx.models.loading import load_classifier as load_classifier
    from featx.models.loading import load_model as load_model
    from featx.models.loading import restore_model as restore_model
    from featx.models.sources import SOURCES as SOURCES
    from featx.models.sources import ModelSource as ModelSource

_PUBLIC = {
    "SOURCES": "featx.models.sources",
    "Backbone": "featx.models.backbone",
    "Layer": "featx.models.backbone",
    "ModelRequest": "featx.models.backbone",
    "ModelSource": "featx.models.sources",
    "load_classifier": "featx.models.loading",
    "load_model": "featx.models.loading",
    "restore_model": "featx.models.loading",
}

__all__ = list(_PUBLIC)

if not TYPE_CHECKING:  # For type checkers, every name would then exist.
    __getattr__ = import_when_used(__name__, _PUBLIC)
