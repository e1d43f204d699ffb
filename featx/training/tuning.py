"""Fine-tuning from a request to a network: features, head, training, files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from featx.errors import FingerprintMismatch
from featx.events import Listener
from featx.extraction import extract
from featx.heads.head import Head
from featx.heads.held_out import AnyHeldOut
from featx.heads.judging import AnyEvaluation
from featx.images.sources import ImageFailure, ImageItem, Images, gather
from featx.models.backbone import Backbone
from featx.models.input_contract import require_scaling
from featx.models.selection import select_layers
from featx.options import RunOptions, Selection, UpdateOptions
from featx.specs import identity_differences
from featx.training.default_layer import find_top
from featx.training.freezing import choose_trained
from featx.training.keras_network import (
    TrainableNetwork,
    make_network,
    refuse_layers,
    refuse_untrainable,
)
from featx.training.keras_trainer import Answers, KerasTrainer, TrainingPlan
from featx.training.lessons import PictureReader, index_items
from featx.training.network_choice import NetworkChoice
from featx.training.options import (
    FreezingOptions,
    LessonOptions,
    TrainingOptions,
)
from featx.training.result import is_as_it_was, judge_result, make_outputs, save_result
from featx.training.run_folder import Epoch, RunFolder
from featx.training.start import Lesson, Start, Wanted, take_start
from featx.training.training_run import TrainingRun, how_to_go_on

DEFAULT_BATCH = 32
"""Pictures of a training step."""

NEWER = ("label_columns", "target", "sample_weight")
"""Settings that are left out where they are not given."""


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `featx.fine_tune`, resolved: see there."""

    images: Images
    network: NetworkChoice
    lesson: LessonOptions
    freezing: FreezingOptions
    training: TrainingOptions
    selection: Selection
    run: RunOptions

    @property
    def batch_size(self) -> int:
        """Pictures of a training step."""
        return self.run.batch_size or DEFAULT_BATCH

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, as JSON; the pictures are checked by themselves."""
        groups = (self.lesson, self.freezing, self.training)
        named = {
            name: value
            for group in groups
            for name, value in asdict(group).items()
            # Runs that were begun before have none of these.
            if name != "allow_download" and (value or name not in NEWER)
        }
        named["labels"] = str(self.lesson.labels)
        if not isinstance(named["class_weight"], dict | None):
            named["class_weight"] = str(named["class_weight"])
        return self.network.settings | named | {"batch_size": self.batch_size}


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What came of fine-tuning.

    Attributes:
        start: Where it began.
        kind: The kind of its top.
        num_layers: Layers of the backbone that numbers count.
        trained: Those with weights that were trained.
        history: The epochs.
        best: The one that was kept.
        after: Its figures on the held-out pictures.
        held_out: What it says of each of these.
        failures: Images that could not be used.
    """

    start: Start
    kind: str
    num_layers: int
    trained: tuple[str, ...]
    history: tuple[Epoch, ...]
    best: int
    after: AnyEvaluation
    held_out: AnyHeldOut
    failures: tuple[ImageFailure, ...]


def tune(request: Request, folder: RunFolder, *, overwrite: bool, listener: Listener) -> Tuned:
    """Carry out a request, from where the run in the folder has come to; see `featx.fine_tune`."""
    found = gather(
        request.images,
        selection=request.selection,
        scale=request.run.scale,
        allow_download=request.lesson.allow_download,
    )
    items = index_items(found)
    with folder.held():
        if not overwrite:
            folder.open(request.settings(), overwrite=False)
        backbone, names = _load(request)
        layer = _choose_layer(request.network, backbone, listener)
        refuse_layers(backbone, layer, request.freezing)
        if overwrite:  # A run is not given up for a network that cannot be trained.
            folder.open(request.settings(), overwrite=True)
        failures = _extract(request, folder, layer, listener)
        start = take_start(folder.features, _want(request), listener)
        _check_feature(request.network.head, start)
        folder.check_lesson(_digest(start.lesson))
        backbone.spec = start.model
        network = make_network(backbone, start.feature, make_outputs(start))
        trainer = _make_trainer(request, start, network, names)
        learned = network.learning
        reader = _make_reader(request, start, items)
        running = TrainingRun(
            folder, trainer, reader, start.lesson, start.goal, request.training, listener
        )
        try:
            progress = running.run()
        except KeyboardInterrupt:
            trainer.finish()
            kept = folder.read_progress()
            if kept is not None:
                save_result(folder, network, start, kept, None)
                listener.note(how_to_go_on(folder))
            raise
        after, held_out = judge_result(start, trainer, reader, progress)
        trainer.finish()
        if is_as_it_was(start, progress):
            listener.note(
                "no epoch was better than the start: the network is as it was, with the head that "
                "is fitted on all images that are not held out"
            )
        kind = save_result(folder, network, start, progress, after)
    return Tuned(
        start,
        kind,
        network.num_layers,
        learned,
        progress.history,
        progress.best,
        after,
        held_out,
        failures,
    )


