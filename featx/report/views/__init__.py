"""What stores, models, heads, indexes and reports show of themselves; see `featx.shown.Shown`."""

from __future__ import annotations

import importlib

from featx.errors import FeatxError
from featx.report.views.view import View

_VIEWS = {
    "curation": (
        "AuditReport",
        "DuplicateGroup",
        "DuplicatesReport",
        "Finding",
        "MapReport",
        "SelectReport",
        "SelectedPicture",
    ),
    "heads": (
        "EvaluateReport",
        "Evaluation",
        "FineTuneReport",
        "FitReport",
        "Head",
        "HeadExportReport",
        "LabelEvaluation",
        "NumberEvaluation",
        "PredictReport",
        "Prediction",
    ),
    "models": ("Backbone", "Layer", "LayerTable", "ScalingTrial"),
    "searches": (
        "IndexDescription",
        "IndexReport",
        "IndexTraining",
        "Match",
        "QueryResult",
        "RetrievalReport",
        "SearchReport",
        "VectorIndex",
    ),
    "stores": (
        "DatabaseReport",
        "ExportReport",
        "ExtractReport",
        "FeatureDataset",
        "FeatureStore",
        "FeatureTable",
        "LayerValues",
        "MergeReport",
        "PackReport",
        "Rows",
        "VerifyReport",
    ),
}
"""Module → the classes that it has a view of; each is imported when something is shown."""

_MODULES = {name: module for module, names in _VIEWS.items() for name in names}


def view_of(thing: object) -> View:
    """Return what an object shows of itself; an object that cannot be read says why.

    Example:
        >>> from featx.models.backbone import Layer
        >>> Layer("relu", "layer", "ReLU", 1, (7, 7, 64))
        <Layer 'relu': shape 7×7×64, type ReLU>
    """
    names = [kind.__name__ for kind in type(thing).__mro__]
    name = next((one for one in names if one in _MODULES), "Backbone")
    module = importlib.import_module(f"featx.report.views.{_MODULES[name]}")
    try:
        view: View = module.VIEWS[name](thing)
    except (FeatxError, OSError) as error:  # A file is gone; a debugger still shows the object.
        return View(name, facts=(("unreadable", str(error)),))
    return view
