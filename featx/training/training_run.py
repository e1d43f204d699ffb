"""One run of training: epochs, each kept as soon as it is finished, up to the best network."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.errors import TrainingError
from featx.events import Listener
from featx.heads.calibration import accuracy, cross_entropy
from featx.training.keras_trainer import KerasTrainer
from featx.training.lessons import PictureReader
from featx.training.options import TrainingOptions
from featx.training.run_folder import Epoch, Progress, RunFolder
from featx.training.schedule import Phase, list_phases
from featx.training.start import TRAIN, VAL, Lesson
from featx.training.tensorboard_logs import TensorBoardLogs
from featx.wording import command, either, option


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRun:
    """Everything that an epoch needs.

    Attributes:
        folder: Where the run is.
        trainer: The network.
        reader: The pictures.
        lesson: What is learned from them.
        options: How it is trained.
        listener: Receives notes and progress.
    """

    folder: RunFolder
    trainer: KerasTrainer
    reader: PictureReader
    lesson: Lesson
    options: TrainingOptions
    listener: Listener

    def run(self) -> Progress:
        """Train to the end, from where the run has come to, and take the best network.

        Raises:
            TrainingError: If the loss is no number any more, or a picture has changed.
            KeyboardInterrupt: If the user ends it; the network is the best so far then.
        """
        phases = list_phases(self.options)
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
            loss, share = self._validate()
            seconds = time.monotonic() - began
            start = Epoch(0, "start", 0.0, None, None, loss, share, seconds, 0.0)
            return self._keep(Progress((), 0, {}), start)
        done = progress.history[-1].number
        if done:
            if done < phases[-1].last:
                self.listener.note(f"goes on after epoch {done} of {phases[-1].last}")
            self.trainer.enter(next(phase for phase in phases if phase.last >= done))
            self.trainer.write_state(progress.state)
        return progress

    def _train(self, phase: Phase, number: int, last: int) -> Epoch:
        """Run an epoch."""
        rows = self.lesson.rows(TRAIN)
        began, waited = time.monotonic(), self.reader.waited
        num_steps = math.ceil(len(rows) / self.reader.batch_size)
        rates = list(phase.rates(number, num_steps))
        self.listener.start(len(rows), f"images, epoch {number} of {last}")
        try:
            loss, share = self.trainer.run_epoch(
                number, rows, self.reader.batches, rates, self.listener.advance
            )
        finally:
            self.listener.finish()
        val_loss, val_share = self._validate()
        seconds = time.monotonic() - began
        return Epoch(
            number,
            phase.name,
            rates[-1],
            loss,
            share,
            val_loss,
            val_share,
            seconds,
            (self.reader.waited - waited) / max(seconds, 1e-9),
        )

    def _validate(self) -> tuple[float | None, float | None]:
        """Return loss and accuracy on the pictures that choose the epoch."""
        rows = self.lesson.rows(VAL)
        if not len(rows):
            return None, None
        logits = self.trainer.predict(self.reader.batches(rows))
        if not np.isfinite(logits).all():
            raise TrainingError(
                "The network computes NaN or infinity. Take a smaller learning rate with "
                f"{option('learning_rate')}."
            )
        targets = self.lesson.targets[rows]
        return cross_entropy(logits, targets, None), accuracy(logits, targets)

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
        return patience is not None and done - progress.best >= patience


def choose_best(history: tuple[Epoch, ...]) -> int:
    """Return the number of the epoch with the least loss on held-back pictures; else the last.

    Epochs that answer fewer of these right than the network did before training are no candidates.
    """
    if history[0].val_loss is None:
        return history[-1].number
    least = history[0].val_accuracy or 0.0
    candidates = [one for one in history if (one.val_accuracy or 0.0) >= least]
    return min(
        candidates, key=lambda one: math.inf if one.val_loss is None else one.val_loss
    ).number


def describe_epoch(epoch: Epoch, last: int, is_best: bool) -> str:
    """Say in a line what an epoch came to."""
    parts = []
    if epoch.loss is not None and epoch.accuracy is not None:
        parts.append(f"loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.3f}")
    if epoch.val_loss is not None and epoch.val_accuracy is not None:
        best = ", the best so far" if is_best and epoch.number else ""
        parts.append(f"validation {epoch.val_loss:.3f}, {epoch.val_accuracy:.3f}{best}")
    name = f"epoch {epoch.number} of {last} ({epoch.phase})" if epoch.number else "start"
    return f"{name}: {'; '.join(parts) or 'not measured'}"


def how_to_go_on(folder: RunFolder) -> str:
    """Say what to do after an interruption."""
    same = either(shell="the same command", python="the same call")
    return (
        f"interrupted: the best network so far is {str(folder.model)!r}; {same} goes on, or "
        f"{command('predict', model=str(folder.model))} uses it"
    )


def _list_epochs(phases: list[Phase], first: int) -> Iterator[tuple[Phase, int]]:
    for phase in phases:
        for number in range(max(first, phase.first), phase.last + 1):
            yield phase, number
