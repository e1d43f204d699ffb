"""How well `featx duplicates` and `featx audit` find what was planted.

    python -m benchmarks.curation --scale 100000 1000000
    python -m benchmarks.curation --audit 100000 1000000
    python -m benchmarks.curation --map 100000 1000000 [--method pca]
    python -m benchmarks.curation --labels STORE.h5 ...
    python -m benchmarks.curation --copies PHOTOS FOLDER
    python -m benchmarks.curation --find FOLDER STORE.h5 [--other GROUPS.json]

`--scale` plants 1 % of copies among made-up vectors; `--audit` wrong labels and outliers in a store
of them, which is audited as a whole; `--map` places such a store on a plane. `--labels` exchanges
labels of stores, at random and between similar classes, and counts false alarms of random splits.
`--copies` writes 2,500 photographs and 12 kinds of copies of 500 of them into a folder, of which
`featx extract` makes a store; `--find` looks for them there, beside hashes where they are installed
(`pip install imagehash`), and beside what another program found (`imagededup_groups.py` writes such
a file).
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.curation import copies, labels, scale, whole

SHARES = (0.02, 0.05, 0.1)
PHOTOS, COPIED = 2_500, 500


def show_scale(sizes: list[int]) -> None:
    """Print time, memory and recall by number of rows."""
    table = Table(
        "rows", "seconds", "of CPU", "memory / vectors", "threshold", "planted ones found",
        "right", "recall told", "by comparing",
    )  # fmt: skip
    for rows in sizes:
        one = scale.measure(rows)
        told = "all pairs" if one.told is None else f"{one.told:.3f}"
        table.add_row(
            f"{one.rows:,}",
            f"{one.seconds:.1f}",
            f"{one.processor:.1f}",
            f"{one.memory:.1f}",
            f"{one.threshold:.4f}",
            f"{one.found:.4f}",
            f"{one.right:.4f}",
            told,
            f"{one.checked:.3f}",
        )
    Console(width=160).print(table)


def show_audits(sizes: list[int]) -> None:
    """Print what an audit takes, and what it finds, by number of rows."""
    table = Table(
        "rows", "seconds", "of CPU", "MB", "labels found", "right", "outliers found", "right",
        "findings",
    )  # fmt: skip
    for rows in sizes:
        one = whole.measure_audit(rows)
        shares = [one.found["label"], one.right["label"], one.found["outlier"]]
        table.add_row(
            *_describe_cost(rows, one.cost),
            *(f"{share:.3f}" for share in [*shares, one.right["outlier"]]),
            ", ".join(f"{count:,} {kind}" for kind, count in one.counts.items() if count),
        )
    Console(width=160).print(table)


def show_maps(sizes: list[int], method: str | None) -> None:
    """Print what a map takes, and how many of the nearest on it are of the same class."""
    table = Table("rows", "seconds", "of CPU", "MB", "layout", "clusters", "same class near")
    for rows in sizes:
        report, cost, same = whole.measure_map(rows, method)
        values = [report.layout, f"{len(report.clusters):,}", f"{same:.3f}"]
        table.add_row(*_describe_cost(rows, cost), *values)
    Console(width=160).print(table)


def _describe_cost(rows: int, cost: whole.Cost) -> list[str]:
    used = [f"{cost.seconds:.1f}", f"{cost.processor:.1f}", f"{cost.memory / 1e6:,.0f}"]
    return [f"{rows:,}", *used]


def show_labels(stores: list[Path]) -> None:
    """Print how well exchanged labels are found, and false alarms of random splits."""
    table = Table(
        "features", "exchanged", "AUROC", "precision", "found", "listed right", "accuracy: wrong",
        "suggested", "looked at", "right",
    )  # fmt: skip
    for path in stores:
        collection = labels.read(path)
        for similar in (False, True):
            for share in SHARES:
                one = labels.measure(path, collection, share, similar=similar)
                how = f"{share:.0%} {'similar' if similar else 'at random'}"
                values = [one.auroc, one.precision, one.found, one.listed, *one.accuracy]
                table.add_row(path.stem, how, *(f"{value:.3f}" for value in values))
        alarms = labels.count_alarms(collection)
        noticed = [share for share in (0.1, 0.2, 0.5) if labels.shift(collection, share)]
        table.add_section()
        print(f"{path.stem}: {alarms} of 20 random splits differ; shifts noticed: {noticed}")
    Console(width=160).print(table)


def show_copies(folder: Path, store: Path, other: Path | None) -> None:
    """Print how many copies of each kind are found, by threshold, beside hashes."""
    outcomes = [copies.measure(store, None), copies.measure(store, None, flipped=True)]
    outcomes += [copies.measure(store, threshold) for threshold in copies.THRESHOLDS]
    if other is not None:
        outcomes += copies.read_groups(other, store)
    if importlib.util.find_spec("imagehash") is not None:
        for name in ("phash", "dhash"):
            outcomes += copies.measure_hashes(folder, name, (4, 10))
    table = Table("found", *(one.name for one in outcomes))
    for kind in copies.KINDS:
        table.add_row(kind, *(f"{one.recall[kind]:.3f}" for one in outcomes))
    table.add_section()
    table.add_row("mean", *(f"{np.mean(list(one.recall.values())):.3f}" for one in outcomes))
    table.add_row("precision", *(f"{one.precision:.4f}" for one in outcomes))
    table.add_row("seconds of CPU", *(f"{one.seconds:.1f}" for one in outcomes))
    Console(width=240).print(table)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, nargs="+", default=[])
    parser.add_argument("--audit", type=int, nargs="+", default=[])
    parser.add_argument("--map", type=int, nargs="+", default=[])
    parser.add_argument("--method")
    parser.add_argument("--labels", type=Path, nargs="+", default=[])
    parser.add_argument("--copies", type=Path, nargs=2)
    parser.add_argument("--find", type=Path, nargs=2)
    parser.add_argument("--other", type=Path)
    arguments = parser.parse_args()
    if arguments.scale:
        show_scale(arguments.scale)
    if arguments.audit:
        show_audits(arguments.audit)
    if arguments.map:
        show_maps(arguments.map, arguments.method)
    if arguments.labels:
        show_labels(arguments.labels)
    if arguments.copies:
        photos, folder = arguments.copies
        found = sorted(
            path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")
        )
        order = np.random.default_rng(0).permutation(len(found))[:PHOTOS]
        copies.make_copies([found[place] for place in order], COPIED, folder)
    if arguments.find:
        show_copies(*arguments.find, arguments.other)


if __name__ == "__main__":
    main()
