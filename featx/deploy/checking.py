"""Comparing an exported file with featx: the same pictures through both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.deploy import fresh
from featx.deploy.pictures import CheckPicture
from featx.errors import HeadError
from featx.events import Listener
from featx.features.embedding import accelerate
from featx.heads.head import Head
from featx.models.backbone import Backbone
from featx.options import RunOptions
from featx.poolings import pool_features
from featx.scratch import scratch_folder


@dataclass(frozen=True, slots=True)
class ExportComparison:
    """An exported file beside `featx predict`.

    Attributes:
        pictures: How many were compared.
        source: ``store``, ``given``, or ``drawn`` where there were no photographs.
        difference: The largest of a probability, or of a number.
        largest: The largest number that was predicted, without its sign; 1 for probabilities.
        changed: Pictures of which the answer is another one.
        reload_difference: Of the file in a fresh process from the same model in memory; None where
            there is none.
        fast_difference: Of the file from `featx predict` where that decodes large JPEGs at a
            fraction of their size, which a graph does not; None where there are none.
        labelled: Pictures of a known class that the head was not fitted on; where there are none,
            those that it was.
        accuracy: Of the file on these; None where there are none.
        accuracy_before: Of `featx predict` on the same ones.
        is_fitted: Whether these are pictures that the head was fitted on: what an export changes
            is seen on them, too, but not how good the head is.
    """

    pictures: int
    source: str
    difference: float
    changed: int
    largest: float = 1.0
    reload_difference: float | None = None
    fast_difference: float | None = None
    labelled: int = 0
    accuracy: float | None = None
    accuracy_before: float | None = None
    is_fitted: bool = False

    def is_within(self, bound: float) -> bool:
        """Whether both say the same: up to `bound`, times `largest`. NaN is within no bound."""
        return self.difference <= bound * self.largest and (self.reload_difference or 0) <= 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def predict_with_featx(
    head: Head, backbone: Backbone, pixels: Sequence[np.ndarray], listener: Listener
) -> np.ndarray:
    """Return what `featx predict` says of pictures of the network's size, (N, K)."""
    network = accelerate(backbone, RunOptions(), listener)
    rows = []
    for one in pixels:
        values = network(one[np.newaxis], [head.feature.name])[head.feature.name]
        vectors = pool_features(values, head.feature.pool).reshape(1, -1)
        rows.append(head.temper(head.raw_proba(vectors))[0])
    return np.stack(rows)


def predict_apart(form: str, path: Path, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return what an exported file says of pictures in a process that has just begun, (N, K).

    Raises:
        HeadError: If it cannot be run there.
    """
    with scratch_folder() as folder:
        given, results = folder / "pictures.npz", folder / "results.npy"
        np.savez(given, *pictures)
        # As a script, it imports nothing of featx.
        command = [sys.executable, fresh.__file__, form, str(path), str(given), str(results)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            # Its neighbours are not libraries, and the user's Keras may run on something else.
            env=os.environ | {"PYTHONSAFEPATH": "1", "KERAS_BACKEND": "tensorflow"},
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise HeadError(f"The exported file cannot be run in a new process: {last}")
        return np.asarray(np.load(results))


def answers(head: Head, values: np.ndarray) -> np.ndarray:
    """Return what is answered by values (N, K): class numbers, or which labels apply."""
    if head.task == "multi":
        return np.asarray(values >= np.array(head.thresholds))
    if head.task == "regression":
        return np.zeros(len(values))
    return np.asarray(values.argmax(axis=1))


def compare(
    head: Head, pictures: Sequence[CheckPicture], before: np.ndarray, after: np.ndarray
) -> ExportComparison:
    """Compare what an exported file says, (N, K), with what featx says of the same pictures."""
    old, new = answers(head, before), answers(head, after)
    changed = (old != new).reshape(len(pictures), -1).any(axis=1)
    comparison = ExportComparison(
        len(pictures), "", float(np.abs(before - after).max()), int(changed.sum())
    )
    if head.task == "regression":
        return replace(comparison, largest=max(1.0, float(np.abs(before).max())))
    if head.task == "multi":
        return comparison
    known = [row for row, one in enumerate(pictures) if one.label in head.classes]
    rows = [row for row in known if not pictures[row].is_fitted] or known
    if not rows:
        return comparison
    targets = np.array([head.classes.index(str(pictures[row].label)) for row in rows])
    return replace(
        comparison,
        labelled=len(rows),
        accuracy=float((new[rows] == targets).mean()),
        accuracy_before=float((old[rows] == targets).mean()),
        is_fitted=pictures[rows[0]].is_fitted,
    )
