"""Centres and codes of inverted lists, trained on some of the vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.index.codes import Coder
from featx.index.kinds import Space
from featx.index.nearest import FAISS_API, metric_of, start_faiss
from featx.index.recipes import Recipe
from featx.wording import option

SEED = 1234

ITERATIONS = 10
"""Of k-means, as FAISS does for inverted lists."""

MARGIN = 5.0
"""By this, over the root of their number, the extent of values trained on is made wider on both
sides: others are beyond it. 2 % for 65,536 vectors."""


def train_coder(training: np.ndarray, recipe: Recipe, space: Space) -> Coder:
    """Return centres and codes for vectors like some vectors.

    Args:
        training: float32 (n, D).
        recipe: ``SQ8`` or ``RaBitQ``, and how many lists there are at most: no more than vectors.
        space: The vectors of the index.
    """
    start_faiss()
    if recipe.code == "RaBitQ":
        random = np.random.default_rng(SEED).standard_normal((space.width, space.width))
        extra: dict[str, np.ndarray] = {"rotation": np.linalg.qr(random)[0].astype(np.float32)}
        training = training @ extra["rotation"]
    else:
        quantizer = FAISS_API.ScalarQuantizer(space.width, FAISS_API.ScalarQuantizer.QT_8bit)
        quantizer.rangestat_arg = MARGIN / np.sqrt(max(1, len(training)))
        quantizer.train(np.ascontiguousarray(training))
        extra = {"ranges": FAISS_API.vector_to_array(quantizer.trained).astype(np.float32)}
    return Coder(space, train_centres(training, recipe.lists, space), extra, recipe)


def train_centres(training: np.ndarray, count: int, space: Space) -> np.ndarray:
    """Return the centres of lists, float32 (count, D), by k-means."""
    training = np.ascontiguousarray(training, np.float32)
    count = min(count, len(training))
    if count == len(training):
        return training.copy()
    means = FAISS_API.Kmeans(
        training.shape[1],
        count,
        niter=ITERATIONS,
        seed=SEED,
        spherical=space.metric == "ip",
        min_points_per_centroid=1,
        max_points_per_centroid=len(training),
    )
    means.train(training)
    return np.asarray(means.centroids, np.float32).reshape(count, -1)


def train_recipe(training: np.ndarray, recipe: Recipe, space: Space) -> Coder:
    """Return centres and codes as FAISS trains an index of a factory string.

    Raises:
        InvalidValue: If such vectors cannot be compressed so.
    """
    start_faiss()
    asked = option("factory", space.factory)
    needed = max(recipe.lists, 1 << recipe.product[1] if recipe.product else 1)
    if len(training) < needed:
        raise InvalidValue(
            f"At least {needed:,} vectors are needed to train this index, besides those that "
            f"recall is measured with; there are {len(training):,}. Received: {asked}."
        )
    try:
        index = FAISS_API.index_factory(space.width, recipe.text, metric_of(space))
        kept = _prepare(index)  # Until training is over.
        index.train(np.ascontiguousarray(training))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].rpartition("failed: ")[2]
        raise InvalidValue(
            f"FAISS cannot compress {space.width:,} values so: {reason.rpartition('.cpp:')[2]}. "
            f"Received: {asked}."
        ) from error
    del kept
    extra: dict[str, np.ndarray] = {}
    lists = FAISS_API.downcast_index(FAISS_API.extract_index_ivf(index))
    if recipe.transforms:
        extra |= _join_transforms(index)
    if recipe.product is not None:
        parts, bits = recipe.product
        words = FAISS_API.vector_to_array(lists.pq.centroids)
        extra["words"] = words.reshape(parts << bits, -1)
    elif hasattr(lists, "sq") and lists.sq.trained.size():
        extra["ranges"] = FAISS_API.vector_to_array(lists.sq.trained).astype(np.float32)
    centres = lists.quantizer.reconstruct_n(0, lists.nlist)
    return Coder(space, centres, extra, recipe)


def _join_transforms(index: Any) -> dict[str, np.ndarray]:
    """Return the transforms before an index as one: ``rotation`` (D, P), perhaps ``offset``."""
    rotation = np.eye(index.d, dtype=np.float64)
    offset = np.zeros(index.d)
    for number in range(index.chain.size()):
        step = FAISS_API.downcast_VectorTransform(index.chain.at(number))
        matrix = FAISS_API.vector_to_array(step.A).reshape(step.d_out, step.d_in).T
        rotation, offset = rotation @ matrix, offset @ matrix
        if step.have_bias:
            offset = offset + FAISS_API.vector_to_array(step.b)
    arrays = {"rotation": rotation.astype(np.float32)}
    return arrays | ({"offset": offset.astype(np.float32)} if offset.any() else {})


def _prepare(index: Any) -> list[Any]:
    """Let FAISS not print that there are few vectors; returns objects that it must not lose."""
    kept = []
    lists = FAISS_API.downcast_index(FAISS_API.extract_index_ivf(index))
    for quantizer in (lists, getattr(lists, "pq", None)):
        if quantizer is not None:
            quantizer.cp.min_points_per_centroid = 1
    if hasattr(lists, "do_polysemous_training"):
        lists.do_polysemous_training = False  # For searches by Hamming distance; takes minutes.
    for number in range(index.chain.size() if hasattr(index, "chain") else 0):
        step = FAISS_API.downcast_VectorTransform(index.chain.at(number))
        if isinstance(step, FAISS_API.OPQMatrix):
            words = FAISS_API.ProductQuantizer(step.d_out, step.M, 8)
            words.cp.min_points_per_centroid = 1
            step.pq = words
            kept.append(words)
    return kept
