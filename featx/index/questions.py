"""Questions: pictures, keys, and what is added to them or subtracted."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from glob import has_magic
from typing import TYPE_CHECKING

import numpy as np

from featx.errors import ImageError, ImagesNotFound, InvalidValue
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.images.roots import is_url
from featx.images.sources import ImageFailure, Images
from featx.images.sources.locations import LocationReader
from featx.index.answering import Asked
from featx.index.options import QuestionOptions
from featx.index.projection import normalize_rows
from featx.index.ready import require_pooling
from featx.index.vector_index import VectorIndex

if TYPE_CHECKING:
    from featx.features.embedding import EmbeddedImages
    from featx.images.cropping import Crop
    from featx.models.backbone import Backbone

_WEIGHTED = re.compile(r"(\d+(?:\.\d*)?|\.\d+):(.+)", re.DOTALL)
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
    """
    shown = f"{'+' if sign > 0 else '-'}{text}"
    found = _WEIGHTED.fullmatch(text)
    if found is None or os.path.exists(text):
        return Term(float(sign), text, shown)
    return Term(sign * float(found[1]), found[2], shown)


@dataclass(frozen=True, slots=True)
class _Known:
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
    rows: tuple[int, ...]


class QuestionMaker:
    """Makes vectors of what is asked. The network is loaded once, and only for pictures.

    Args:
        index: The index that is searched.
        query: How pictures are read and the network is run; its images are the queries.
        options: What is added or subtracted, and cropped.
        listener: Receives progress and failures.

    Attributes:
        failures: Queries that could not be used.
    """

    def __init__(
        self, index: VectorIndex, query: QueryImages, options: QuestionOptions, listener: Listener
    ) -> None:
        self._index, self._query, self._listener = index, query, listener
        self._crop = None if options.crop is None else _parse_crop(options.crop)
        self._terms = [
            *(parse_term(text) for text in options.add),
            *(parse_term(text, -1) for text in options.subtract),
        ]
        self._network: Backbone | None = None
        self.failures: tuple[ImageFailure, ...] = ()

    def ask_keys(self, keys: Sequence[str]) -> list[Asked]:
        """Return the questions of images of the index."""
        if self._terms:
            terms = [
                parse_term(key) if key not in self._index else Term(1, key, key) for key in keys
            ]
            return self._combine([(term.weight, self._know_query(term.name)) for term in terms])
        if self._crop is not None:
            return [self._ask(self._know_query(key)) for key in keys]
        asked = []
        for key in keys:
            row = self._index.row(key)
            vectors, prepared = self._index.take(np.array([row]))
            path = self._index.root.location(key)
            first = None if prepared is None else prepared[0]
            asked.append(Asked(key, path, vectors[0], first, (row,)))
        return asked

    def ask_pictures(self) -> list[Asked]:
        """Return the questions of the queries' pictures, in natural order."""
        if self._terms:
            return self._combine(
                [
                    (weight, known)
                    for weight, images in self._weigh(self._query.images)
                    for known in self._know_pictures(self._embed(images, self._crop))
                ]
            )
        embedded = self._embed(self._query.images, self._crop)
        prepared = self._index.prepare(embedded.values)
        vectors = self._index.project(prepared)
        return [
            Asked(item.location, item.location, vector, features)
            for item, vector, features in zip(embedded.items, vectors, prepared, strict=True)
        ]

    def _combine(self, bases: Sequence[tuple[float, _Known]]) -> list[Asked]:
        """Add the terms to each of some questions, all of unit length, as rclip does."""
        terms = self._known_terms
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

    @cached_property
    def _known_terms(self) -> list[tuple[Term, list[_Known]]]:
        """The terms with their features: a path or URL is a picture, anything else a key."""
        found = []
        for term in self._terms:
            is_picture = is_url(term.name) or os.path.exists(term.name)
            if not is_picture and term.name in self._index:
                found.append((term, [self._know_key(term.name)]))
                continue
            if not is_picture and not has_magic(term.name):
                raise ImagesNotFound(
                    f"There is no file, folder or stored image {term.name!r}. featx looked from "
                    f"the folder {os.getcwd()!r}, and among the keys of the index."
                )
            embedded = self._embed(term.name)
            if embedded.failures:
                first = embedded.failures[0]
                raise InvalidValue(f"{term.text[1:]!r} cannot be used: {first.reason.rstrip('.')}.")
            found.append((term, self._know_pictures(embedded)))
        return found

    def _ask(self, known: _Known) -> Asked:
        prepared = self._index.prepare(known.features[np.newaxis])
        vector = self._index.project(prepared)[0]
        return Asked(known.query, known.path, vector, prepared[0], known.rows)

    def _know_query(self, key: str) -> _Known:
        """Return the features of an image of the index; of a part of it from its picture."""
        if self._crop is None:
            return self._know_key(key)
        row, root = self._index.row(key), self._index.root
        path = root.location(key)
        reader = LocationReader(allow_download=self._query.allow_download)
        try:
            data = reader.read_key(root, key)
        except (OSError, ImageError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise InvalidValue(
                f"A part of an image is taken from its picture, and {key!r} cannot be read: "
                f"{reason.rstrip('.')}."
            ) from error
        embedded = self._embed([(key, data)], self._crop)
        if embedded.failures:
            reason = embedded.failures[0].reason.rstrip(".")
            raise InvalidValue(f"{key!r} cannot be used: {reason}.")
        return _Known(key, path, embedded.values[0], (row,))

    def _know_key(self, key: str) -> _Known:
        row = self._index.row(key)
        features = self._index.take_features(np.array([row]))[0]
        return _Known(key, self._index.root.location(key), features, (row,))

    def _know_pictures(self, embedded: EmbeddedImages) -> list[_Known]:
        hashes = self._index.content_hash()
        return [
            _Known(
                item.location,
                item.location,
                features,
                tuple(np.flatnonzero((hashes == content).all(axis=1)).tolist()),
            )
            for item, content, features in zip(
                embedded.items, embedded.content_hash, embedded.values, strict=True
            )
        ]

    def _weigh(self, images: Images) -> list[tuple[float, Images]]:
        """Return queries with the weights that are written before them."""
        if isinstance(images, str):
            images = [images]
        if not isinstance(images, list | tuple) or not all(isinstance(one, str) for one in images):
            return [(1.0, images)]
        terms = [parse_term(str(one)) for one in images]
        return [(term.weight, term.name) for term in terms]

    def _embed(self, images: Images, crop: Crop | None = None) -> EmbeddedImages:
        """Compute the feature that an index compares, of all or a part of some pictures."""
        from featx.features.embedding import accelerate, embed_found, load_network
        from featx.images.cropping import crop_images

        require_pooling(self._index)
        description = self._index.description
        found = replace(self._query, images=images).find(self._listener)
        if crop is not None:
            found = crop_images(found, crop)
        if self._network is None:
            network = load_network(self._query, description.model, description.feature)
            self._network = accelerate(network, self._query.run, self._listener)
        options = self._query.run
        embedded = embed_found(found, self._network, description.feature, options, self._listener)
        self.failures += embedded.failures
        return embedded


def _parse_crop(text: str) -> Crop:
    from featx.images.cropping import parse_crop

    return parse_crop(text)
