"""`AuditRows`: what the kinds of findings look at, and what several of them need, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from featx.curation.collection import Collection
from featx.curation.findings import Finding
from featx.curation.label_predictions import HeldOutAnswers, SeveralLabels, predict_held_out_labels
from featx.curation.pairs import NearPairs, find_near_pairs
from featx.curation.pictures import MeasuredPicture, measure_pictures
from featx.curation.predictions import HeldOutPredictions, predict_held_out
from featx.errors import ImageError
from featx.events import Listener
from featx.heads.kinds import Examples
from featx.heads.near_duplicates import number_components
from featx.heads.stored_values import leave_mapped, take_rows
from featx.heads.targets import find_strata, split_labels
from featx.images.sources import natural_key
from featx.index.all_neighbours import Neighbours, find_neighbours
from featx.units import format_count

NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class AuditRows:
    """The rows of a store that is audited.

    Attributes:
        collection: The rows, N of them.
        old: The rows of an older store that they are compared with.
        several: Where pictures have several labels, C names of classes and which of them apply to
            each row, bool (N, C); the labels of the collection are then texts such as ``cat|dog``.
        reads_pictures: Whether the pictures themselves may be read.
        seed: For whatever is random.
        listener: Receives progress and notes.
    """

    collection: Collection
    old: Collection | None = None
    several: SeveralLabels | None = None
    reads_pictures: bool = False
    seed: int = 0
    listener: Listener = field(default_factory=Listener)

    def __len__(self) -> int:
        return len(self.collection)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """C class names, in natural order."""
        if self.several is not None:
            return self.several.classes
        names = {label for label in self.collection.labels if label is not None}
        return tuple(sorted(names, key=natural_key))

    @cached_property
    def targets(self) -> np.ndarray:
        """Numbers of labels, (N,); -1 without one. They are those of classes, unless a picture has
        several."""
        labels = self.collection.labels
        names = self.classes if self.several is None else sorted({one for one in labels if one})
        numbers: dict[str | None, int] = {name: place for place, name in enumerate(names)}
        return np.array([numbers.get(label, -1) for label in labels], np.int64)

    @cached_property
    def near(self) -> NearPairs:
        """Pairs of copies among the rows."""
        collection = self.collection
        return find_near_pairs(collection.values, collection.copies(), None, self.listener)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The nearest `NEIGHBOURS` of each row."""
        found = find_neighbours(
            self.near.directions, np.arange(len(self)), NEIGHBOURS, self.listener
        )
        if found.recall is not None:
            self.listener.note(
                f"outliers: an index found {found.recall:.0%} of the {NEIGHBOURS} nearest of each "
                "image; the farthest were compared with all"
            )
        return found

    @cached_property
    def groups(self) -> np.ndarray:
        """Group numbers, (N,), equal for copies of one picture."""
        return number_components(self.near.rows, len(self))

    @cached_property
    def labelled(self) -> np.ndarray:
        """Numbers of the M labelled rows."""
        return np.flatnonzero(self.targets >= 0)

    @cached_property
    def examples(self) -> Examples:
        """The M labelled rows, of which copies with the same label count as one picture."""
        rows, values = self.labelled, leave_mapped(self.collection.values)
        several = self.several
        pictures = np.stack([self.groups, self.targets])[:, rows]
        _, which, sizes = np.unique(pictures, axis=1, return_inverse=True, return_counts=True)
        return Examples(
            values if len(rows) == len(self) else take_rows(values, rows),
            self.targets[rows] if several is None else several.applies[rows],
            len(self.classes),
            self.groups[rows],
            "single" if several is None else "multi",
            None if len(sizes) == len(rows) else 1 / sizes[which.reshape(-1)],
        )

    @cached_property
    def strata(self) -> np.ndarray:
        """Numbers of classes, (N,), or of the rarest label of each; -1 without one."""
        if self.several is None or not len(self.labelled):
            return self.targets
        numbers = np.full(len(self), -1)
        numbers[self.labelled] = find_strata(self.examples.without_values())
        return numbers

    @cached_property
    def predictions(self) -> HeldOutPredictions:
        """Predictions for the labelled rows, (M,), of the classes; `several` is then None."""
        return predict_held_out(self.examples, self.seed, self.listener)

    @cached_property
    def label_predictions(self) -> HeldOutAnswers:
        """Predictions for the labelled rows, (M, C), where pictures have several labels."""
        return predict_held_out_labels(self.examples, self.seed, self.listener)

    def names_in(self, labels: Sequence[str | None]) -> set[str]:
        """Return the classes that labels name."""
        known = {label for label in labels if label is not None}
        return known if self.several is None else split_labels(known)

    def members(self, number: int) -> np.ndarray:
        """Return which rows are of a class, bool (N,)."""
        if self.several is not None:
            return np.asarray(self.several.applies[:, number] & (self.targets >= 0))
        return np.asarray(self.targets == number)

    @cached_property
    def measured(self) -> Mapping[int, MeasuredPicture]:
        """Row → what was measured of its picture, of those that could be read."""
        files = [self.collection.file(row) for row in range(len(self))]
        results = list(measure_pictures(files, self.listener))
        absent = [row for row, one in enumerate(results) if isinstance(one, ImageError)]
        if absent:
            error = results[absent[0]]
            reason = error.reason if isinstance(error, ImageError) else ""
            self.listener.note(
                f"{format_count(len(absent), 'picture')} cannot be read, the first "
                f"{self.collection.keys[absent[0]]!r}: {reason}"
            )
        return {row: one for row, one in enumerate(results) if isinstance(one, MeasuredPicture)}

    def why_not_classes(self) -> str | None:
        """Return why classes cannot be told apart; None if they can."""
        if not self.classes:
            return "there are no labels"
        if self.several is not None:
            counts = self.several.applies[self.labelled].sum(axis=0)
            if np.minimum(counts, len(self.labelled) - counts).max() >= 2:
                return None
            return "there is no label that two pictures have and two others lack"
        if len(self.classes) == 1:
            return f"there is one class, {self.classes[0]!r}"
        sizes = np.bincount(self.targets[self.labelled])
        if (sizes >= 2).sum() < 2:
            return "there are no two classes with two pictures each"
        return None

    def finding(self, kind: str, row: int, score: float, **more: str | None) -> Finding:
        """Return a finding about the picture of a row, with its label as what is given."""
        values: dict[str, str | None] = {"given": self.collection.labels[row]} | more
        return Finding(
            kind,
            self.collection.keys[row],
            round(float(np.clip(score, 0, 1)), 6),
            given=values["given"],
            suggested=values.get("suggested"),
            other=values.get("other"),
            detail=values.get("detail") or "",
            path=self.collection.location(row),
        )
