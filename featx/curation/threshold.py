"""From which similarity on two pictures count as copies: chosen on the features themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.errors import InvalidValue
from featx.heads.near_duplicates import DEFAULT_SIMILARITY
from featx.index.all_neighbours import Directions, find_neighbours

SMALL, SMALL_SIMILARITY = 32, 0.985
"""Images up to which no mean is subtracted, since that of two copies is what they have in common,
and the threshold for them. Of the last layers of three networks, no two different pictures of four
sets were above 0.98 in this way."""

FEW = 100
"""Images of which the similarities say nothing of what is usual."""

NARROW = 16
"""Values of a vector below which different pictures are often as similar as copies: only identical
vectors count, unless a similarity is named."""

SAMPLE = 1_000
"""Rows whose nearest neighbours are looked at."""

NEAR, FAR = 16, 64
"""Neighbours between which it is measured how fast their number grows with distance: further away
than the copies of a picture usually are, and near enough for the pictures around it."""

FLAT = 0.25
"""Quantile of the local dimensions that is taken: pairs are similar by chance most often where the
dimension is small. With the median, 4 of 13 pairs of CIFAR-10 were no copies."""

CHANCE = 0.05
"""Pairs that are expected by chance, as a share of those found, or of one where none is found."""

LEAST, MOST, STEPS = 0.95, 0.9995, 100
"""Limits of what is chosen, and how many values are tried: below, even rare pairs are no copies;
above, rounding counts."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least similarity of near-duplicates.

    Attributes:
        similarity: Cosine of features less their mean, in (0, 1].
        origin: Where it comes from, in words.
    """

    similarity: float
    origin: str


def check_threshold(value: float | None) -> float | None:
    """Return a similarity that was asked for.

    Raises:
        InvalidValue: If it is none.
    """
    if value is not None and not 0 < value <= 1:
        raise InvalidValue(
            f"The similarity of near-duplicates is a number above 0 and up to 1, such as 0.98. "
            f"Received: {value!r}."
        )
    return value


def choose_threshold(directions: Directions, seed: int = 0) -> Threshold:
    """Choose the least similarity of near-duplicates by how similar pictures usually are.

    Around a picture, the number of different pictures grows with a power of the distance, the local
    dimension (Levina and Bickel, 2004, estimate it in this way). It is measured between the 16th
    and the 64th neighbour, where few are copies, and says how many pairs are to be expected by
    chance at the small distances where copies are. The similarity is the least one at which these
    are at most `CHANCE` of the pairs that there are, or of one pair where there are none.

    Args:
        directions: Vectors of different contents, (N, D).
        seed: For the sample.
    """
    count, width = directions.values.shape
    if width < NARROW:
        return Threshold(1, f"identical vectors alone, which have fewer than {NARROW} values")
    if count <= SMALL:
        return Threshold(SMALL_SIMILARITY, f"the usual one for up to {SMALL} images")
    if count < FEW:
        return Threshold(DEFAULT_SIMILARITY, f"the usual one for fewer than {FEW} images")
    rows = np.sort(np.random.default_rng(seed).permutation(count)[:SAMPLE])
    found = find_neighbours(directions, rows, min(FAR, count - 1))
    similarity = found.similarity.astype(np.float64)
    pairs_each = count / (2 * len(rows))  # A pair is seen from both of its rows.
    rare = _find_rare(np.sqrt(np.maximum(2 * (1 - similarity), 1e-9)), pairs_each)
    return Threshold(
        round(rare, 4),
        f"chosen on {len(rows):,} images: at most {CHANCE:.0%} of the pairs by chance",
    )


def _find_rare(distance: np.ndarray, pairs_each: float) -> float:
    """Return the least similarity at which few of the pairs are expected by chance.

    Args:
        distance: Of each sampled row to its neighbours, ascending, (S, k).
        pairs_each: Pairs of the whole set for each of the sampled ones.
    """
    near, far = distance[:, NEAR - 1], distance[:, -1]
    is_spread = far > near * (1 + 1e-6)
    if not is_spread.any():
        return MOST  # All are alike.
    growth = np.log(distance.shape[1] / NEAR)
    dimension = float(np.quantile(growth / np.log(far[is_spread] / near[is_spread]), FLAT))
    for least in np.linspace(LEAST, MOST, STEPS):
        radius = np.sqrt(2 * (1 - least))
        seen = (distance <= radius).sum() * pairs_each
        chance = NEAR * np.minimum(1, (radius / near) ** dimension).sum() * pairs_each
        if chance <= CHANCE * max(1, seen):
            return float(least)
    return MOST
