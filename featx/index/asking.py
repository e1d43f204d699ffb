"""Vectors of what is known: stored images, features that were computed, and sums of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featx.errors import InvalidValue
from featx.index.answering import Asked
from featx.index.projection import normalize_rows
from featx.index.vector_index import VectorIndex
from featx.wording import option

_WEIGHTED = re.compile(r"(-?(?:\d+(?:\.\d*)?|\.\d+)):(.+)", re.DOTALL)
"""A weight before a name, as rclip has it."""

NOTHING_LEFT = 1e-5
"""Length of a sum of unit vectors below which it is the rounding of float32."""


@dataclass(frozen=True, slots=True)
class Term:
    """A picture, a folder or a key that is added or subtracted.

    Attributes:
        weight: How often it counts; negative if it is subtracted.
        name: The picture or key.
        text: As it was written, with ``+`` or ``-`` before it.
    """

    weight: float
    name: str
    text: str


def parse_term(text: str, sign: int = 1) -> Term:
    """Read a name, with a weight before it or not; a file of this very name goes before.

    Example:
        >>> parse_term("2:cat.jpg", -1)
        Term(weight=-2.0, name='cat.jpg', text='-2:cat.jpg')

    Raises:
        InvalidValue: If the weight is negative.
    """
    shown = f"{'+' if sign > 0 else '-'}{text}"
    found = _WEIGHTED.fullmatch(text)
    if found is None or os.path.exists(text):
        return Term(float(sign), text, shown)
    if found[1].startswith("-"):
        raise InvalidValue(
            f"A weight is not negative; {option('subtract', text[1:])} subtracts. "
            f"Received: {text!r}."
        )
    return Term(sign * float(found[1]), found[2], shown)


@dataclass(frozen=True, slots=True)
class Known:
    """The features of something that is asked.

    Attributes:
        query: As in `Asked`.
        path: As in `Asked`.
        features: float32 (D,).
        rows: Rows of the same images.
    """

    query: str
    path: str
    features: np.ndarray
    rows: tuple[int, ...] = ()


class Asker:
    """Makes questions to an index of what is known; no network is needed.

    Args:
        index: The index that is searched.
    """

    def __init__(self, index: VectorIndex) -> None:
        self._index = index

    def ask_key(self, key: str) -> Asked:
        """Return the question of an image of the index, by its vector as it is compared."""
        row = self._index.row(key)
        vectors, prepared = self._index.take(np.array([row]))
        path = self._index.root.location(key)
        first = None if prepared is None else prepared[0]
        return Asked(key, path, vectors[0], first, (row,))

    def ask(self, known: Known) -> Asked:
        """Return the question of features."""
        prepared = self._index.prepare(known.features[np.newaxis])
        vector = self._index.project(prepared)[0]
        return Asked(known.query, known.path, vector, prepared[0], known.rows)

    def know_key(self, key: str) -> Known:
        """Return the features of an image of the index."""
        row = self._index.row(key)
        features = self._index.take_features(np.array([row]))[0]
        return Known(key, self._index.root.location(key), features, (row,))

    def know_picture(self, location: str, content: np.ndarray, features: np.ndarray) -> Known:
        """Return features that were computed, with the rows of identical files.

        Args:
            location: The picture.
            content: uint8 (16,), the hash of its bytes.
            features: float32 (D,).
        """
        same = (self._index.content_hash() == content).all(axis=1)
        return Known(location, location, features, tuple(np.flatnonzero(same).tolist()))

    def combine(
        self,
        bases: Sequence[tuple[float, Known]],
        terms: Sequence[tuple[Term, Sequence[Known]]],
    ) -> list[Asked]:
        """Add the terms to each of some questions, all of unit length, as rclip does.

        Args:
            bases: What is asked, and its weight.
            terms: What is added or subtracted, and the images that it stands for.

        Raises:
            InvalidValue: If nothing is left.
        """
        asked = []
        for weight, base in bases:
            total = weight * normalize_rows(base.features[np.newaxis])
            own = set(base.rows)
            for term, members in terms:
                units = normalize_rows(np.stack([one.features for one in members]))
                total = total + term.weight * units.mean(axis=0, keepdims=True)
                own.update(row for one in members for row in one.rows)
            texts = tuple(term.text for term, _ in terms)
            if np.linalg.norm(total) < NOTHING_LEFT:
                raise InvalidValue(
                    f"Nothing is left of {base.query!r} with {' '.join(texts)}: they cancel each "
                    "other out. Change what is subtracted, or its weight."
                )
            prepared = self._index.prepare(total)
            vector = self._index.project(prepared)[0]
            asked.append(
                Asked(base.query, base.path, vector, prepared[0], tuple(sorted(own)), texts)
            )
        return asked
