"""What a head of several labels, or of a number, says of other images, and what it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.errors import HeadError
from featx.heads.head import Head
from featx.heads.held_out import AnyHeldOut, HeldOutLabels, HeldOutNumbers
from featx.heads.judging import AnyEvaluation
from featx.heads.label_evaluation import measure_labels
from featx.heads.number_evaluation import measure_numbers
from featx.heads.prediction_stream import VectorBatch
from featx.heads.targets import Targets, is_label, make_targets
from featx.images.roots import MEMORY
from featx.units import format_count
from featx.wording import option


class MeasuredValues:
    """Images with the columns that a head learned, batch by batch.

    Args:
        head: The head, of the task ``multi`` or ``regression``.

    Attributes:
        num_fitted_on: Images left out because the head was fitted on them.
        num_unlabelled: Images left out because they miss a value.
        num_not_finite: Images left out because their features are NaN or infinite.
        unknown: Labels that are no class of the head, and how many images have them.
    """

    def __init__(self, head: Head) -> None:
        self.num_fitted_on = self.num_unlabelled = self.num_not_finite = 0
        self.unknown: Counter[str] = Counter()
        self._head = head
        self._known = {row.tobytes() for row in head.fitted_on}
        self._root = MEMORY
        self._batches: list[VectorBatch] = []
        self._outputs: list[np.ndarray] = []

    def add(self, batch: VectorBatch) -> None:
        """Predict the images of a batch that can be measured on, and count the others."""
        self._root = batch.root
        used, is_finite = [], np.isfinite(batch.values).all(axis=1)
        columns = [self._find_column(batch, name) for name in self._head.columns]
        for row, values in enumerate(zip(*columns, strict=True)):
            if None in values:
                self.num_unlabelled += 1
            elif batch.content_hash[row].tobytes() in self._known:
                self.num_fitted_on += 1
            elif not is_finite[row]:
                self.num_not_finite += 1
            else:
                used.append(row)
        if used:
            taken = batch.take(np.array(used))
            self._outputs.append(self._head.raw_proba(taken.values))
            self._batches.append(taken.without_values())

    def finish(self) -> tuple[AnyHeldOut, AnyEvaluation]:
        """Return what was predicted and the figures.

        Raises:
            HeadError: If there is no image to measure on, or a value is no number or label.
        """
        if not self._batches:
            raise HeadError(self._explain_nothing())
        head, outputs = self._head, np.concatenate(self._outputs)
        columns = {
            name: [one for batch in self._batches for one in self._find_column(batch, name)]
            for name in head.columns
        }
        if head.task == "multi" and head.classes != head.columns:  # Labels may be called 0 and 1.
            columns = {name: list(map(str, values)) for name, values in columns.items()}
        targets = make_targets(columns, head.task)
        keys = tuple(key for batch in self._batches for key in batch.keys)
        hashes = np.concatenate([batch.content_hash for batch in self._batches])
        straddling = np.zeros(len(keys), bool)
        if head.task == "regression":
            true, predicted = targets.values, outputs[:, 0]
            numbers = HeldOutNumbers(self._root, keys, hashes, true, predicted, straddling)
            return numbers, measure_numbers(predicted, true, float(true.mean()))
        truth, thresholds = self._order(targets), np.array(head.thresholds)
        applies = outputs >= thresholds
        held_out = HeldOutLabels(
            self._root, keys, hashes, head.classes, truth, applies, outputs, straddling
        )
        return held_out, measure_labels(outputs, truth, applies, head.classes, thresholds)

    def _find_column(self, batch: VectorBatch, name: str) -> Sequence[Any]:
        """Return the values of a column of a batch; all missing where there is none."""
        if name in batch.columns:
            return batch.columns[name]
        return batch.labels if is_label(name, batch.columns) else [None] * len(batch.keys)

    def _order(self, targets: Targets) -> np.ndarray:
        """Return which of the head's classes apply, bool (N, C), and count the others."""
        truth = np.zeros((len(targets.values), len(self._head.classes)), bool)
        numbers = {name: number for number, name in enumerate(self._head.classes)}
        for number, name in enumerate(targets.classes):
            if name in numbers:
                truth[:, numbers[name]] = targets.values[:, number]
            else:
                self.unknown[name] = int(targets.values[:, number].sum())
        return truth

    def _explain_nothing(self) -> str:
        if self.num_fitted_on:
            return explain_fitted_on(self.num_fitted_on)
        names = ", ".join(self._head.columns)
        return (
            f"No image has a value in {names}, which the head learned. Give "
            f"{option('labels', 'FILE.csv')} with the columns path and {names}."
        )


def explain_fitted_on(count: int) -> str:
    """Say that a head cannot be measured on the images that it was fitted on."""
    return (
        f"The head was fitted on all {format_count(count, 'labelled image')}: that says nothing "
        f"about new ones. Name others, or measure while fitting, with {option('cv', 5)}."
    )
