"""What a head keeps of pictures, to say how far it can be trusted with a new one.

Scores of pictures that it had not seen give sets of classes that hold the true one at a stated
rate; some vectors that it was fitted on tell how unlike them a new picture is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np

MAX_SCORES = 10_000
"""Most scores that are kept: a rate is then met to within 0.3 % (two standard errors at 0.9)."""

MAX_DISTANCES = 4_000
"""Most unseen pictures whose distances are computed: a percentile is then met to within 1.6 %."""

MAX_REFERENCES = 2_000
MAX_REFERENCE_BYTES = 4 * 2**20
"""Bounds of the vectors that are kept: 1,638 of 1,280 values. Telling photographs of flowers from
others, 200 of 720 vectors did as well as all (area under the ROC curve 1.00 both times)."""

NEIGHBOURS = 5
"""Nearest vectors whose mean distance counts. One was worse (0.996 and 0.991 in both directions
between two sets of photographs, against 1.000 and 0.995), as one odd training picture is enough."""

ROUNDING = float(np.finfo(np.float32).eps)
"""Of scores, and of the difference from 1: equal probabilities must be on the same side."""

NUM_QUANTILES = 1001
BLOCK_ROWS = 1024

_PREFIX = "featx."
"""Before the names of these arrays among a head's: kinds choose theirs themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Scores and vectors that a head keeps.

    Attributes:
        scores: One minus the probability of the true class, of M held-out pictures, ascending,
            (M,); M is 0 where none were held out.
        references: R vectors that it was fitted on, of unit length, float16 (R, D).
        distances: How far pictures that it had not seen are from these, ascending quantiles.
    """

    scores: np.ndarray
    references: np.ndarray
    distances: np.ndarray

    def least_probability(self, coverage: float) -> float:
        """Return the probability from which a class belongs to the set of a picture.

        Split conformal prediction: among pictures like those held out, the set holds the true class
        at least at the rate `coverage`, on average over them, whatever the head's probabilities are
        worth (Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers", 2019). They are
        taken as the head gives them: made more reliable, the sets would grow (arXiv 2402.05806,
        2412.06082).

        Args:
            coverage: In (0, 1).

        Returns:
            In [0, 1]; 0, which every class has, where so high a rate needs more held-out pictures.

        Example:
            >>> scores = np.array([0.1, 0.2, 0.3, 0.9])
            >>> evidence = Evidence(scores, np.zeros((0, 2)), np.zeros(0))
            >>> round(evidence.least_probability(0.6), 3), evidence.least_probability(0.9)
            (0.7, 0.0)
        """
        rank = math.ceil((len(self.scores) + 1) * coverage - 1e-9)
        if rank > len(self.scores):
            return 0.0
        return max(0.0, 1 - float(self.scores[rank - 1]) - ROUNDING)

    def novelty(self, values: np.ndarray) -> np.ndarray:
        """Return the share of unseen pictures that are nearer to what the head was fitted on.

        Args:
            values: Feature vectors, (N, D).

        Returns:
            (N,), in [0, 1]: 0.5 is as unlike them as held-out pictures are in the middle, 1 more
            unlike than all of these.
        """
        distances = _distances(values, np.arange(len(values)), self.references)
        return np.searchsorted(self.distances, distances) / max(1, len(self.distances))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays under the names that they have in a head's folder."""
        return {
            f"{_PREFIX}scores": self.scores,
            f"{_PREFIX}references": self.references,
            f"{_PREFIX}distances": self.distances,
        }


def take_evidence(arrays: MutableMapping[str, np.ndarray], width: int) -> Evidence | None:
    """Take these arrays out of those of a head; None if it is older than they are.

    Args:
        arrays: As they were read from a file, which may come from anybody.
        width: D.

    Raises:
        ValueError: If they are not such arrays.
    """
    names = [f"{_PREFIX}{name}" for name in ("scores", "references", "distances")]
    if not any(name in arrays for name in names):
        return None
    scores, references, distances = (arrays.pop(name) for name in names)
    _check({"scores": scores, "distances": distances})
    if references.ndim != 2 or references.shape[1] != width or references.dtype != np.float16:
        raise ValueError("the references are no vectors of this feature")
    if not 0 < len(references) <= MAX_REFERENCES:  # Each picture is compared with all of them.
        raise ValueError(f"there are {len(references):,} references")
    return Evidence(scores, references, distances)


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        if values.ndim != 1 or values.dtype != np.float32 or (np.diff(values) < 0).any():
            raise ValueError(f"{name!r} does not ascend")


def collect_evidence(
    values: np.ndarray, held_out: np.ndarray, true_probabilities: np.ndarray, seed: int
) -> Evidence:
    """Keep what is needed of the pictures that a head was fitted on, and of those held out.

    Args:
        values: Feature vectors, (N, D). Few of them are copied.
        held_out: Which of them the head that was measured had not seen, bool (N,).
        true_probabilities: What was given to the true classes of pictures that were not seen, (M,):
            those of `held_out`, or, with cross-validation, of all.
        seed: For the choice of the vectors that are kept.
    """
    random = np.random.default_rng(seed)
    size = min(MAX_REFERENCES, MAX_REFERENCE_BYTES // (2 * values.shape[1]))
    kept = random.permutation(np.flatnonzero(~held_out))[: max(1, size)]
    references = _unit(values[kept]).astype(np.float16)
    chosen = random.permutation(len(true_probabilities))[:MAX_SCORES]
    scores = 1 - true_probabilities[chosen].astype(np.float64)
    unseen = random.permutation(np.flatnonzero(held_out))[:MAX_DISTANCES]
    if len(unseen):
        distances = _distances(values, unseen, references)
    else:  # The nearest vector is then the picture itself, and does not count.
        distances = _distances(values, kept, references, skip=1)
    shares = np.linspace(0, 1, min(NUM_QUANTILES, len(distances)))
    return Evidence(
        np.sort(scores).astype(np.float32),
        references,
        np.quantile(distances, shares).astype(np.float32),
    )


def _distances(
    values: np.ndarray, rows: np.ndarray, references: np.ndarray, skip: int = 0
) -> np.ndarray:
    """Return mean cosine distances of rows to their nearest references, without the `skip` nearest.

    Args:
        values: (N, D).
        rows: Row numbers, (n,).
        references: Of unit length, (R, D).
        skip: How many of the nearest do not count.

    Returns:
        (n,).
    """
    compared = references.astype(np.float32)
    first = min(skip, len(compared) - 1)
    last = min(NEIGHBOURS + skip, len(compared))
    distances = [np.zeros(0, np.float32)]
    for start in range(0, len(rows), BLOCK_ROWS):
        block = 1 - _unit(values[rows[start : start + BLOCK_ROWS]]) @ compared.T
        nearest = np.partition(block, last - 1, axis=1)[:, :last]
        distances.append(np.sort(nearest, axis=1)[:, first:].mean(axis=1))
    return np.concatenate(distances)


def _unit(values: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1), np.float32)
