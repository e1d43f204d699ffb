"""The rows of a store that a head can be fitted and measured on: those with a label."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from featx.errors import HeadError
from featx.events import Listener
from featx.heads.grouping import Grouping
from featx.heads.kinds import BLOCK_VALUES, Examples
from featx.heads.splits import split_folds, split_stratified
from featx.heads.stored_values import are_stored
from featx.heads.targets import find_strata
from featx.images.roots import Root
from featx.store import FeatureTable
from featx.units import format_share
from featx.wording import command, option

LARGE = 64 << 20
"""Bytes of features from which they are not copied."""


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """The labelled rows of a store, as examples.

    Attributes:
        root: What the store's keys are relative to.
        table: Keys and contents of all rows of the store, without their values.
        rows: Numbers of the N labelled rows in it.
        classes: C class names; none of a regression.
        examples: The labelled rows.
        columns: The columns that say what is to be predicted; none of ``single``.
        sides: ``train`` or ``test`` for each of the N; None where no split is given.
        splits: Where the store's split is used, its names and how many rows of each.
        num_unlabelled: Rows of the store without a label.
        num_not_finite: Rows with a label left out because their features are NaN, infinite or
            above 1e15.
        grouping: Which of the N belong together.
    """

    root: Root
    table: FeatureTable
    rows: np.ndarray
    classes: tuple[str, ...]
    examples: Examples
    columns: tuple[str, ...]
    sides: np.ndarray | None
    splits: dict[str, int]
    num_unlabelled: int
    num_not_finite: int
    grouping: Grouping

    @property
    def num_unsplit(self) -> int:
        """Rows with a label left out because the store's split does not say their side."""
        left_out = self.num_unlabelled + self.num_not_finite
        return len(self.table.keys) - left_out - len(self.rows)

    def put_last(self, held_out: np.ndarray) -> tuple[LabelledRows, np.ndarray]:
        """Change places, so that the held-out rows come last and no part needs a copy.

        Features of up to 64 MB, or on the disk, stay in the order of the store.

        Args:
            held_out: bool (N,).

        Returns:
            The rows in their new order, in the same memory, and which of them are held out.
        """
        examples = self.examples
        if examples.values.nbytes <= LARGE or are_stored(examples.values):
            return self, held_out
        num_train = int((~held_out).sum())
        early = np.flatnonzero(held_out[:num_train])
        late = num_train + np.flatnonzero(~held_out[num_train:])
        order = np.arange(len(held_out))
        order[early], order[late] = late, early
        step = max(1, BLOCK_VALUES // max(1, examples.values.shape[1]))
        for start in range(0, len(early), step):
            one, other = early[start : start + step], late[start : start + step]
            examples.values[one], examples.values[other] = (
                examples.values[other],
                examples.values[one],
            )
        return replace(
            self,
            rows=self.rows[order],
            examples=replace(
                examples,
                targets=examples.targets[order],
                groups=examples.groups[order],
                weights=None if examples.weights is None else examples.weights[order],
            ),
            sides=None if self.sides is None else self.sides[order],
            grouping=self.grouping.take(order),
        ), held_out[order]

    def hold_out(self, test_size: float, seed: int, listener: Listener) -> np.ndarray:
        """Choose the rows to measure on: bool (N,).

        Raises:
            HeadError: If a given split leaves no row of a class to fit on.
        """
        examples, grouping = self.examples, self.grouping
        if self.sides is None:
            held_out = split_stratified(
                find_strata(examples),
                examples.groups,
                test_size=test_size,
                seed=seed,
                fixed=grouping.fixed,
            )
            if examples.task == "multi":
                held_out = leave_labels(held_out, examples)
        else:
            held_out = self.sides == "test"
        _check_training_classes(examples.without_values().take(~held_out), self.classes)
        straddling = self.find_straddling(held_out)
        if straddling.any():  # Only with a given split: a random one keeps groups together.
            count = int(straddling.sum())
            images = format_share(count, int(held_out.sum()), "image")
            listener.note(
                f"{images} measured on {'is' if count == 1 else 'are'} identical to images fitted "
                "on, or nearly: the accuracy looks better than it is; "
                f"{self._name_search()} lists {'it' if count == 1 else 'them'}"
            )
        is_divided = np.isin(examples.groups[held_out], examples.groups[~held_out])
        if is_divided.sum() > straddling.sum():
            listener.note(
                "the given split divides groups: the accuracy looks better than it is for new ones"
            )
        return held_out

    def _name_search(self) -> str:
        if self.splits:
            return command("duplicates", "STORE", across_splits=True)
        return command("duplicates", "STORE")

    def find_straddling(self, held_out: np.ndarray) -> np.ndarray:
        """Return which held-out rows have a near-duplicate among the others, bool (M,)."""
        alike = self.grouping.alike
        return np.isin(alike[held_out], alike[~held_out])

    def divide(self, num_folds: int, seed: int) -> np.ndarray:
        """Return the fold in which each row is held out, (N,); -1 where it never is.

        Raises:
            HeadError: If some folds would hold out nothing.
        """
        examples, fixed = self.examples, self.grouping.fixed
        strata = find_strata(examples)
        folds = split_folds(strata, examples.groups, num_folds, seed=seed, fixed=fixed)
        if len(np.unique(folds[folds >= 0])) < num_folds:
            raise HeadError(_explain_folds(num_folds, strata[~fixed], examples.groups[~fixed]))
        return folds


def _explain_folds(num_folds: int, strata: np.ndarray, groups: np.ndarray) -> str:
    """Say why so many folds cannot be made of rows that may be held out."""
    _, first = np.unique(groups, return_index=True)
    largest = int(np.bincount(strata[first], minlength=1).max())
    if largest < 2:
        which = "all images belong to one group" if len(first) == 1 else "each class is one group"
        return (
            f"{option('cv', num_folds)} cannot divide the images: {which} of copies, or of what "
            f"{option('groups')} keeps together. Group by another column, or add images."
        )
    return (
        f"{option('cv', num_folds)} makes more folds than can be filled: the largest class has "
        f"{largest:,} images, or groups of them, that differ. Choose {option('cv', largest)} or "
        "less."
    )


def leave_labels(held_out: np.ndarray, examples: Examples) -> np.ndarray:
    """Take groups back into training whose labels apply to no other rows there.

    Args:
        held_out: bool (N,).
        examples: N rows of several labels.

    Returns:
        The rows that stay held out, bool (N,).
    """
    held_out = held_out.copy()
    for label in range(examples.num_classes):
        rows = np.flatnonzero(examples.targets[:, label])
        if len(rows) and held_out[rows].all():
            held_out[examples.groups == examples.groups[rows[0]]] = False
    return held_out


def _check_training_classes(train: Examples, classes: tuple[str, ...]) -> None:
    if not len(train):
        raise HeadError(
            "The split leaves no image to fit on. Correct the split column, or split at random "
            f"with {option('ignore_split', True)}."
        )
    if train.task == "multi":
        absent = np.flatnonzero(~train.targets.any(axis=0)).tolist()
    else:
        absent = sorted(set(range(len(classes))) - set(train.targets.tolist()))
    if absent:
        names = ", ".join(classes[number] for number in absent)
        raise HeadError(
            f"The training split has no image of: {names}. Correct the split column, or split "
            f"at random with {option('ignore_split', True)}."
        )
