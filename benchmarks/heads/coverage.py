"""How often sets of candidates hold the true class, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.heads.features import read_features
from featx.heads.evidence import Evidence
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.operations import compute

RATES = (0.8, 0.9, 0.95)

KINDS = ("linear", "ridge", "centroid")

NUM_DRAWS = 50
"""Divisions of the rows that are not fitted on into those that give the scores and the others."""


def show_coverage(stores: Sequence[Path]) -> None:
    """Print, for each store and kind, the rate that was met and the mean size of the sets."""
    table = Table("features", "kind", "scores", *(f"asked {rate:g}" for rate in RATES))
    for path in stores:
        values, targets = read_features(path)
        order = np.random.default_rng(0).permutation(len(targets))
        train, rest = np.split(order, [len(order) // 2])
        count = int(targets.max()) + 1
        examples = Examples(values[train], targets[train], count, np.arange(len(train)))
        for kind in KINDS:
            head = HEADS[kind]
            weights = head.fit(examples, head.choose(examples, FitJob()).settings, FitJob())
            probabilities = compute(head.operations(weights), values[rest])
            found = [_measure(probabilities, targets[rest], rate) for rate in RATES]
            cells = [f"{met:.3f} ± {spread:.3f}, {size:.2f} classes" for met, spread, size in found]
            table.add_row(path.stem, kind, f"{len(rest) // 2:,}", *cells)
    Console(width=160).print(table)


def _measure(
    probabilities: np.ndarray, targets: np.ndarray, rate: float
) -> tuple[float, float, float]:
    """Return mean and deviation of the rate that was met, and the mean size of a set."""
    own = probabilities[np.arange(len(targets)), targets]
    is_best = probabilities.argmax(axis=1) == targets  # It is in every set.
    random, met, sizes = np.random.default_rng(0), [], []
    for _ in range(NUM_DRAWS):
        chosen = random.permutation(len(targets))
        known, unseen = np.split(chosen, [len(chosen) // 2])
        scores = np.sort(1 - own[known].astype(np.float64)).astype(np.float32)
        least = Evidence(scores, np.zeros((0, 0)), np.zeros(0)).least_probability(rate)
        met.append(float((is_best[unseen] | (own[unseen] >= least)).mean()))
        sizes.append(float(np.maximum((probabilities[unseen] >= least).sum(axis=1), 1).mean()))
    return float(np.mean(met)), float(np.std(met)), float(np.mean(sizes))
