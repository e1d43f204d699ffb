"""Wrong labels, made on purpose: how they rank, and what correcting them does to a head."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import featx
from featx.curation.audit_rows import AuditRows
from featx.curation.collection import Collection, read_collection
from featx.curation.difference import compare_sets, measure_auroc
from featx.heads.options import FeatureChoice

TEST = 0.25
"""Share of the pictures, with right labels, that accuracy is measured on."""


KIND = "linear"
"""Of head that accuracy is measured with: the kind that is chosen most often by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of labels that were exchanged.

    Attributes:
        auroc: Of the probability of the given class, by which findings are ranked.
        precision: Share of wrong labels among the first findings, as many as were exchanged.
        found: Share of the wrong labels that are listed.
        listed: Share of wrong labels among all that are listed.
        accuracy: On right labels, of heads fitted on the wrong ones; on the suggested ones, taken
            over unseen; on what a person makes of them, who looks at the suggestions alone and
            corrects those that are wrong; and on right ones.
    """

    auroc: float
    precision: float
    found: float
    listed: float
    accuracy: tuple[float, float, float, float]


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


def measure(
    path: Path, collection: Collection, share: float, *, similar: bool, seed: int = 0
) -> Outcome:
    """Exchange labels of three quarters of the pictures, audit them, and fit heads."""
    order = np.random.default_rng(seed).permutation(len(collection))
    test, train = np.split(order, [round(TEST * len(order))])
    held_out, fitted = collection.take(np.sort(test)), collection.take(np.sort(train))
    right = np.array(fitted.labels)
    nearest = find_similar(fitted, right) if similar else None
    given = exchange(right, share, nearest, seed)
    is_wrong = given != right
    rows = AuditRows(replace(fitted, labels=tuple(given.tolist())))
    own = np.nan_to_num(rows.predictions.own, nan=1)
    places = {key: row for row, key in enumerate(fitted.keys)}
    with tempfile.TemporaryDirectory() as folder:
        trial = _Trial(path, Path(folder), held_out)
        suggested, listed = trial.audit(fitted.keys, given)
        found = np.array([places[key] for key in listed])
        corrected = given.copy()
        corrected[found] = right[found]
        count = int(is_wrong.sum())
        return Outcome(
            measure_auroc(-own, is_wrong),
            float(is_wrong[found[:count]].sum() / count),
            float(is_wrong[found].sum() / count),
            float(is_wrong[found].mean()),
            (
                trial.fit(fitted.keys, given),
                trial.fit(fitted.keys, suggested),
                trial.fit(fitted.keys, corrected),
                trial.fit(fitted.keys, right),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Trial:
    """Heads fitted on tables of labels, as the command line does it.

    Attributes:
        store: The store.
        folder: For the tables and heads.
        held_out: Pictures with right labels, that no head is fitted on.
    """

    store: Path
    folder: Path
    held_out: Collection

    def audit(self, keys: Sequence[str], given: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return the labels of the table that an audit writes, and the keys that are listed."""
        table = self.folder / "given.csv"
        _write(table, zip(keys, given, strict=True), ["path", "label"])
        report = featx.audit(self.store, kinds=["label"], labels=table, verbose=False)
        report.write_labels(self.folder / "suggested.csv")
        with (self.folder / "suggested.csv").open(encoding="utf-8", newline="") as file:
            labels = {line["path"]: line["label"] for line in csv.DictReader(file)}
        listed = [str(finding.key) for finding in report.of_kind("label")]
        return np.array([labels[key] for key in keys]), listed

    def fit(self, keys: Sequence[str], labels: np.ndarray) -> float:
        """Return the accuracy on the pictures held out."""
        table = self.folder / "labels.csv"
        lines = [(key, label, "train") for key, label in zip(keys, labels, strict=True)]
        held_out = zip(self.held_out.keys, self.held_out.labels, strict=True)
        lines += [(key, label, "test") for key, label in held_out]
        _write(table, lines, ["path", "label", "split"])
        report = featx.fit_head(
            self.store,
            labels=table,
            kind=KIND,
            output=self.folder / "head",
            verbose=False,
        )
        assert isinstance(report.evaluation, featx.Evaluation)
        return report.evaluation.accuracy


def _write(path: Path, lines: Iterable[Sequence[object]], header: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(lines)


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
