"""Where fine-tuning starts: frozen features, a split of the pictures, and a head on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from featx.errors import HeadError, first_line, join_names
from featx.events import Listener
from featx.heads.choosing import choose_kind
from featx.heads.held_out import AnyHeldOut
from featx.heads.judging import AnyEvaluation, Judge
from featx.heads.kinds import HEADS, Examples, FitJob, Task
from featx.heads.labelled_rows import LabelledRows, leave_labels
from featx.heads.operations import Operation, compute
from featx.heads.options import FeatureChoice, HeadOptions
from featx.heads.row_reading import RowChoice, read_labelled_rows
from featx.heads.splits import split_stratified
from featx.heads.targets import find_strata
from featx.heads.temperature import Scored
from featx.images.roots import Root
from featx.specs import FeatureSpec, ModelSpec
from featx.store import open_store
from featx.training.goals import DEFAULT_KIND, Goal, choose_goal
from featx.training.options import LessonOptions
from featx.training.top import weights_of
from featx.wording import option

Part = Literal[0, 1, 2]

TRAIN: Part = 0
VAL: Part = 1
TEST: Part = 2
"""The parts into which the pictures are divided."""

SHOWN_CLASSES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """N labelled pictures, and which of them are for what.

    Attributes:
        root: What the keys are relative to.
        keys: N keys.
        content_hash: uint8 (N, 16), of the pictures' bytes.
        classes: C class names; none of a number.
        targets: By the task, as in `featx.heads.kinds.Examples`.
        weights: How much each counts, float (N,); all alike when None.
        parts: `TRAIN`, `VAL` or `TEST` for each, int8 (N,).
        straddling: Which of those of `TEST` have a near-duplicate among the others, bool (M,).
        task: What is learned.
        columns: The columns that say it; none of one class.
    """

    root: Root
    keys: tuple[str, ...]
    content_hash: np.ndarray
    classes: tuple[str, ...]
    targets: np.ndarray
    weights: np.ndarray | None
    parts: np.ndarray
    straddling: np.ndarray
    task: Task = "single"
    columns: tuple[str, ...] = ()

    def rows(self, part: Part) -> np.ndarray:
        """Return the rows of a part, ascending."""
        return np.flatnonzero(self.parts == part)

    def judge(
        self, outputs: np.ndarray, chosen_by: np.ndarray | None = None
    ) -> tuple[AnyEvaluation, AnyHeldOut]:
        """Return the figures of what is said of the pictures of `TEST`.

        Args:
            outputs: Probabilities (M, C), or numbers (M, 1).
            chosen_by: Of several labels: what is said of the pictures of `VAL`, (K, C), by which
                thresholds are chosen.
        """
        rows, learned = self.rows(TEST), self.targets[self.parts != TEST]
        pictures = (self.root, [self.keys[row] for row in rows], self.content_hash[rows])
        tuning = None
        if self.task == "multi" and chosen_by is not None and len(chosen_by):
            tuning = self._score(chosen_by, self.rows(VAL))
        judge = Judge(self.task, self.classes, 0, is_apart=True, tuning=tuning)
        scored = self._score(outputs, rows)
        baseline = float(learned.mean()) if self.task == "regression" else 0.0
        return judge.measure(scored, baseline), judge.look_at(pictures, scored, self.straddling)

    def _score(self, outputs: np.ndarray, rows: np.ndarray) -> Scored:
        return Scored(outputs, self.targets[rows], rows)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenHead:
    """A head on frozen features.

    Attributes:
        kind: Its kind.
        settings: What the kind chose.
        weights: Its arrays.
    """

    kind: str
    settings: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What it does with vectors to predict."""
        return HEADS[self.kind].operations(self.weights)

    @property
    def is_trainable(self) -> bool:
        """Whether it is made of layers that can be trained."""
        return weights_of(self.operations) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where fine-tuning starts.

    Attributes:
        model: The network as it was.
        feature: The feature that the head is on.
        lesson: The pictures.
        top: The head that the network is trained with, fitted on the pictures of `TRAIN`.
        frozen: The head that it is compared with, fitted on those of `TRAIN` and `VAL`.
        before: Its figures on those of `TEST`.
        held_out: What it says of each of these.
        num_unlabelled: Pictures left out because they have no label.
        goal: What the network learns.
    """

    model: ModelSpec
    feature: FeatureSpec
    lesson: Lesson
    top: FrozenHead
    frozen: FrozenHead
    before: AnyEvaluation
    held_out: AnyHeldOut
    num_unlabelled: int
    goal: Goal


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is learned, with which head.

    Attributes:
        lesson: The pictures.
        kind: The kind of head and its options.
        settings: What that kind chose before; it chooses now when None.
        classes: The classes that the pictures must have; any when None.
        seed: For the split and for what the kind does at random.
    """

    lesson: LessonOptions
    kind: HeadOptions
    settings: Mapping[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    seed: int = 0


def take_start(path: Path, wanted: Wanted, listener: Listener) -> Start:
    """Divide the pictures of a store of frozen features, and fit heads on them.

    Args:
        path: The store, of one layer, pooled.
        wanted: What is learned.
        listener: Receives notes, and what is being tried.

    Raises:
        HeadError: If there are fewer than two classes, or others than those that are wanted.
    """
    options = wanted.lesson
    with open_store(path) as store:
        choice = RowChoice(FeatureChoice(), options.task(), options.evaluation())
        try:
            labelled = read_labelled_rows(store, choice, listener)
            _check_classes(labelled.classes, wanted.classes)
            held_out = labelled.hold_out(options.test_size, wanted.seed, listener)
            lesson = _divide(labelled, held_out, wanted, listener)
            job = FitJob(wanted.seed, wanted.kind, listener)
            top, frozen = _fit(labelled.examples, lesson, job, wanted.settings)
            chosen_by = _predict_unseen(labelled.examples, lesson, frozen, job)
        finally:
            listener.finish()
        model, feature = store.model, labelled.table.spec
    tested = labelled.examples.values[lesson.rows(TEST)]
    before, seen = lesson.judge(compute(frozen.operations, tested), chosen_by)
    goal = choose_goal(lesson.task, lesson.targets[lesson.parts == TRAIN], len(lesson.classes))
    return Start(model, feature, lesson, top, frozen, before, seen, labelled.num_unlabelled, goal)


def _divide(
    labelled: LabelledRows, held_out: np.ndarray, wanted: Wanted, listener: Listener
) -> Lesson:
    """Return the pictures in their parts."""
    examples, table = labelled.examples, labelled.table
    if not held_out.any():
        raise HeadError(
            "No image can be held out: each class needs two different images at least. Add images, "
            f"or give a split with {option('labels', 'FILE.csv')}."
        )
    parts = np.where(held_out, TEST, TRAIN).astype(np.int8)
    rest = examples.take(~held_out)
    chosen = split_stratified(
        find_strata(rest),
        rest.groups,
        test_size=wanted.lesson.val_size,
        seed=wanted.seed,
        fixed=labelled.grouping.fixed[~held_out],
    )
    parts[~held_out] = leave_labels(chosen, rest) if rest.task == "multi" else chosen
    absent = _find_absent(examples.take(held_out), len(labelled.classes))
    if absent:
        listener.note(
            f"nothing is measured of {_name([labelled.classes[n] for n in absent])}: too few "
            "different images to hold one out"
        )
    return Lesson(
        root=labelled.root,
        keys=tuple(table.keys[row] for row in labelled.rows),
        content_hash=table.content_hash[labelled.rows],
        classes=labelled.classes,
        targets=examples.targets,
        weights=examples.weights,
        parts=parts,
        straddling=labelled.find_straddling(held_out),
        task=examples.task,
        columns=labelled.columns,
    )


def _find_absent(held_out: Examples, num_classes: int) -> list[int]:
    """Return the numbers of classes, or labels, that no held-out picture has."""
    if held_out.task == "regression":
        return []
    if held_out.task == "multi":
        return [int(number) for number in np.flatnonzero(~held_out.targets.any(axis=0))]
    return sorted(set(range(num_classes)) - set(held_out.targets.tolist()))


def _predict_unseen(
    examples: Examples, lesson: Lesson, frozen: FrozenHead, job: FitJob
) -> np.ndarray | None:
    """Return what a head like the frozen one, not fitted on `VAL`, says of it; of labels alone."""
    if lesson.task != "multi":
        return None
    kind = HEADS[frozen.kind]
    weights = kind.fit(examples.take(lesson.rows(TRAIN)), frozen.settings, job)
    return compute(kind.operations(weights), examples.values[lesson.rows(VAL)])


def _fit(
    examples: Examples, lesson: Lesson, job: FitJob, settings: Mapping[str, Any] | None
) -> tuple[FrozenHead, FrozenHead]:
    """Return the head to train with, and the one to compare with."""
    train, seen = examples.take(lesson.rows(TRAIN)), examples.take(lesson.parts != TEST)
    kind, is_given = job.options.kind, settings is not None
    if settings is None:
        picked = choose_kind(seen, job)
        kind, settings = picked.kind, picked.choice.settings
    try:
        frozen = FrozenHead(kind, settings, HEADS[kind].fit(seen, settings, job))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        if not is_given:
            raise
        raise HeadError(
            f"The head is damaged: a {kind} head cannot be fitted with its settings "
            f"({first_line(error)}). Fit it again."
        ) from error
    if not frozen.is_trainable:
        job.listener.note(
            f"a {kind} head is not made of layers: the network is trained with a "
            f"{DEFAULT_KIND[examples.task]} one, fitted on the same features"
        )
        kind = DEFAULT_KIND[examples.task]
        settings = HEADS[kind].choose(train, replace(job, options=HeadOptions(kind))).settings
    return FrozenHead(kind, settings, HEADS[kind].fit(train, settings, job)), frozen


def _check_classes(found: tuple[str, ...], wanted: tuple[str, ...] | None) -> None:
    if wanted is None or set(found) == set(wanted):
        return
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    parts = [f"no image of {_name(missing)}"] if missing else []
    parts += [f"images of {_name(unknown)}, which the head does not know"] if unknown else []
    raise HeadError(
        f"The images have other classes than the head: {' and '.join(parts)}. Correct the labels, "
        f"or begin with a new head: {option('model', 'MODEL')} instead of {option('head')}."
    )


def _name(names: list[str]) -> str:
    more = len(names) - SHOWN_CLASSES
    shown = [repr(name) for name in names[:SHOWN_CLASSES]]
    if more > 0:
        return f"{', '.join(shown)} and {more:,} more"
    return join_names(shown, conjunction="and")
