"""Views of models and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from featx.report.layers import NUMBERS, choose_columns, describe_cells
from featx.report.views.view import MOST_ROWS, Rows, View, list_facts
from featx.units import format_bytes, format_shape

if TYPE_CHECKING:
    from featx.heads.scaling_trial import ScalingTrial
    from featx.models.backbone import Backbone, Layer
    from featx.models.listing import LayerTable

MOST_LAYERS = 200
"""Rows of a table that was asked for because of its rows."""


def view_backbone(backbone: Backbone) -> View:
    """Return what a model takes, and its last layers: those that are usually wanted."""
    contract = backbone.spec.input
    layers = [layer for layer in backbone.features() if not layer.is_detail]
    return View(
        "Backbone",
        backbone.spec.reference,
        list_facts(
            ("input", f"{contract.height}×{contract.width} pixels, scaling {contract.scaling}"),
            ("layers", f"{len(layers):,}, see featx.layers"),
            ("default", backbone.default_layer or "the last feature map"),
            ("notes", "; ".join(backbone.notes)),
        ),
        Rows(
            ("layer", "type", "shape", "per image"),
            [_describe(layer) for layer in layers[-MOST_ROWS:]],
            len(layers),
            (3,),
            "before these",
        ),
    )


def view_layer(layer: Layer) -> View:
    """Return the name and the shape of a layer."""
    return View(
        "Layer",
        layer.name,
        list_facts(("shape", format_shape(layer.shape)), ("type", layer.type)),
    )


def view_layers(table: LayerTable) -> View:
    """Return the columns of ``featx layers``, of so many layers as most networks have."""
    backbone = table.described
    contract = backbone.spec.input
    headers = choose_columns(table)
    rows = [
        describe_cells(layer, contract) | {"layer": layer.name} for layer in table[:MOST_LAYERS]
    ]
    return View(
        "LayerTable",
        backbone.spec.reference,
        list_facts(
            ("layers", f"{len(table):,} of {len(backbone.features()):,}"),
            ("input", f"{contract.height}×{contract.width} pixels"),
            ("pixels", backbone.beginning.text),
            ("notes", "; ".join(backbone.notes)),
        ),
        Rows(
            tuple(headers),
            [[row[header] for header in headers] for row in rows],
            len(table),
            tuple(number for number, header in enumerate(headers) if header in NUMBERS),
        ),
    )


def view_scaling(trial: ScalingTrial) -> View:
    """Return what a network makes of pictures under one scaling."""
    return View(
        "ScalingTrial",
        trial.scaling,
        list_facts(
            ("confidence", "" if trial.confidence is None else f"{trial.confidence:.3f}"),
            ("entropy", "" if trial.entropy is None else f"{trial.entropy:.2f} bits"),
            ("classes", "" if trial.num_classes is None else f"{trial.num_classes:,}"),
            ("spread", "" if trial.spread is None else f"{trial.spread:.3f}"),
            ("layer", trial.layer),
            ("pictures", f"{trial.num_pictures:,}"),
        ),
    )


def _describe(layer: Layer) -> tuple[str, ...]:
    size = layer.num_bytes
    return (
        layer.name,
        layer.type,
        format_shape(layer.shape),
        "" if size is None else format_bytes(size),
    )


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "Backbone": view_backbone,
    "Layer": view_layer,
    "LayerTable": view_layers,
    "ScalingTrial": view_scaling,
}
