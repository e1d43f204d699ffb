"""What a head says of other images with labels or numbers, and what it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featx.errors import HeadError
from featx.heads.evaluation import Evaluation, measure_outcomes
from featx.heads.head import Head
from featx.heads.held_out import (
    AnyHeldOut,
    HeldOut,
    HeldOutLabels,
    HeldOutNumbers,
    Pictures,
    hold_out,
)
from featx.heads.judging import AnyEvaluation
from featx.heads.label_evaluation import measure_labels
from featx.heads.labels import SHOWN_NAMES
from featx.heads.number_evaluation import measure_numbers
from featx.heads.outcomes import Outcomes, find_outcomes, join_outcomes
from featx.heads.targets import Targets, is_label, make_targets
from featx.heads.usable_rows import UNUSABLE, find_usable
from featx.heads.vector_batches import VectorBatch
from featx.images.roots import MEMORY
from featx.units import format_count
from featx.wording import option


class MeasuredRows:
    """Images with what a head learned of others, batch by batch.

    Args:
        head: The head.

    Attributes:
        num_fitted_on: Images left out because the head was fitted on them.
        num_unlabelled: Images left out because they have no label, or miss a value.
        num_not_finite: Images left out because their features are NaN, infinite or above 1e15.
        unknown: Labels that are no class of the head, and how many images have them.
    """

    def __init__(self, head: Head) -> None:
        self.num_fitted_on = self.num_unlabelled = self.num_not_finite = 0
        self.unknown: Counter[str] = Counter()
        self._head = head
        self._known = {row.tobytes() for row in head.fitted_on}
        self._numbers = {name: number for number, name in enumerate(head.classes)}
        self._root = MEMORY
        self._batches: list[VectorBatch] = []
        self._outputs: list[np.ndarray] = []  # Of other tasks than one class.
        self._outcomes: list[Outcomes] = []

    def predict(self, batch: VectorBatch) -> VectorBatch:
        """Return a batch whose labels follow later, with the head's outputs (B, C) as its values.

        They are NaN for images that are not measured on.
        """
        is_new = [row.tobytes() not in self._known for row in batch.content_hash]
        rows = np.flatnonzero(find_usable(batch.values) & is_new)
        width = 1 if self._head.task == "regression" else len(self._head.classes)
        outputs = np.full((len(batch.keys), width), np.nan, np.float32)
        if len(rows):
            outputs[rows] = self._compute(batch.values[rows])
        return replace(batch, values=outputs)

    def add(self, batch: VectorBatch, *, is_predicted: bool = False) -> None:
        """Predict the images of a batch that can be measured on, and count the others.

        Args:
            batch: The images.
            is_predicted: Whether it is what `predict` returned, with the labels that count.
        """
        self._root = batch.root
        used = []
        is_usable = ~np.isnan(batch.values[:, 0]) if is_predicted else find_usable(batch.values)
        for row, values in enumerate(zip(*self._find_columns(batch), strict=True)):
            if None in values:
                self.num_unlabelled += 1
            elif self._head.task == "single" and values[0] not in self._numbers:
                self.unknown[values[0]] += 1
            elif batch.content_hash[row].tobytes() in self._known:
                self.num_fitted_on += 1
            elif not is_usable[row]:
                self.num_not_finite += 1
            else:
                used.append(row)
        if used:
            taken = batch.take(np.array(used))
            outputs = taken.values if is_predicted else self._compute(taken.values)
            if self._head.task == "single":
                targets = np.array([self._numbers[str(label)] for label in taken.labels])
                self._outcomes.append(find_outcomes(outputs, targets))
            else:
                self._outputs.append(outputs)
            self._batches.append(taken.without_values())

    def _compute(self, values: np.ndarray) -> np.ndarray:
        """Return what the head says of usable features, (n, C)."""
        is_single = self._head.task == "single"
        return self._head.predict_proba(values) if is_single else self._head.raw_proba(values)

    def finish(self) -> tuple[AnyHeldOut, AnyEvaluation]:
        """Return what was predicted and the figures.

        Raises:
            HeadError: If there is no image to measure on, or a value is no number or label.
        """
        if not self._batches:
            raise HeadError(self._explain_nothing())
        keys = tuple(key for batch in self._batches for key in batch.keys)
        hashes = np.concatenate([batch.content_hash for batch in self._batches])
        straddling = np.zeros(len(keys), bool)
        if self._head.task == "single":
            return self._measure_classes((self._root, keys, hashes), straddling)
        outputs, targets = np.concatenate(self._outputs), self._make_targets()
        if self._head.task == "regression":
            true, predicted = targets.values, outputs[:, 0]
            numbers = HeldOutNumbers(self._root, keys, hashes, straddling, true, predicted)
            return numbers, measure_numbers(predicted, true, float(true.mean()))
        classes, thresholds = self._head.classes, np.array(self._head.thresholds)
        truth, applies = self._order(targets), outputs >= thresholds
        labels = HeldOutLabels(
            self._root, keys, hashes, straddling, classes, truth, applies, outputs
        )  # fmt: skip
        return labels, measure_labels(outputs, truth, applies, classes, thresholds)

    def _measure_classes(
        self, pictures: Pictures, straddling: np.ndarray
    ) -> tuple[HeldOut, Evaluation]:
        outcomes, classes = join_outcomes(self._outcomes), self._head.classes
        held_out = hold_out(pictures, classes, outcomes, straddling)
        return held_out, measure_outcomes(outcomes, classes)

    def _make_targets(self) -> Targets:
        """Return the values of several labels, or of a number, of all images measured on."""
        head = self._head
        found = [self._find_columns(batch) for batch in self._batches]
        columns = {
            name: [value for columns in found for value in columns[number]]
            for number, name in enumerate(head.columns)
        }
        if head.task == "multi" and head.classes != head.columns:  # Labels may be called 0 and 1.
            columns = {name: list(map(str, values)) for name, values in columns.items()}
        return make_targets(columns, head.task)

    def _find_columns(self, batch: VectorBatch) -> list[Sequence[Any]]:
        """Return the columns of a batch that the head learned; all missing where there is none."""
        if self._head.task == "single":
            return [batch.labels]
        missing = [None] * len(batch.keys)
        return [
            batch.columns[name]
            if name in batch.columns
            else batch.labels
            if is_label(name, batch.columns)
            else missing
            for name in self._head.columns
        ]

    def _order(self, targets: Targets) -> np.ndarray:
        """Return which of the head's classes apply, bool (N, C), and count the others."""
        truth = np.zeros((len(targets.values), len(self._head.classes)), bool)
        for number, name in enumerate(targets.classes):
            if name in self._numbers:
                truth[:, self._numbers[name]] = targets.values[:, number]
            else:
                self.unknown[name] = int(targets.values[:, number].sum())
        return truth

    def _explain_nothing(self) -> str:
        if self.num_fitted_on:
            count = format_count(self.num_fitted_on, "labelled image")
            return (
                f"The head was fitted on all {count}: that says nothing about new ones. Name "
                f"others, or measure while fitting, with {option('cv', 5)}."
            )
        if self.num_not_finite:
            return (
                f"The features of {format_count(self.num_not_finite, 'labelled image')} are "
                f"{UNUSABLE}, and no others can be measured on. Extract them anew."
            )
        if self._head.task != "single":
            names = ", ".join(self._head.columns)
            return (
                f"No image has a value in {names}, which the head learned. Give "
                f"{option('labels', 'FILE.csv')} with the columns path and {names}."
            )
        classes = _name_some(self._head.classes)
        if self.unknown:
            return (
                f"None of the labels is a class of the head. Received: {_name_some(self.unknown)}. "
                f"The head has: {classes}."
            )
        return (
            f"No image has a label. The head has the classes {classes}: put images into folders of "
            f"these names, or give {option('labels', 'FILE.csv')} with the columns path and label."
        )


def _name_some(names: Sequence[str] | Mapping[str, int]) -> str:
    shown = [repr(name) for name in list(names)[:SHOWN_NAMES]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")
