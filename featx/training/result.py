"""What a run leaves: the best network, its figures on held-out pictures, its head."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from featx.atomic import replace_file
from featx.features.computing import plan_features
from featx.heads.head import Head
from featx.heads.held_out import AnyHeldOut
from featx.heads.judging import AnyEvaluation
from featx.heads.label_evaluation import DEFAULT_THRESHOLD, LabelEvaluation
from featx.heads.operations import Operation
from featx.input_spec import InputSpec
from featx.models import load_model
from featx.options import InputOptions
from featx.specs import FeatureSpec, ModelSpec
from featx.store import open_store
from featx.store.reference import StoreReference
from featx.training.goals import apply_end
from featx.training.keras_network import (
    VECTORS,
    TrainableNetwork,
    save_network,
    trained_operations,
)
from featx.training.keras_trainer import KerasTrainer
from featx.training.lessons import PictureReader
from featx.training.run_folder import Progress, RunFolder
from featx.training.start import TEST, VAL, Lesson, Start
from featx.training.top import stretch, weights_of


def make_outputs(start: Start) -> tuple[Operation, ...]:
    """Return the operations of the top that is trained, up to its outputs."""
    operations = start.top.operations
    return stretch(operations[: len(operations) - len(start.goal.end)], start.goal.begin())


def _finish_top(
    start: Start, network: TrainableNetwork, progress: Progress
) -> tuple[Operation, ...]:
    """Return the operations of the top of the best network."""
    if is_as_it_was(start, progress):
        return start.frozen.operations
    trained = trained_operations(network, make_outputs(start))
    temperature = progress.history[progress.best].temperature
    return (*stretch(trained, start.goal.finish(temperature)), *start.goal.end)


def is_as_it_was(start: Start, progress: Progress) -> bool:
    """Whether training brought nothing, so that a head on all pictures that may be seen is best."""
    return progress.best == 0 and start.frozen.is_trainable


def judge_result(
    start: Start, trainer: KerasTrainer, reader: PictureReader, progress: Progress
) -> tuple[AnyEvaluation, AnyHeldOut]:
    """Return the figures of the best network on the held-out pictures, and what it says of each."""
    if is_as_it_was(start, progress):
        return start.before, start.held_out
    temperature = progress.history[progress.best].temperature

    def predict(rows: np.ndarray) -> np.ndarray:
        return apply_end(start.goal, trainer.predict(reader.batches(rows)), temperature)

    lesson = start.lesson
    chosen_by = predict(lesson.rows(VAL)) if lesson.task == "multi" else None
    return lesson.judge(predict(lesson.rows(TEST)), chosen_by)


def save_result(
    folder: RunFolder,
    network: TrainableNetwork,
    start: Start,
    progress: Progress,
    measured: AnyEvaluation | None,
) -> str:
    """Write the best network, its classes and its head.

    Args:
        folder: The run.
        network: The network, with the weights of the best epoch.
        start: Where it began.
        progress: The epochs.
        measured: Its figures on held-out pictures, if they are known.

    Returns:
        The kind of its top.
    """
    lesson, operations = start.lesson, _finish_top(start, network, progress)
    try:
        save_network(network, operations, start.model.input, folder.model)
        if lesson.classes:
            with replace_file(folder.labels) as temporary:
                lines = (" ".join(name.split()) for name in lesson.classes)
                temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise folder.explain(error) from error
    kept = weights_of(operations)
    assert kept is not None
    kind, arrays = kept
    model = _describe(folder, start.model.input)
    learned = lesson.content_hash[lesson.parts != TEST]
    width = next(len(array) for name, array in arrays.items() if name == "mean")
    feature = FeatureSpec(VECTORS, "layer", "none", (width,))
    figures = {} if measured is None else {"evaluation": asdict(measured)}
    with open_store(folder.features) as store:
        pictures = StoreReference.to(store, folder.head)  # What an export is compared with.
    Head(
        kind,
        lesson.classes,
        feature,
        model,
        arrays,
        learned,
        figures,
        store=pictures,
        task=lesson.task,
        columns=lesson.columns,
        thresholds=_list_thresholds(lesson, measured),
    ).save(folder.head)
    return kind


def _list_thresholds(lesson: Lesson, measured: AnyEvaluation | None) -> tuple[float, ...]:
    """Return the probabilities from which labels apply."""
    if isinstance(measured, LabelEvaluation):
        return tuple(one.threshold for one in measured.classes)
    return (DEFAULT_THRESHOLD,) * len(lesson.classes) if lesson.task == "multi" else ()


def _describe(folder: RunFolder, contract: InputSpec) -> ModelSpec:
    """Return the network that was written, as featx knows it, with the same way to it."""
    options = InputOptions(
        resize=contract.resize,
        interpolation=contract.interpolation,
        exif=contract.exif,
        decode=contract.decode,
        icc=contract.icc,
    )
    backbone = load_model(str(folder.model.absolute()), input=options)
    (feature,) = plan_features(backbone, [VECTORS], "none")
    assert feature.name == VECTORS
    return backbone.spec
