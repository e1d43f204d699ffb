"""One run of training: epochs, each kept as soon as it is finished, up to the best network."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.errors import TrainingError
from featx.events import Listener
from featx.training.goals import Goal, Validation
from featx.training.keras_trainer import KerasTrainer
from featx.training.lessons import PictureReader
from featx.training.options import TrainingOptions
from featx.training.run_folder import Epoch, Progress, RunFolder
from featx.training.schedule import Phase, list_phases
from featx.training.start import TRAIN, VAL, Lesson
from featx.training.tensorboard_logs import TensorBoardLogs
from featx.units import format_number
from featx.wording import command, either, option


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRun:
    """Everything that an epoch needs.

    Attributes:
        folder: Where the run is.
        trainer: The network.
        reader: The pictures.
        lesson: Which of them are for what.
        goal: What is learned from them.
        options: How it is trained.
        listener: Receives notes and progress.
    """

    folder: RunFolder
    trainer: KerasTrainer
    reader: PictureReader
    lesson: Lesson
    goal: Goal
    options: TrainingOptions
    listener: Listener

    def run(self) -> Progress:
        """Train to the end, from where the run has come to, and take the best network.

        Raises:
            TrainingError: If the loss is no number any more, or a picture has changed.
            KeyboardInterrupt: If the user ends it; the network is the best so far then.
        """
        phases = list_phases(self.options, self.folder.resumed)
        try:
            progress = self._continue(phases)
            for phase, number in _list_epochs(phases, len(progress.history)):
                if self._is_enough(progress):
                    self.listener.note(
                        f"no better for {self.options.patience} epochs: training ends"
                    )
                    break
                self.trainer.enter(phase)
                progress = self._keep(progress, self._train(phase, number, phases[-1].last))
        except KeyboardInterrupt:
            self.listener.finish()
            kept = self.folder.read_progress()
            if kept is not None:
                self.trainer.write_weights(self.folder.read_best(kept))
            raise
        self.trainer.write_weights(self.folder.read_best(progress))
        return progress

    def _continue(self, phases: list[Phase]) -> Progress:
        """Return how far the run has come, with the network in that state."""
        progress = self.folder.read_progress()
        if progress is None:
            began = time.monotonic()
            seen = self._validate()
            start = self._describe((0, "start", 0.0), None, seen, (time.monotonic() - began, 0.0))
            return self._keep(Progress((), 0, {}), start)
        done = progress.history[-1].number
        if done:
            if done < phases[-1].last:
                self.listener.note(self._say_where(done, phases[-1]))
            self.trainer.enter(next(phase for phase in phases if phase.last >= done))
            self.trainer.write_state(progress.state)
        return progress

    def _say_where(self, done: int, last: Phase) -> str:
        """Say behind which epoch a run goes on, and with which rate if it was at its end."""
        anew = ""
        if done in self.folder.resumed and last.first == done + 1:
            falls = " and falls to 0 again" if last.schedule == "cosine" else ""
            anew = f"; the learning rate begins anew at {last.learning_rate:g}{falls}"
        return f"goes on after epoch {done} of {last.last}{anew}"

    def _train(self, phase: Phase, number: int, last: int) -> Epoch:
        """Run an epoch."""
        rows = self.lesson.rows(TRAIN)
        began, waited = time.monotonic(), self.reader.waited
        num_steps = math.ceil(len(rows) / self.reader.batch_size)
        rates = list(phase.rates(number, num_steps))
        self.listener.start(len(rows), f"images, epoch {number} of {last}")
        try:
            learned = self.trainer.run_epoch(
                number, rows, self.reader.batches, rates, self.listener.advance
            )
        finally:
            self.listener.finish()
        seen = self._validate()
        seconds = time.monotonic() - began
        share = (self.reader.waited - waited) / max(seconds, 1e-9)
        return self._describe((number, phase.name, rates[-1]), learned, seen, (seconds, share))

    def _describe(
        self,
        epoch: tuple[int, str, float],
        learned: tuple[float, float] | None,
        seen: Validation | None,
        took: tuple[float, float],
    ) -> Epoch:
        """Return what an epoch came to, from loss and figure in both parts."""
        loss, figure = learned or (None, None)
        val_loss, val_figure = (None, None) if seen is None else (seen.loss, seen.figure)
        temperature = 1.0 if seen is None else seen.temperature
        if self.goal.is_error:
            return Epoch(
                *epoch, loss, None, val_loss, None, *took, error=figure, val_error=val_figure
            )
        return Epoch(*epoch, loss, figure, val_loss, val_figure, *took, temperature=temperature)

    def _validate(self) -> Validation | None:
        """Measure on the pictures that choose the epoch."""
        rows = self.lesson.rows(VAL)
        if not len(rows):
            return None
        outputs = self.trainer.predict(self.reader.batches(rows))
        if not np.isfinite(outputs).all():
            raise TrainingError(
                "The network computes NaN or infinity. Take a smaller learning rate with "
                f"{option('learning_rate')}."
            )
        return self.goal.validate(outputs, self.lesson.targets[rows])

    def _keep(self, progress: Progress, epoch: Epoch) -> Progress:
        """Write what an epoch came to, and say it."""
        history = (*progress.history, epoch)
        best = choose_best(history)
        is_best = best == epoch.number
        kept = Progress(history, best, self.trainer.read_state())
        self.folder.write_progress(kept, self.trainer.read_weights() if is_best else None)
        self.listener.note(describe_epoch(epoch, list_phases(self.options)[-1].last, is_best))
        TensorBoardLogs(self.folder.logs).write(epoch)
        return kept

    def _is_enough(self, progress: Progress) -> bool:
        patience = self.options.patience
        done = progress.history[-1].number
        since = max(progress.best, *self.folder.resumed, 0)
        return patience is not None and done - since >= patience


def choose_best(history: tuple[Epoch, ...]) -> int:
    """Return the number of the epoch with the least loss on held-back pictures; else the last.

    Epochs that answer fewer of these right than the network did before training, or have a larger
    mean error, are no candidates.
    """
    if history[0].val_loss is None:
        return history[-1].number
    least, most = history[0].val_accuracy or 0.0, history[0].val_error or 0.0
    candidates = [
        one
        for one in history
        if (one.val_accuracy or 0.0) >= least and (one.val_error or 0.0) <= most
    ]
    return min(
        candidates, key=lambda one: math.inf if one.val_loss is None else one.val_loss
    ).number


def describe_epoch(epoch: Epoch, last: int, is_best: bool) -> str:
    """Say in a line what an epoch came to."""
    parts = []
    if epoch.loss is not None:
        name = "accuracy" if epoch.error is None else "error"
        parts.append(f"loss {epoch.loss:.3f}, {name} {_show(epoch.accuracy, epoch.error)}")
    if epoch.val_loss is not None:
        best = ", the best so far" if is_best and epoch.number else ""
        figure = _show(epoch.val_accuracy, epoch.val_error)
        parts.append(f"validation {epoch.val_loss:.3f}, {figure}{best}")
    name = f"epoch {epoch.number} of {last} ({epoch.phase})" if epoch.number else "start"
    return f"{name}: {'; '.join(parts) or 'not measured'}"


def _show(accuracy: float | None, error: float | None) -> str:
    return f"{accuracy:.3f}" if error is None else format_number(error)


def how_to_go_on(folder: RunFolder) -> str:
    """Say what to do after an interruption."""
    same = either(shell="the same command", python="the same call")
    return (
        f"interrupted: the best network so far is {str(folder.model)!r}; {same} goes on, or "
        f"{command('predict', head=str(folder.head))} uses it"
    )


def _list_epochs(phases: list[Phase], first: int) -> Iterator[tuple[Phase, int]]:
    for phase in phases:
        for number in range(max(first, phase.first), phase.last + 1):
            yield phase, number
