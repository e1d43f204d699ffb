"""A column of texts of which many are the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from featx.errors import UnknownName, join_names
from featx.images.sources.keys import natural_key

LISTED = 12
"""Names in a message, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Names(Sequence["str | None"]):
    """A column of texts of which many are the same, such as labels.

    Attributes:
        names: C texts.
        codes: int32 (N,): the number of each row's text, -1 where it is missing.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    @classmethod
    def of(cls, values: Sequence[str | None], names: Sequence[str] | None = None) -> Names:
        """Return the column of N values; `names` if they are known, in their order."""
        if names is None:
            names = sorted({value for value in values if value is not None})
        numbers: dict[str | None, int] = {name: code for code, name in enumerate(names)}
        numbers[None] = -1
        codes = np.fromiter((numbers[value] for value in values), np.int32, len(values))
        return cls(tuple(names), codes)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str | None]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str | None] | None:
        if isinstance(index, slice):
            return Names(self.names, self.codes[index])
        code = int(self.codes[index])
        return None if code < 0 else self.names[code]

    def counts(self) -> dict[str, int]:
        """Return how many rows each text has."""
        found = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))

    def is_one_of(self, wanted: Sequence[str], kind: str) -> np.ndarray:
        """Return which rows have one of some texts, bool (N,).

        Raises:
            UnknownName: If there is no such text.
        """
        numbers = {name: code for code, name in enumerate(self.names)}
        for name in wanted:
            if name not in numbers:
                raise UnknownName(kind, name, self.names, remedy=_list_names(self.names))
        chosen = np.zeros(len(self.names) + 1, bool)  # The last one is for -1.
        chosen[[numbers[name] for name in wanted]] = True
        return np.asarray(chosen[self.codes])


def _list_names(known: Collection[str]) -> str:
    """Return what there is, in a sentence."""
    if not known:
        return "No image has one."
    names = sorted(known, key=natural_key)
    if len(names) > LISTED:
        return f"There are {len(names):,}, such as {join_names(names[:3], conjunction='and')}."
    return f"What there is: {join_names(names, conjunction='and')}."
