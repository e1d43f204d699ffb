"""Which layers are trained: names, numbers and ranges to places in a list of layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from featx.errors import InvalidValue, UnknownName
from featx.training.options import ALL, NONE, FreezingOptions
from featx.wording import option

_RANGE = re.compile(r"(-?\d+)?:(-?\d+)?")


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """Where a layer is in a network.

    Attributes:
        path: Its name, behind the names of the networks that it is nested in, with ``/``.
        index: The place in the outermost network of the layer that it is, or is in.
    """

    path: str
    index: int


def choose_trained(
    places: Sequence[LayerPlace], num_layers: int, options: FreezingOptions
) -> set[str]:
    """Return the paths of the layers that are trained.

    Args:
        places: All layers, in their order; of a nested network those within it.
        num_layers: Number of layers of the outermost network.
        options: What was asked for.

    Raises:
        UnknownName: If a layer does not exist.
        InvalidValue: If a number or range is outside the network, or a range is empty.

    Example:
        >>> layers = [LayerPlace(name, place) for place, name in enumerate("abcd")]
        >>> sorted(choose_trained(layers, 4, FreezingOptions(unfreeze=2)))
        ['c', 'd']
        >>> sorted(choose_trained(layers, 4, FreezingOptions(unfreeze="b", freeze="2:3")))
        ['b', 'd']
    """
    network = _Network(places, num_layers)
    asked = (ALL,) if options.unfreeze == ALL else cast(Sequence[str], options.unfreeze)
    trained = network.unfreeze(asked)
    for name in options.freeze:
        trained -= network.find("freeze", name)
    return trained


@dataclass(frozen=True, slots=True)
class _Network:
    places: Sequence[LayerPlace]
    num_layers: int

    def unfreeze(self, names: Sequence[str]) -> set[str]:
        """Return the layers that a value of ``--unfreeze`` means."""
        if len(names) == 1 and names[0] in (ALL, NONE):
            return {place.path for place in self.places if names[0] == ALL}
        if len(names) == 1 and not _RANGE.fullmatch(names[0]):
            return self._from(names[0])
        found = [self.find("unfreeze", name) for name in names]
        return set().union(*found)

    def _from(self, name: str) -> set[str]:
        """Return so many layers at the end, or a layer and all behind it."""
        if name.isdigit():
            count = int(name)
            if count > self.num_layers:
                raise InvalidValue(
                    f"The network has {self.num_layers} layers up to the one that the head is on. "
                    f"Received: {option('unfreeze', count)}."
                )
            return self._between(self.num_layers - count, self.num_layers)
        inside = self._named(name)
        first = next(n for n, place in enumerate(self.places) if place.path in inside)
        return {place.path for place in self.places[first:]}

    def find(self, keyword: str, name: str) -> set[str]:
        """Return the layers of a range, of a number, or with a name."""
        matched = _RANGE.fullmatch(name)
        if matched is None:
            if name.lstrip("-").isdigit():
                place = self._place(keyword, name, int(name))
                return self._between(place, place + 1)
            return self._named(name)
        first, last = matched.groups()
        start = 0 if first is None else self._place(keyword, name, int(first), is_end=True)
        stop = (
            self.num_layers if last is None else self._place(keyword, name, int(last), is_end=True)
        )
        if start >= stop:
            raise InvalidValue(
                f"A range begins before it ends, as 0:{self.num_layers} does. Received: "
                f"{option(keyword, name)}."
            )
        return self._between(start, stop)

    def _between(self, start: int, stop: int) -> set[str]:
        return {place.path for place in self.places if start <= place.index < stop}

    def _named(self, name: str) -> set[str]:
        inside = {
            place.path
            for place in self.places
            if place.path == name or place.path.startswith(f"{name}/")
        }
        if not inside:
            raise UnknownName("layer", name, [place.path for place in self.places])
        return inside

    def _place(self, keyword: str, given: str, number: int, *, is_end: bool = False) -> int:
        """Return the place of a layer, negative ones counted from the end."""
        place = number + self.num_layers if number < 0 else number
        if not 0 <= place < self.num_layers + is_end:
            last = self.places[-1].path.split("/")[0]
            raise InvalidValue(
                f"The layers up to {last!r}, which the head is on, have the numbers 0 to "
                f"{self.num_layers - 1}. Received: {option(keyword, given)}."
            )
        return place
