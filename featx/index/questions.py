"""Questions: pictures, keys, and what is added to them or subtracted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from glob import has_magic
from typing import TYPE_CHECKING

from featx.errors import ImageError, ImagesNotFound, InvalidValue
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.images.roots import is_url
from featx.images.sources import ImageFailure, Images
from featx.images.sources.locations import LocationReader
from featx.index.answering import Asked
from featx.index.asking import Asker, Known, Term, parse_term
from featx.index.options import QuestionOptions
from featx.index.ready import require_pooling
from featx.index.vector_index import VectorIndex

if TYPE_CHECKING:
    from featx.features.embedding import EmbeddedImages
    from featx.images.cropping import Crop
    from featx.models.backbone import Backbone


class QuestionMaker(Asker):
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
        super().__init__(index)
        self._query, self._listener = query, listener
        self._crop = None if options.crop is None else _parse_crop(options.crop)
        self._terms = [
            *(parse_term(text) for text in options.add),
            *(parse_term(text, -1) for text in options.subtract),
        ]
        self._network: Backbone | None = None
        self.failures: tuple[ImageFailure, ...] = ()

    def ask_keys(self, keys: Sequence[str]) -> list[Asked]:
        """Return the questions of images of the index."""
        terms = [parse_term(key) if key not in self._index else Term(1, key, key) for key in keys]
        if self._terms:
            bases = [(term.weight, self._know_query(term.name)) for term in terms]
            return self.combine(bases, self._known_terms)
        if self._crop is not None:
            return [self.ask(self._know_query(term.name)) for term in terms]
        return [self.ask_key(term.name) for term in terms]

    def ask_pictures(self) -> list[Asked]:
        """Return the questions of the queries' pictures, in natural order."""
        if self._terms:
            bases = [
                (weight, known)
                for weight, images in _weigh(self._query.images)
                for known in self._know_pictures(self._embed(images, self._crop))
            ]
            return self.combine(bases, self._known_terms)
        names = _parse_names(self._query.images)  # Alone, a weight changes no order.
        images = self._query.images if names is None else [term.name for term in names]
        embedded = self._embed(images, self._crop)
        prepared = self._index.prepare(embedded.values)
        vectors = self._index.project(prepared)
        return [
            Asked(item.location, item.location, vector, features)
            for item, vector, features in zip(embedded.items, vectors, prepared, strict=True)
        ]

    @cached_property
    def _known_terms(self) -> list[tuple[Term, list[Known]]]:
        """The terms with their features: a path or URL is a picture, anything else a key."""
        found = []
        for term in self._terms:
            is_picture = is_url(term.name) or os.path.exists(term.name)
            if not is_picture and term.name in self._index:
                found.append((term, [self.know_key(term.name)]))
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

    def _know_query(self, key: str) -> Known:
        """Return the features of an image of the index; of a part of it from its picture."""
        if self._crop is None:
            return self.know_key(key)
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
        embedded = self._embed([(key, data)], self._crop, is_all=False)
        if embedded.failures:
            reason = embedded.failures[0].reason.rstrip(".")
            raise InvalidValue(f"{key!r} cannot be used: {reason}.")
        return Known(key, path, embedded.values[0], (row,))

    def _know_pictures(self, embedded: EmbeddedImages) -> list[Known]:
        return [
            self.know_picture(item.location, content, features)
            for item, content, features in zip(
                embedded.items, embedded.content_hash, embedded.values, strict=True
            )
        ]

    def _embed(
        self, images: Images, crop: Crop | None = None, *, is_all: bool = True
    ) -> EmbeddedImages:
        """Compute the feature that an index compares, of all or a part of some pictures.

        Args:
            images: The pictures.
            crop: The part.
            is_all: Whether no more will come, but those that are added to these or subtracted.
        """
        from featx.features.embedding import accelerate, embed_found, load_network
        from featx.images.cropping import crop_images

        require_pooling(self._index)
        description = self._index.description
        found = replace(self._query, images=images).find(self._listener)
        if crop is not None:
            found = crop_images(found, crop, self._query.run.max_pixels)
        if self._network is None:
            network = load_network(self._query, description.model, description.feature)
            self._network = accelerate(
                network, self._query.run, self._listener, found if is_all else None
            )
        options = self._query.run
        embedded = embed_found(found, self._network, description.feature, options, self._listener)
        self.failures += embedded.failures
        return embedded


def _weigh(images: Images) -> list[tuple[float, Images]]:
    """Return queries with the weights that are written before them."""
    names = _parse_names(images)
    return [(1.0, images)] if names is None else [(term.weight, term.name) for term in names]


def _parse_names(images: Images) -> list[Term] | None:
    """Return queries that are names, with their weights; None if they are something else."""
    if isinstance(images, str):
        images = [images]
    if not isinstance(images, list | tuple) or not all(isinstance(one, str) for one in images):
        return None
    return [parse_term(str(one)) for one in images]


def _parse_crop(text: str) -> Crop:
    from featx.images.cropping import parse_crop

    return parse_crop(text)
