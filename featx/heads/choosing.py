"""Which kind of head: the one that was asked for, or the best of those that suit."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from featx.errors import HeadError, join_names
from featx.heads.folds import COMPARED_ROWS, sample_rows
from featx.heads.kinds import HEADS, Choice, Examples, FitJob, Task
from featx.heads.option_checks import NETWORK, list_network_options
from featx.heads.options import AUTO
from featx.wording import option

FOR_ONE, FOR_FEW = "centroid", "linear"
"""Where no example can be held out: with one example of each class the first is best on
photographs. It compares directions alone, so that it is not taken where lengths may matter."""

_TASKS: dict[Task, str] = {
    "single": "one class of several",
    "multi": "several labels of a picture",
    "regression": "numbers",
}


@dataclass(frozen=True, slots=True)
class KindTrial:
    """How a kind of head did on held-out rows of the training part.

    Attributes:
        kind: Its name.
        loss: Mean loss, see `Choice.loss`; None if no rows could be held out.
        accuracy: Share of the rows whose best class was right; None if it has no meaning.
        seconds: How long it took.
    """

    kind: str
    loss: float | None
    accuracy: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class KindChoice:
    """A kind of head, and the settings that it chose.

    Attributes:
        kind: Its name.
        choice: What it chose.
        trials: All kinds that were compared, the best first; empty if one was asked for.
    """

    kind: str
    choice: Choice
    trials: tuple[KindTrial, ...] = ()


def choose_kind(examples: Examples, job: FitJob) -> KindChoice:
    """Choose a kind by its loss on held-out rows, unless one was asked for, and its settings.

    Every kind holds out the same rows, and none of the rows that `fit_head` holds out.

    Args:
        examples: What to learn from.
        job: Its options name the kind, or ``auto``.

    Raises:
        HeadError: If the kind cannot learn the task.
    """
    if job.options.kind != AUTO:
        _check_task(job.options.kind, examples.task)
        return KindChoice(job.options.kind, HEADS[job.options.kind].choose(examples, job))
    rows = sample_rows(examples, COMPARED_ROWS, job.seed)
    compared = examples if len(rows) == len(examples) else examples.take(rows)
    kinds = [name for name in HEADS if _is_tried(name, examples)]
    given = list_network_options(job.options)
    if given and NETWORK not in kinds:
        why = f"{NETWORK} heads do not learn {_TASKS[examples.task]}"
        if examples.task in HEADS[NETWORK].tasks:
            why = (
                f"{option('kind', AUTO)} does not try {NETWORK} on {len(examples):,} images; "
                f"{option('kind', NETWORK)} does"
            )
        job.listener.note(f"{join_names(given, conjunction='and')} not used: {why}")
    if not kinds:
        raise HeadError(
            f"No kind of head that learns {_TASKS[examples.task]} suits so many images. Name one "
            f"with {option('kind')}: {join_names(_list_able(examples.task))}."
        )
    if len(kinds) == 1:
        return KindChoice(kinds[0], HEADS[kinds[0]].choose(examples, job))
    choices, trials = {}, []
    for kind in kinds:
        started = time.monotonic()
        choices[kind] = chosen = HEADS[kind].choose(compared, job)
        seconds = time.monotonic() - started
        trials.append(KindTrial(kind, chosen.loss, chosen.accuracy, seconds))
    trials.sort(key=lambda trial: math.inf if trial.loss is None else trial.loss)
    if trials[0].loss is None:
        has_one = examples.task == "single" and len(examples) == examples.num_classes
        preferred = FOR_ONE if has_one else FOR_FEW
        best = preferred if preferred in choices else trials[0].kind
        job.listener.note(f"too few examples to compare kinds of heads: {best}")
        return KindChoice(best, choices[best], tuple(trials))
    best = trials[0].kind
    job.listener.note(f"{best} has the least loss on images held out: {_list(trials)}")
    return KindChoice(best, choices[best], tuple(trials))


def _is_tried(kind: str, examples: Examples) -> bool:
    head = HEADS[kind]
    return examples.task in head.tasks and head.suits(examples)


def _check_task(kind: str, task: Task) -> None:
    if task not in HEADS[kind].tasks:
        raise HeadError(
            f"A head of kind {kind} cannot learn {_TASKS[task]}. Choose {option('kind')} from "
            f"{join_names(_list_able(task))}."
        )


def _list_able(task: Task) -> list[str]:
    return [name for name in HEADS if task in HEADS[name].tasks]


def _list(trials: Sequence[KindTrial]) -> str:
    """Write the losses: ``lda 0.192, ridge 0.199``."""
    return ", ".join(
        f"{trial.kind} –" if trial.loss is None else f"{trial.kind} {trial.loss:.3f}"
        for trial in trials
    )
