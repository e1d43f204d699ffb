"""featx: turn images into reusable features.

`extract` runs a TensorFlow model once over a folder of images and keeps the activations of
chosen layers in a feature store; `fit_head`, `build_index` and everything after it read the
store. Names are imported when first used: ``import featx`` itself imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "extract": "featx.extraction",
    "ExtractReport": "featx.extraction.report",
    "open_store": "featx.store",
    "FeatureStore": "featx.store",
    "FeatureTable": "featx.store",
    "verify_store": "featx.store",
    "pack_store": "featx.store",
    "merge_stores": "featx.store",
    "load_model": "featx.models",
    "fit_head": "featx.heads.fitting",
    "load_head": "featx.heads.head",
    "predict": "featx.heads.prediction",
    "build_index": "featx.index.building",
    "open_index": "featx.index.vector_index",
    "search": "featx.index.searching",
    "export_store": "featx.exports.exporting",
    "ExportReport": "featx.exports.exporting",
    "FeatxError": "featx.errors",
}
"""Public name → the module that defines it."""

__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from featx.errors import FeatxError as FeatxError
    from featx.exports.exporting import ExportReport as ExportReport
    from featx.exports.exporting import export_store as export_store
    from featx.extraction import extract as extract
    from featx.extraction.report import ExtractReport as ExtractReport
    from featx.heads.fitting import fit_head as fit_head
    from featx.heads.head import load_head as load_head
    from featx.heads.prediction import predict as predict
    from featx.index.building import build_index as build_index
    from featx.index.searching import search as search
    from featx.index.vector_index import open_index as open_index
    from featx.models import load_model as load_model
    from featx.store import FeatureStore as FeatureStore
    from featx.store import FeatureTable as FeatureTable
    from featx.store import merge_stores as merge_stores
    from featx.store import open_store as open_store
    from featx.store import pack_store as pack_store
    from featx.store import verify_store as verify_store


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'featx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
