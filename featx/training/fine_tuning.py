"""`fine_tune`: a network trained on from its frozen features and a head on them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from featx.arguments import check_head, plain_arguments
from featx.checks.layers import check_layer
from featx.checks.texts import check_path
from featx.events import Listener
from featx.heads.head import Head
from featx.heads.held_out import AnyHeldOut
from featx.heads.judging import AnyEvaluation
from featx.heads.kinds import Task
from featx.images.sources import ImageFailure, Images
from featx.models.in_memory import check_model
from featx.options import InputOptions, RunOptions, Selection, fill_group
from featx.shown import Shown
from featx.training.comparison import Comparison, compare_predictions
from featx.training.network_choice import choose_network, learn_as
from featx.training.options import (
    ClassifierOptions,
    FineTuneKeywords,
    FreezingOptions,
    LessonOptions,
    TrainingOptions,
)
from featx.training.run_folder import Epoch, RunFolder
from featx.training.start import TRAIN, VAL, Start
from featx.training.tuning import Request, Tuned, tune
from featx.trust import GivenTrust

DEFAULT_RUN = "fine-tuned"


@dataclass(frozen=True, slots=True, repr=False)
class FineTuneReport(Shown):
    """What a network learned, and how much better it is than a head on its frozen features.

    Attributes:
        output: The folder of the run.
        model: The fine-tuned network, a file of Keras.
        labels: Its classes in the order of its outputs, one in each line; None of a number.
        head: A head of featx on that network, which predicts the same.
        layer: The layer of the original network that the top is on.
        kind: Of the top: ``linear`` or ``mlp``; of a number ``ridge``.
        frozen_kind: The kind of head on frozen features that it is compared with.
        classes: C class names; none of a number.
        num_train: Images that were learned from.
        num_val: Images that chose the best epoch.
        num_unlabelled: Images left out because they have no label.
        num_layers: Layers of the network up to `layer`, whose numbers ``freeze`` takes.
        trained: Layers with weights that were trained, top not counted.
        history: The epochs; number 0 is the network before training.
        best: Number of the epoch that was kept.
        before: What a head on frozen features is worth on held-out images, fitted on all others.
        after: What the fine-tuned network is worth on the same images.
        comparison: Both, picture by picture.
        failures: Images that could not be used, with the reason.
        seconds: How long this call took.
        held_out_before: What the head on frozen features said of each held-out picture.
        held_out: What the fine-tuned network said of each.
        task: What is predicted: ``single``, ``multi`` or ``regression``, as for `FitReport`.
        columns: The columns that say it; none of one class.
    """

    output: str
    model: str
    labels: str | None
    head: str
    layer: str
    kind: str
    frozen_kind: str
    classes: tuple[str, ...]
    num_train: int
    num_val: int
    num_unlabelled: int
    num_layers: int
    trained: tuple[str, ...]
    history: tuple[Epoch, ...]
    best: int
    before: AnyEvaluation
    after: AnyEvaluation
    comparison: Comparison
    failures: tuple[ImageFailure, ...]
    seconds: float
    held_out_before: AnyHeldOut = field(compare=False)
    held_out: AnyHeldOut = field(compare=False)
    task: Task = "single"
    columns: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values, without those of single pictures."""
        fields = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("held_out", "held_out_before")
        }
        for name in ("before", "after", "comparison"):
            fields[name] = asdict(fields[name])
        fields["history"] = [asdict(epoch) for epoch in self.history]
        fields["failures"] = [{"path": one.key, "reason": one.reason} for one in self.failures]
        return fields


