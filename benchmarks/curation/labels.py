"""Wrong labels, made on purpose: how they rank, and what correcting them does to a head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import featx
from featx.curation.audit_rows import AuditRows
from featx.curation.collection import Collection, read_collection
from featx.curation.difference import compare_sets, measure_auroc
from featx.curation.findings import FINDINGS
from featx.curation.predictions import QUICK
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.operations import compute
from featx.heads.options import FeatureChoice

TEST = 0.25
"""Share of the pictures, with right labels, that accuracy is measured on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of labels that were exchanged.

    Attributes:
        auroc: Of the probability of the given class, by which findings are ranked.
        precision: Share of wrong labels among the first findings, as many as were exchanged.
        found: Share of the wrong labels that are listed.
        listed: Share of wrong labels among all that are listed.
        accuracy: On right labels: fitted on the wrong ones, on the suggested ones, on right ones.
    """

    auroc: float
    precision: float
    found: float
    listed: float
    accuracy: tuple[float, float, float]


def read(path: Path) -> Collection:
    """Read a store."""
    with featx.open_store(path) as store:
        return read_collection([store], FeatureChoice(), featx.Listener())


def exchange(
    labels: np.ndarray, share: float, similar: dict[str, str] | None, seed: int
) -> np.ndarray:
    """Exchange a share of the labels, at random or for the most similar class."""
    random = np.random.default_rng(seed)
    names, changed = sorted(set(labels.tolist())), labels.copy()
    for row in random.permutation(len(labels))[: round(share * len(labels))]:
        own = str(labels[row])
        others = [name for name in names if name != own]
        changed[row] = random.choice(others) if similar is None else similar[own]
    return changed


def find_similar(collection: Collection, labels: np.ndarray) -> dict[str, str]:
    """Return, for each class, the one with the nearest mean."""
    names = sorted(set(labels.tolist()))
    means = np.stack([collection.values[labels == name].mean(axis=0) for name in names])
    distance = np.linalg.norm(means[:, None] - means, axis=2)
    np.fill_diagonal(distance, np.inf)
    return {name: names[place] for name, place in zip(names, distance.argmin(axis=1), strict=True)}


def measure(collection: Collection, share: float, *, similar: bool, seed: int = 0) -> Outcome:
    """Exchange labels of three quarters of the pictures, audit them, and fit heads."""
    order = np.random.default_rng(seed).permutation(len(collection))
    test, train = np.split(order, [round(TEST * len(order))])
    held_out, fitted = collection.take(np.sort(test)), collection.take(np.sort(train))
    right = np.array(fitted.labels)
    nearest = find_similar(fitted, right) if similar else None
    given = exchange(right, share, nearest, seed)
    is_wrong = given != right
    rows = AuditRows(replace(fitted, labels=tuple(given.tolist())))
    found = sorted(FINDINGS["label"].find(rows), key=lambda one: -one.score)
    places = {key: row for row, key in enumerate(fitted.keys)}
    listed = [places[str(one.key)] for one in found]
    suggested = given.copy()
    for row, one in zip(listed, found, strict=True):
        suggested[row] = one.suggested
    count = int(is_wrong.sum())
    own = np.nan_to_num(rows.predictions.own, nan=1)
    return Outcome(
        measure_auroc(-own, is_wrong),
        float(is_wrong[listed[:count]].sum() / count),
        float(is_wrong[listed].sum() / count),
        float(is_wrong[listed].mean()),
        (
            _fit(fitted, given, held_out),
            _fit(fitted, suggested, held_out),
            _fit(fitted, right, held_out),
        ),
    )


def _fit(fitted: Collection, labels: np.ndarray, held_out: Collection) -> float:
    names, targets = np.unique(labels, return_inverse=True)
    examples = Examples(fitted.values, targets, len(names), np.arange(len(targets)))
    kind, job = HEADS[QUICK], FitJob()
    weights = kind.fit(examples, kind.choose(examples, job).settings, job)
    predicted = compute(kind.operations(weights), held_out.values).argmax(axis=1)
    return float((names[predicted] == np.array(held_out.labels)).mean())


def count_alarms(collection: Collection, splits: int = 20) -> int:
    """Return how many random splits are said to differ."""
    targets = np.unique(np.array(collection.labels), return_inverse=True)[1]
    alarms = 0
    for seed in range(splits):
        sides = np.random.default_rng(seed).random(len(targets)) < 0.25
        difference = compare_sets(collection.values, sides, targets, seed)
        alarms += difference is not None and difference.is_real
    return alarms


def shift(collection: Collection, share: float) -> bool:
    """Return whether it is noticed that a side looks different: its vectors are moved.

    Args:
        collection: The rows.
        share: Of the distance from the mean of all to that of the first class.
    """
    labels = np.array(collection.labels)
    values = collection.values.copy()
    sides = np.random.default_rng(0).random(len(labels)) < 0.25
    direction = values[labels == labels[0]].mean(axis=0) - values.mean(axis=0)
    values[sides] += share * direction
    difference = compare_sets(values, sides, np.unique(labels, return_inverse=True)[1], 0)
    return difference is not None and difference.is_real
