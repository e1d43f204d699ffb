"""Clusters of a map: their names, the images that stand for them, and those that are unlike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featx.curation.clusters.kmeans import nearest_centres
from featx.index.all_neighbours import BLOCK, Directions

REPRESENTATIVES, OUTLIERS, NAMED = 6, 3, 2
"""Of each cluster: images that stand for it, that are least like it, and labels in its name."""

ENOUGH = 0.6
"""Share of a cluster's labelled images of which one label alone is its name."""


@dataclass(frozen=True, slots=True)
class MapCluster:
    """Images that belong together.

    Attributes:
        name: Its most common labels; without labels those of the most similar images, or a number.
        size: Number of images.
        labels: Label → images with it, the most common first.
        representatives: Row numbers of the images nearest to its centre, the nearest first.
        outliers: Those farthest from it, the farthest first.
    """

    name: str
    size: int
    labels: tuple[tuple[str, int], ...]
    representatives: tuple[int, ...]
    outliers: tuple[int, ...]


def describe_clusters(
    numbers: np.ndarray, directions: Directions, labels: Sequence[str | None]
) -> tuple[MapCluster, ...]:
    """Describe clusters.

    Args:
        numbers: The cluster of each image, (N,): from 0, without gaps; -1 for those of none.
        directions: All vectors, (N, D).
        labels: N labels, None where there is none.
    """
    count = int(numbers.max(initial=-1)) + 1
    centres = _find_means(directions, numbers, count)
    distances = _measure(directions, numbers, centres)
    counters: list[Counter[str]] = [Counter() for _ in range(count)]
    for number, label in zip(numbers.tolist(), labels, strict=True):
        if number >= 0 and label is not None:
            counters[number][label] += 1
    names = _find_names(counters, directions, centres, labels)
    order = np.lexsort((distances, numbers))
    edges = np.searchsorted(numbers[order], np.arange(count + 1))
    clusters = []
    for number in range(count):
        rows = order[edges[number] : edges[number + 1]].tolist()
        spare = rows[REPRESENTATIVES:]
        clusters.append(
            MapCluster(
                names[number],
                len(rows),
                tuple(counters[number].most_common()),
                tuple(rows[:REPRESENTATIVES]),
                tuple(spare[: -OUTLIERS - 1 : -1]),
            )
        )
    return tuple(clusters)


def _find_means(directions: Directions, numbers: np.ndarray, count: int) -> np.ndarray:
    sums = np.zeros((count, directions.values.shape[1]))
    for start in range(0, len(numbers), BLOCK):
        own = numbers[start : start + BLOCK]
        block = directions.take(slice(start, start + BLOCK))
        for number in np.unique(own[own >= 0]).tolist():
            sums[number] += block[own == number].sum(axis=0, dtype=np.float64)
    sizes = np.bincount(numbers[numbers >= 0], minlength=count)
    return np.asarray(sums / np.maximum(sizes, 1)[:, None], np.float32)


def _measure(directions: Directions, numbers: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the squared distance of each image to the centre of its cluster, (N,)."""
    distances = np.zeros(len(numbers), np.float32)
    for start in range(0, len(numbers), BLOCK):
        own = numbers[start : start + BLOCK]
        inside = np.flatnonzero(own >= 0)
        block = directions.take(start + inside) - centres[own[inside]]
        distances[start + inside] = np.einsum("ij,ij->i", block, block)
    return distances


def _find_names(
    counters: Sequence[Counter[str]],
    directions: Directions,
    centres: np.ndarray,
    labels: Sequence[str | None],
) -> list[str]:
    """Return a name for each cluster, all different."""
    near = _find_nearest_labels(counters, directions, centres, labels)
    names: list[str] = []
    for number, counter in enumerate(counters, start=1):
        common = counter.most_common(NAMED)
        if not common:
            label = near.get(number - 1)
            name = f"cluster {number}" if label is None else f"like {label}"
        elif common[0][1] >= ENOUGH * counter.total():
            name = common[0][0]
        else:
            name = ", ".join(label for label, _ in common)
        names.append(name)
    repeated = Counter(names)
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        if repeated[name] > 1:
            seen[name] += 1
            names[place] = f"{name} ({seen[name]})"
    return names


def _find_nearest_labels(
    counters: Sequence[Counter[str]],
    directions: Directions,
    centres: np.ndarray,
    labels: Sequence[str | None],
) -> dict[int, str]:
    """Return for clusters without labels the label whose images are most like them."""
    known = sorted({label for label in labels if label is not None})
    bare = [number for number, counter in enumerate(counters) if not counter]
    if not known or not bare:
        return {}
    place = {label: number for number, label in enumerate(known)}
    targets = np.array([-1 if label is None else place[label] for label in labels])
    means = _find_means(directions, targets, len(known))
    nearest, _ = nearest_centres(Directions(centres[bare], np.zeros(1, np.float32)), means)
    return {number: known[label] for number, label in zip(bare, nearest.tolist(), strict=True)}