@plain_arguments(
    LessonOptions,
    ClassifierOptions,
    FreezingOptions,
    TrainingOptions,
    InputOptions,
    Selection,
    RunOptions,
    head=check_head,
    model=check_model,
    layer=check_layer,
    labels=check_path,
)
def fine_tune(
    images: Images = ".",
    *,
    head: str | Path | Head | None = None,
    model: Any = None,
    weights: str | Path | None = None,
    output: str | Path = DEFAULT_RUN,
    overwrite: bool = False,
    trust_model_code: GivenTrust = False,
    lesson: LessonOptions | None = None,
    classifier: ClassifierOptions | None = None,
    freezing: FreezingOptions | None = None,
    training: TrainingOptions | None = None,
    input: InputOptions | None = None,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[FineTuneKeywords],
) -> FineTuneReport:
    """Train a network on labelled images, beginning with a head on its frozen features.

    The features of all images are computed once, and a head is fitted on them. It becomes the top
    of the network, and is trained with the layers that are unfrozen. At last the network and the
    head on frozen features are compared on images that neither has seen.

    Each finished epoch is kept in `output`: the same call goes on after an interruption, and ends
    as it would have without it.

    Args:
        images: Locations or objects, as for `featx.extract`, that can be read again and again.
        head: A head, or its folder: its network, layer and kind are where training begins. It is
            fitted again, on the images that are learned from.
        model: Instead of a head: the network, see `featx.load_model`. It must consist of layers of
            Keras.
        weights: Weights of a Keras application, as for `featx.extract`; with a head, where its
            model is now.
        output: The folder of the run.
        overwrite: Begin the run in this folder again.
        trust_model_code: Run code that comes with a model, see `featx.load_model`.
        lesson: Which images are learned from, and which are held out.
        classifier: What is put on `model`, and where.
        freezing: Which layers are trained.
        training: How.
        input: How pictures become the pixels of `model`.
        selection: Which of the images are wanted.
        run: How images are read; its `batch_size` is that of a training step, 32 when None.
        listener: Receives notes, progress and failures; when None, who looks on sees them.
        options: Fields of these groups as keywords: ``epochs=5`` is
            ``training=TrainingOptions(epochs=5)``.

    Returns:
        The report; the network itself is the file `FineTuneReport.model`.

    Raises:
        TrainingError: If the folder holds something else, or the loss is no number any more.
        ModelError: If the model cannot be trained.
        HeadError: If there are fewer than two classes, or others than those of the head, or the
            kind of head cannot learn the task.
        KeyboardInterrupt: If the user ends it; the best network so far is kept.

    Example:
        >>> fine_tune("photos")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidValue: Training begins with a head, head='HEAD', or with a network ...
    """
    started = time.monotonic()
    chosen_run = fill_group(RunOptions, run, options)
    listener = chosen_run.choose_listener(listener)
    given_lesson = fill_group(LessonOptions, lesson, options)
    chosen_layers = fill_group(FreezingOptions, freezing, options)
    chosen_training = fill_group(TrainingOptions, training, options)
    chosen_images = fill_group(Selection, selection, options)
    network = choose_network(
        head,
        model,
        weights=check_path("weights", weights),
        top=fill_group(ClassifierOptions, classifier, options),
        input=fill_group(InputOptions, input, options),
        trust_model_code=trust_model_code,
        lesson=given_lesson,
    )
    request = Request(
        images=images,
        network=network,
        lesson=learn_as(network.head, given_lesson, chosen_training),
        freezing=chosen_layers,
        training=chosen_training,
        selection=chosen_images,
        run=chosen_run,
    )
    folder = RunFolder(Path(output))
    try:
        tuned = tune(request, folder, overwrite=overwrite, listener=listener)
    finally:
        listener.finish()
    report = _make_report(folder, tuned, time.monotonic() - started)
    folder.write_report(report.to_dict())
    return report


def _make_report(folder: RunFolder, tuned: Tuned, seconds: float) -> FineTuneReport:
    start: Start = tuned.start
    return FineTuneReport(
        output=str(folder.path),
        model=str(folder.model),
        labels=str(folder.labels) if start.lesson.classes else None,
        head=str(folder.head),
        layer=start.feature.name,
        kind=tuned.kind,
        frozen_kind=start.frozen.kind,
        classes=start.lesson.classes,
        num_train=int(np.sum(start.lesson.parts == TRAIN)),
        num_val=int(np.sum(start.lesson.parts == VAL)),
        num_unlabelled=start.num_unlabelled,
        num_layers=tuned.num_layers,
        trained=tuned.trained,
        history=tuned.history,
        best=tuned.best,
        before=start.before,
        after=tuned.after,
        comparison=compare_predictions(start.held_out, tuned.held_out),
        failures=tuned.failures,
        seconds=seconds,
        held_out_before=start.held_out,
        held_out=tuned.held_out,
        task=start.lesson.task,
        columns=start.lesson.columns,
    )
