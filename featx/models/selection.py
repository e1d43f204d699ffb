"""Choosing layers by exact name, index, glob, or the unique end of a path."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from featx.errors import AmbiguousName, ModelError, UnknownName, join_names
from featx.models.backbone import Layer
from featx.wording import either, option

_GLOB_CHARACTERS = re.compile(r"[*?\[]")
_SHOWN = 6
"""Names listed in an error before it says "and N more"."""


def select_layers(
    patterns: Sequence[str], layers: Sequence[Layer], num_layers: int | None = None
) -> list[Layer]:
    """Find the layers that ``--layer`` names, each once, in the order asked for.

    A pattern is read as the first of these that applies: the exact name of a layer; an index
    into Keras's `model.layers` (negative from the end); a glob over full names (``*``
    also matches ``/``); the unique end of a path (``block4a`` for ``backbone/block4a``).

    Args:
        patterns: What was asked for. Empty: the model's default layer, see `default_layer`.
        layers: What the model has.
        num_layers: Length of Keras's `model.layers`, which negative indices count from;
            the layers' own when None.

    Returns:
        The layers, without repetitions.

    Raises:
        UnknownName: If nothing matches; similar names are suggested.
        AmbiguousName: If a layer is called several times, has several outputs, or the end
            of a path fits several layers; the message lists the exact names.
        ModelError: If the shape of a layer varies from image to image.

    Example:
        >>> layers = [Layer(name, "layer", "ReLU", None, (4,)) for name in ("a_relu", "b_relu")]
        >>> [layer.name for layer in select_layers(["*_relu"], layers)]
        ['a_relu', 'b_relu']
    """
    if not patterns:
        return [default_layer(layers)]
    chosen: dict[str, Layer] = {}
    for pattern in patterns:
        for layer in _match(pattern, layers, num_layers):
            if layer.num_bytes is None:
                raise ModelError(
                    "A feature needs a row of fixed shape. "
                    f"Received: {layer.name!r} with shape {layer.shape}. "
                    f"Give the input size with {option('img_size')}, or choose another layer."
                )
            chosen[layer.name] = layer
    return list(chosen.values())


def default_layer(layers: Sequence[Layer]) -> Layer:
    """Return the layer used when none is named: the last feature map, else the last layer.

    For a classification network this is what ``include_top=False`` would output.
    """
    usable = [layer for layer in layers if layer.num_bytes is not None]
    # Steps inside a layer are only taken when they are named.
    usable = [layer for layer in usable if not layer.is_detail] or usable
    maps = [layer for layer in usable if len(layer.shape) == 3 and (layer.shape[0] or 0) > 1]
    # Scaled pixels are no features: a network of dense layers has no map.
    maps = [layer for layer in maps if layer.parameters != 0 and layer.type != "Normalization"]
    if not usable:
        raise ModelError(f"The model has no layer of fixed shape. Give {option('img_size')}.")
    return maps[-1] if maps else usable[-1]


def _match(pattern: str, layers: Sequence[Layer], num_layers: int | None) -> list[Layer]:
    exact = [layer for layer in layers if layer.name == pattern]
    if exact:
        return exact
    if re.fullmatch(r"[+-]?[0-9]+", pattern):
        return [_by_index(int(pattern), layers, num_layers)]
    if _GLOB_CHARACTERS.search(pattern):
        matches = [layer for layer in layers if fnmatch.fnmatchcase(layer.name, pattern)]
        if not matches:
            raise UnknownName(
                "layer",
                pattern,
                [],
                remedy=f"The pattern matches none of the {len(layers)} layers. "
                f"{_list_names(layers)} {_lister()} lists them all.",
            )
        return matches

    variants = [
        layer for layer in layers if re.split(r"[#:]", layer.name, maxsplit=1)[0] == pattern
    ]
    if variants:
        several = "is called several times" if "#" in variants[0].name else "has several outputs"
        names = [layer.name for layer in variants]
        raise AmbiguousName(f"The layer {pattern!r} {several}. Choose {join_names(names)}.")
    ends = [layer for layer in layers if layer.name.endswith(f"/{pattern}")]
    ends = [layer for layer in ends if not layer.is_detail] or ends
    if len(ends) == 1:
        return ends
    if ends:
        raise AmbiguousName(
            f"{len(ends)} layers end in {pattern!r}. "
            f"Choose {join_names([layer.name for layer in ends[:_SHOWN]])}."
        )
    raise UnknownName(
        "layer",
        pattern,
        [layer.name for layer in layers],
        remedy=f"{_list_names(layers)} {_lister()} lists them all.",
    )


def _by_index(index: int, layers: Sequence[Layer], num_layers: int | None) -> Layer:
    numbered = {layer.index for layer in layers if layer.index is not None}
    if not numbered:
        raise UnknownName(
            "layer",
            str(index),
            [],
            remedy=f"This model has no layer numbers. {_list_names(layers)}",
        )
    count = num_layers or max(numbered) + 1
    position = index + count if index < 0 else index
    found = [layer for layer in layers if layer.index == position]
    if not found:
        raise UnknownName(
            "layer",
            str(index),
            [],
            remedy=f"The model's layers are numbered 0 to {count - 1}, or -{count} to -1 "
            "from the end (some may not be part of the computation).",
        )
    if len(found) > 1:
        names = join_names([layer.name for layer in found])
        raise AmbiguousName(f"Layer {index} has several results. Choose {names}.")
    return found[0]


def _lister() -> str:
    return either(shell="`featx layers MODEL`", python="`featx.layers(MODEL)`")


def _list_names(layers: Sequence[Layer]) -> str:
    """Name the last layers: the ones that people most often want."""
    layers = [layer for layer in layers if not layer.is_detail] or layers
    names = [layer.name for layer in layers[-_SHOWN:]]
    more = len(layers) - len(names)
    return f"The last ones are {', '.join(names)}" + (f" ({more} more)." if more else ".")