def _load(request: Request) -> tuple[Backbone, tuple[str, ...]]:
    """Return the network, which can be trained, and the changes to pictures that it is shown."""
    backbone = request.network.load(allow_download=request.lesson.allow_download)
    refuse_untrainable(backbone)
    contract = require_scaling(backbone)
    side = min(contract.height, contract.width)
    return backbone, request.training.augmentations(contract.channels, side)


def _make_trainer(
    request: Request, start: Start, network: TrainableNetwork, augmentations: tuple[str, ...]
) -> KerasTrainer:
    """Return what trains a network, with the layers that are asked for unfrozen."""
    trained = choose_trained(network.places, network.num_layers, request.freezing)
    plan = TrainingPlan(
        request.training,
        frozenset(trained),
        request.freezing.train_batch_norm,
        augmentations,
        request.lesson.seed,
    )
    network.freeze(plan.trained, train_batch_norm=plan.train_batch_norm)
    lesson = start.lesson
    weights = np.ones(len(lesson.keys)) if lesson.weights is None else lesson.weights
    return KerasTrainer(network, plan, Answers(start.goal, lesson.targets, weights))


def _make_reader(request: Request, start: Start, items: Mapping[str, ImageItem]) -> PictureReader:
    return PictureReader(
        items,
        start.lesson.keys,
        start.lesson.content_hash,
        start.model.input,
        batch_size=request.batch_size,
        workers=request.run.workers,
        max_pixels=request.run.max_pixels,
    )


def _want(request: Request) -> Wanted:
    head = request.network.head
    return Wanted(
        lesson=request.lesson,
        kind=request.network.kind,
        settings=request.network.chosen,
        classes=None if head is None else head.classes,
        seed=request.lesson.seed,
    )


def _choose_layer(choice: NetworkChoice, backbone: Backbone, listener: Listener) -> str:
    """Return the layer that the head is on."""
    layers = backbone.features()
    if choice.layer is not None:
        asked = [str(choice.layer)]
    else:
        found = backbone.default_layer or find_top(layers)
        asked = [] if found is None else [found]
    name = select_layers(asked, layers, backbone.num_layers)[0].name
    if choice.head is None:
        listener.note(f"new top on the layer {name!r} of {backbone.spec.reference}")
    return name


def _extract(
    request: Request, folder: RunFolder, layer: str, listener: Listener
) -> tuple[ImageFailure, ...]:
    """Compute the frozen features that are not there yet."""
    choice = request.network
    report = extract(
        request.images,
        model=choice.model,
        weights=choice.weights,
        layers=[layer],
        pool=choice.pool,
        output=folder.features,
        trust_model_code=choice.trust_model_code,
        input=choice.input,
        selection=request.selection,
        run=replace(request.run, batch_size=None),
        update=UpdateOptions(prune=True, allow_download=request.lesson.allow_download),
        listener=listener,
    )
    return report.failures


def _check_feature(head: Head | None, start: Start) -> None:
    if head is None:
        return
    differences = identity_differences(
        head.model.identity() | head.feature.identity(),
        start.model.identity() | start.feature.identity(),
    )
    if differences:
        raise FingerprintMismatch(
            "The features of the images are not those that the head was fitted on.",
            differences,
            remedy="Extract again, and fit a new head.",
        )


def _digest(lesson: Lesson) -> str:
    """Return a hash of what is learned from."""
    found = hashlib.sha256()
    for text in (*lesson.keys, *lesson.classes):
        found.update(text.encode() + b"\0")
    weights = np.zeros(0) if lesson.weights is None else lesson.weights
    targets = lesson.targets if lesson.task == "regression" else lesson.targets.astype(np.int64)
    for array in (lesson.content_hash, targets, lesson.parts, weights):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
