"""How good `auto` is beside the best single kind, with few and with all examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.heads.features import read_features
from featx.heads.choosing import choose_kind
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.operations import compute

SHOTS = (5, 20, None)
"""Examples of each class; all of 70 % when None."""

SEEDS = range(3)


def show_accuracy(stores: Sequence[Path]) -> None:
    """Print accuracy on unseen rows of each kind, and of `auto`."""
    kinds = HEADS.names
    table = Table("features", "per class", *kinds, "auto", "below the best, in standard errors")
    for path in stores:
        values, targets = read_features(path)
        for shots in SHOTS:
            by_kind, chosen, counts = _measure(values, targets, shots)
            means = {kind: float(np.mean(found)) for kind, found in by_kind.items()}
            best = max(means.values())
            error = np.sqrt(best * (1 - best) / np.mean(counts))
            auto = float(np.mean(chosen))
            cells = [f"{means[kind]:.3f}" if kind in means else "" for kind in kinds]
            below = (best - auto) / error
            table.add_row(path.stem, str(shots or "all"), *cells, f"{auto:.3f}", f"{below:.2f}")
    Console(width=160).print(table)


def _measure(
    values: np.ndarray, targets: np.ndarray, shots: int | None
) -> tuple[dict[str, list[float]], list[float], list[int]]:
    """Return accuracies of each kind and of the chosen one, and numbers of rows measured on."""
    num_classes = int(targets.max()) + 1
    by_kind: dict[str, list[float]] = {}
    chosen, counts = [], []
    for seed in SEEDS if shots else SEEDS[:1]:
        order = np.random.default_rng(seed).permutation(len(targets))
        if shots is None:
            train = order[: int(0.7 * len(order))]
        else:
            members = [order[targets[order] == number][:shots] for number in range(num_classes)]
            train = np.concatenate(members)
        test = np.setdiff1d(order, train)
        examples = Examples(values[train], targets[train], num_classes, np.arange(len(train)))
        picked = choose_kind(examples, FitJob(seed))
        for trial in picked.trials:
            head = HEADS[trial.kind]
            settings = head.choose(examples, FitJob(seed)).settings
            weights = head.fit(examples, settings, FitJob(seed))
            best = compute(head.operations(weights), values[test]).argmax(axis=1)
            by_kind.setdefault(trial.kind, []).append(float((best == targets[test]).mean()))
        chosen.append(by_kind[picked.kind][-1])
        counts.append(len(test))
    return by_kind, chosen, counts
