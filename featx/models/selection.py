"""Choosing taps: by exact name, index, glob, path into nested models, or unique end of a path."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from featx.errors import AmbiguousName, ModelError, UnknownName, join_names
from featx.models.backbone import Tap

_GLOB_CHARACTERS = re.compile(r"[*?\[]")
_SHOWN = 6
"""Names listed in an error before it says "and N more"."""


def select_taps(
    patterns: Sequence[str], taps: Sequence[Tap], num_layers: int | None = None
) -> list[Tap]:
    """Find the taps that ``--layer`` names, each once, in the order asked for.

    A pattern is read as the first of these that applies: the exact name of a tap; an index
    into Keras's `model.layers` (negative from the end); a glob over full names (``*``
    also matches ``/``); the unique end of a path (``block4a`` for ``backbone/block4a``).

    Args:
        patterns: What was asked for. Empty: the model's default tap, see `default_tap`.
        taps: What the model has.
        num_layers: Length of Keras's `model.layers`, which negative indices count from;
            the taps' own when None.

    Returns:
        The taps, without repetitions.

    Raises:
        UnknownName: If nothing matches; similar names are suggested.
        AmbiguousName: If a layer is called several times, has several outputs, or the end
            of a path fits several layers; the message lists the exact names.
        ModelError: If the shape of a tap varies from image to image.

    Example:
        >>> taps = [Tap(n, "layer", "ReLU", i, (4,)) for i, n in enumerate(["a_relu", "b_relu"])]
        >>> [tap.name for tap in select_taps(["*_relu"], taps)]
        ['a_relu', 'b_relu']
    """
    if not patterns:
        return [default_tap(taps)]
    chosen: dict[str, Tap] = {}
    for pattern in patterns:
        for tap in _match(pattern, taps, num_layers):
            if tap.num_bytes is None:
                raise ModelError(
                    "A feature needs a row of fixed shape. "
                    f"Received: {tap.name!r} with shape {tap.shape}. "
                    "Give the input size with --img-size, or choose another layer."
                )
            chosen[tap.name] = tap
    return list(chosen.values())


def default_tap(taps: Sequence[Tap]) -> Tap:
    """Return the tap used when none is named: the last feature map, else the last tap.

    For a classification network this is what ``include_top=False`` would output.
    """
    usable = [tap for tap in taps if tap.num_bytes is not None]
    # Steps inside a layer are only taken when they are named.
    usable = [tap for tap in usable if not tap.is_detail] or usable
    maps = [tap for tap in usable if len(tap.shape) == 3 and (tap.shape[0] or 0) > 1]
    # Scaled pixels are no features: a network of dense layers has no map.
    maps = [tap for tap in maps if tap.parameters != 0 and tap.type != "Normalization"]
    if not usable:
        raise ModelError("The model has no tap of fixed shape. Give --img-size.")
    return maps[-1] if maps else usable[-1]


def _match(pattern: str, taps: Sequence[Tap], num_layers: int | None) -> list[Tap]:
    exact = [tap for tap in taps if tap.name == pattern]
    if exact:
        return exact
    if re.fullmatch(r"[+-]?[0-9]+", pattern):
        return [_by_index(int(pattern), taps, num_layers)]
    if _GLOB_CHARACTERS.search(pattern):
        matches = [tap for tap in taps if fnmatch.fnmatchcase(tap.name, pattern)]
        if not matches:
            raise UnknownName(
                "layer",
                pattern,
                [],
                remedy=f"The pattern matches none of the {len(taps)} taps. "
                f"{_list_names(taps)} `featx layers MODEL` lists them all.",
            )
        return matches

    variants = [tap for tap in taps if re.split(r"[#:]", tap.name, maxsplit=1)[0] == pattern]
    if variants:
        several = "is called several times" if "#" in variants[0].name else "has several outputs"
        names = [tap.name for tap in variants]
        raise AmbiguousName(f"The layer {pattern!r} {several}. Choose {join_names(names)}.")
    ends = [tap for tap in taps if tap.name.endswith(f"/{pattern}")]
    ends = [tap for tap in ends if not tap.is_detail] or ends
    if len(ends) == 1:
        return ends
    if ends:
        raise AmbiguousName(
            f"{len(ends)} layers end in {pattern!r}. "
            f"Choose {join_names([tap.name for tap in ends[:_SHOWN]])}."
        )
    raise UnknownName(
        "layer",
        pattern,
        [tap.name for tap in taps],
        remedy=f"{_list_names(taps)} `featx layers MODEL` lists them all.",
    )


def _by_index(index: int, taps: Sequence[Tap], num_layers: int | None) -> Tap:
    numbered = {tap.index for tap in taps if tap.index is not None}
    if not numbered:
        raise UnknownName(
            "layer",
            str(index),
            [],
            remedy=f"This model has no layer numbers. {_list_names(taps)}",
        )
    count = num_layers or max(numbered) + 1
    position = index + count if index < 0 else index
    found = [tap for tap in taps if tap.index == position]
    if not found:
        raise UnknownName(
            "layer",
            str(index),
            [],
            remedy=f"The model's layers are numbered 0 to {count - 1}, or -{count} to -1 "
            "from the end (some may not be part of the computation).",
        )
    if len(found) > 1:
        names = join_names([tap.name for tap in found])
        raise AmbiguousName(f"Layer {index} has several results. Choose {names}.")
    return found[0]


def _list_names(taps: Sequence[Tap]) -> str:
    """Name the last taps: the ones that people most often want."""
    taps = [tap for tap in taps if not tap.is_detail] or taps
    names = [tap.name for tap in taps[-_SHOWN:]]
    more = len(taps) - len(names)
    return f"The last ones are {', '.join(names)}" + (f" ({more} more)." if more else ".")
