"""Vectors of whatever has them: arrays, stores, tables of features, or images to be computed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from featx.errors import FingerprintMismatch, ImageError
from featx.files import is_hdf5
from featx.images.sources import Images
from featx.images.sources.data_frames import is_data_frame
from featx.images.sources.table_columns import PATH_COLUMNS, find_column
from featx.objects.addresses import names_store
from featx.options import RunOptions
from featx.specs import FeatureSpec, ModelSpec, identity_differences
from featx.store import FeatureStore, FeatureTable, open_store
from featx.units import format_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

HasVectors: TypeAlias = "ArrayLike | FeatureStore | FeatureTable | Images"
"""An array (N, D), a store or its path, a layer of it as a table, or images, as `featx.extract`
takes them."""


def read_vectors(given: Any, model: ModelSpec, feature: FeatureSpec) -> Any:
    """Return vectors of one feature, (N, D): those of a store, or computed of images.

    What holds numbers is returned as it is.

    Args:
        given: See `HasVectors`. Of several paths, each is one image.
        model: The model that computes the feature.
        feature: The feature.

    Raises:
        FingerprintMismatch: If a store or table holds another feature; names the fields.
        ImageError: If an image cannot be read.
    """
    given = open_if_store(given)
    if isinstance(given, FeatureTable):
        _check_same(given.spec, given.model, feature, model)
        return given.values
    if isinstance(given, FeatureStore):
        spec = given.vector_spec(feature.name, feature.pool)
        _check_same(spec, given.model, feature, model)
        return given.table(feature.name, pool=feature.pool).values
    return given if holds_numbers(given) else _compute(given, model, feature)


def open_if_store(given: Any) -> Any:
    """Return a store that is there under a path, opened; anything else as it is."""
    if names_store(given) or (isinstance(given, (str, os.PathLike)) and is_hdf5(given)):
        return open_store(os.fspath(given))
    return given


def _check_same(
    received: FeatureSpec, received_model: ModelSpec, expected: FeatureSpec, model: ModelSpec
) -> None:
    if received.fingerprint(received_model) == expected.fingerprint(model):
        return
    differences = identity_differences(
        _identify(expected, model), _identify(received, received_model)
    )
    raise FingerprintMismatch(
        "The features are others than those that are expected here.",
        differences,
        remedy="Extract them with the same model, layer and preprocessing.",
    )


def _identify(spec: FeatureSpec, model: ModelSpec) -> dict[str, Any]:
    described = {"layer": spec.name, "pool": spec.pool, "shape": list(spec.shape)}
    return dict(model.identity()) | described


def _compute(images: Images, model: ModelSpec, feature: FeatureSpec) -> np.ndarray:
    # Stored features need nothing of these.
    from featx.features.embedding import embed_images
    from featx.features.query_images import QueryImages

    query = QueryImages(images, in_order=True)
    embedded = embed_images(query, model, feature, RunOptions().choose_listener(None))
    if embedded.failures:
        first, count = embedded.failures[0], len(embedded.failures)
        more = f" ({format_count(count, 'image')} failed)" if count > 1 else ""
        raise ImageError(f"{first.key!r} cannot be used: {first.reason}{more}")
    return embedded.values


def holds_numbers(given: Any) -> bool:
    """Whether something holds vectors, or should: numbers, but not those of pictures.

    Example:
        >>> holds_numbers([[0.5, 1.0]]), holds_numbers(["a.jpg"])
        (True, False)
        >>> holds_numbers(np.zeros((2, 3))), holds_numbers(np.zeros((2, 8, 8, 3), np.uint8))
        (True, False)
    """
    if isinstance(given, (str, bytes, bytearray, os.PathLike, Mapping)):
        return False
    if is_data_frame(given):
        names = getattr(given, "column_names", None) or list(map(str, given.columns))
        return find_column(names, PATH_COLUMNS) is None
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        is_text = getattr(given.dtype, "kind", "O") not in "fiubc"
        return not is_text and (len(given.shape) < 3 or given.dtype != np.uint8)
    if not isinstance(given, (list, tuple)):
        return not hasattr(given, "__iter__") and not hasattr(given, "mode")
    first = given[0] if given else 0.0
    if isinstance(first, tuple) and first:  # (key, image), perhaps.
        return not isinstance(first[0], (str, os.PathLike))
    return isinstance(first, (int, float, np.number, list, tuple)) or np.ndim(first) == 1
