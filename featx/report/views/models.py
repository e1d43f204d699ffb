"""Views of models and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from featx.report.views.view import MOST_ROWS, Rows, View, list_facts
from featx.units import format_bytes, format_shape

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, Layer


def view_backbone(backbone: Backbone) -> View:
    """Return what a model takes, and its last layers: those that are usually wanted."""
    contract = backbone.spec.input
    layers = [layer for layer in backbone.features() if not layer.is_detail]
    return View(
        "Backbone",
        backbone.spec.reference,
        list_facts(
            ("input", f"{contract.height}×{contract.width} pixels, scaling {contract.scaling}"),
            ("layers", f"{len(layers):,}, see features()"),
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


def _describe(layer: Layer) -> tuple[str, ...]:
    size = layer.num_bytes
    return (
        layer.name,
        layer.type,
        format_shape(layer.shape),
        "" if size is None else format_bytes(size),
    )


VIEWS: Mapping[str, Callable[[Any], View]] = {"Backbone": view_backbone, "Layer": view_layer}
