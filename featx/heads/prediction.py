"""`predict`: classes of images, or of the images of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from featx.arguments import check_head, plain_arguments
from featx.checks.layers import check_layer
from featx.checks.texts import check_path
from featx.errors import InvalidValue, ModelError
from featx.events import Listener
from featx.features.query_images import QueryImages, require_images
from featx.heads.head import Head, load_head
from featx.heads.model_classifier import ModelClassifier, predict_with_model
from featx.heads.prediction_report import Prediction, PredictReport
from featx.heads.prediction_stream import (
    HeadPredictor,
    PredictionCounts,
    PredictionStream,
    is_below,
)
from featx.heads.usable_rows import UNUSABLE, find_usable
from featx.heads.vector_batches import VectorBatch, find_store, iter_vectors
from featx.images.sources import ImageFailure, Images
from featx.keywords import PredictKeywords
from featx.models.in_memory import InMemory, Reference, add_signature, check_model
from featx.models.reference import locate_again
from featx.options import DecisionOptions, InputOptions, RunOptions, Selection, fill_group
from featx.specs import DEFAULT_HEAD, DEFAULT_TOP
from featx.trust import GivenTrust
from featx.wording import command, option


@plain_arguments(
    InputOptions,
    Selection,
    RunOptions,
    DecisionOptions,
    head=check_head,
    model=check_model,
    labels=check_path,
)
def predict(
    images: Images = (),
    model: Any = None,
    *,
    head: str | Path | Head | None = None,
    weights: str | Path | None = None,
    labels: str | Path | None = None,
    layer: str | int | None = None,
    signature: str | None = None,
    top: int = DEFAULT_TOP,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    input: InputOptions | None = None,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    decision: DecisionOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[PredictKeywords],
) -> PredictReport:
    """Classify images, with a head or with a model's own classifier.

    A head gets images prepared exactly as those it was fitted on. A model's own classifier is its
    last output. Values that a sigmoid computes are independent probabilities; softmax is applied
    to any others that are not probabilities (outside [0, 1], or with sums that are not 1 within
    0.001).

    Args:
        images: Locations or objects, as for `featx.extract`; or, for a head, a feature store (its
            path, or open), whose features of the head's layer are taken: no network is run.
        model: A model with a classifier, as for `featx.load_model`, instead of a head.
            Beside a head, the model that it was fitted on: in memory, or where it is now.
        head: A head, or its folder; ``head`` when neither it nor a model is named.
        weights: Of a model, as for `featx.load_model`; of a head, where the model's weights (or
            its file or folder) are now, if they have moved.
        labels: Names of the model's classes: ``imagenet``, or a file, see
            `featx.heads.class_names.read_names`. They are numbers when None.
        layer: The classifier's output, if it is not the model's last.
        signature: Of a SavedModel or Hub module, the same as ``,signature=NAME`` after its name.
        top: The most classes to name for each image, at least 1.
        trust_model_code: See `featx.load_model`.
        allow_download: Download the model that a head names, if it is not here. Unasked, nothing is
            fetched because of what a file says.
        input: How pictures become the model's pixels. A head knows that already.
        selection: Which of the images are wanted.
        run: How images are read and the network is run; in ``float32`` unless it says otherwise.
        decision: What is said of an image besides its most probable classes; with a model, only
            the threshold.
        listener: Receives notes, progress and failures; when None, who looks on sees them.
        options: Fields of these four groups as keywords: ``batch_size=32`` is
            ``run=RunOptions(batch_size=32)``.

    Raises:
        HeadError: If the head cannot be read.
        ImagesNotFound: If there are no images.
        AllImagesFailed: If none of them could be used; names the first reason.
        FingerprintMismatch: If the model's weights are no longer those of the head.
        InvalidValue: If there are not as many labels as the model has classes, or if options of
            heads and models are mixed.
        ModelError: If the model gives something else than one vector for an image.

    Example:
        >>> predict("photos", head="no-such-head")
        Traceback (most recent call last):
        ...
        featx.errors.HeadError: There is no head 'no-such-head'. `featx.fit_head` makes one.
    """
    stream = iter_predictions(
        images,
        model,
        head=head,
        weights=weights,
        labels=labels,
        layer=layer,
        signature=signature,
        top=top,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
        input=input,
        selection=selection,
        run=run,
        decision=decision,
        listener=listener,
        **options,
    )
    results = list(stream)
    counts = stream.counts
    report = PredictReport(
        predictions=tuple(one for one in results if isinstance(one, Prediction)),
        failures=tuple(one for one in results if isinstance(one, ImageFailure)),
        num_labelled=counts.num_labelled,
        num_fitted_on=counts.num_fitted_on,
        accuracy=counts.accuracy,
        num_unknown=counts.num_unknown,
    )
    require_images(report, report.failures, len(report.predictions))
    return report


@plain_arguments(
    InputOptions,
    Selection,
    RunOptions,
    DecisionOptions,
    head=check_head,
    model=check_model,
    labels=check_path,
)
def iter_predictions(
    images: Images = (),
    model: Any = None,
    *,
    head: str | Path | Head | None = None,
    weights: str | Path | None = None,
    labels: str | Path | None = None,
    layer: str | int | None = None,
    signature: str | None = None,
    top: int = DEFAULT_TOP,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    input: InputOptions | None = None,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    decision: DecisionOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[PredictKeywords],
) -> PredictionStream:
    """Classify images one after the other, in memory that does not grow with their number.

    With a model, whose numbers say what they are only when all are there, it does grow.

    All arguments and errors are those of `featx.predict`. Images are found and the head or model is
    loaded at once; the rest is done while the predictions are asked for.

    Returns:
        Predictions and failures as they come, and their counts.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> images = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(images, model=toy_model(), layers=["mean"], output="f.h5")
        >>> _ = featx.fit_head("f.h5", output="h")
        >>> first = next(iter(featx.iter_predictions("f.h5", head="h", coverage=0.5)))
        >>> first.classes[0], first.candidates
        ('dark', ('dark',))
    """
    run = fill_group(RunOptions, run, options)
    query = QueryImages(
        images,
        fill_group(Selection, selection, options),
        run,
        check_path("weights", weights),
        trust_model_code,
        allow_download,
    )
    wanted = fill_group(DecisionOptions, decision, options)
    how = _How(top, wanted, run.choose_listener(listener))
    input = fill_group(InputOptions, input, options)
    chosen = check_layer("layer", layer)
    reference = check_model("model", model)
    if reference is not None and head is not None:
        head = head if isinstance(head, Head) else load_head(head)
        query, reference = _name_model_of_head(query, head, reference), None
    if reference is None:
        _refuse_options_of_models(
            {"labels": labels, "layer": layer, "signature": signature, **asdict(input)}
        )
        return _use_head(query, DEFAULT_HEAD if head is None else head, how)
    _refuse_options_of_heads(wanted)
    reference = add_signature(reference, signature)
    classifier = ModelClassifier(reference, input, chosen, labels)
    return _use_model(query, classifier, how)


@dataclass(frozen=True, slots=True)
class _How:
    """How pictures are predicted, and whom it is told."""

    top: int
    decision: DecisionOptions
    listener: Listener

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InvalidValue(f"At least one class is named for an image. Received: {self.top}.")


def _name_model_of_head(query: QueryImages, head: Head, model: Reference) -> QueryImages:
    """Return a query to a head with the model that was named beside it, which has to be its own.

    Raises:
        InvalidValue: If it is another one.
    """
    if isinstance(model, InMemory):
        return replace(query, model=model)
    try:
        weights = locate_again(model, head.model)
    except ModelError as error:
        raise InvalidValue(
            f"{option('model')} and {option('head')} exclude each other: {option('model')} takes "
            f"the classifier that the model brings, {option('head')} one that "
            f"{command('fit-head')} made, here on {head.model.reference!r}. Received: {model!r}."
        ) from error
    return query if weights is None else replace(query, weights=query.weights or weights)


def _refuse_options_of_models(options: Mapping[str, object]) -> None:
    """Refuse what a head knows already."""
    for name, value in options.items():
        if value not in (None, "auto"):
            raise InvalidValue(
                f"{option(name)} goes with a model's own classifier: name it with "
                f"{option('model')}. A head knows its classes, its layer and how images are "
                "prepared."
            )


def _use_head(query: QueryImages, head: str | Path | Head, how: _How) -> PredictionStream:
    """Load a head and find what it is to predict, the pictures of a store or others."""
    listener = how.listener
    if not isinstance(head, Head):
        head = load_head(head)
    if head.is_stale:
        assert head.store is not None
        listener.note(
            f"the store {head.store.relative!r} has changed since this head was fitted: "
            f"{command('fit-head')} fits it again"
        )
    if query.selection != Selection() and find_store(query.images) is not None:
        raise InvalidValue("A store is predicted whole: take away what selects images.")
    predictor = HeadPredictor(head, how.top, how.decision)
    if predictor.takes_all_classes:
        listener.note(
            f"every class is a candidate for every image: to meet {how.decision.coverage:g}, the "
            "head has too few held-out images, or too many mistakes among them"
        )
    counts = PredictionCounts()
    results = _predict_batches(predictor, iter_vectors(query, head, listener), counts, listener)
    return PredictionStream(results, counts, head.task)


def _predict_batches(
    predictor: HeadPredictor,
    batches: Iterable[VectorBatch | ImageFailure],
    counts: PredictionCounts,
    listener: Listener,
) -> Iterator[Prediction | ImageFailure]:
    for batch in batches:
        if isinstance(batch, ImageFailure):
            yield batch
            continue
        is_usable = find_usable(batch.values)
        for row in np.flatnonzero(~is_usable).tolist():  # A store may hold such rows.
            failure = ImageFailure(batch.keys[row], f"its features are {UNUSABLE}", 0, -1)
            listener.failure(batch.root.shown(failure.key), failure.reason)
            yield failure
        usable = batch if is_usable.all() else batch.take(np.flatnonzero(is_usable))
        yield from predictor.predict(usable, counts)


def _use_model(query: QueryImages, classifier: ModelClassifier, how: _How) -> PredictionStream:
    """Classify all pictures with a model's own classifier."""
    report = predict_with_model(query, classifier, how.top, how.listener)
    predictions = [
        replace(one, is_unknown=is_below(one.probabilities[0], how.decision))
        for one in report.predictions
    ]
    counts = PredictionCounts(
        num_images=len(predictions),
        num_labelled=report.num_labelled,
        num_right=round((report.accuracy or 0) * report.num_labelled),
        num_unknown=sum(one.is_unknown for one in predictions),
    )
    return PredictionStream(iter([*predictions, *report.failures]), counts)


def _refuse_options_of_heads(decision: DecisionOptions) -> None:
    """Refuse what only a head can tell."""
    for name in ("coverage", "novelty"):
        if getattr(decision, name):
            raise InvalidValue(
                f"{option(name)} goes with a head, which keeps what it takes of the pictures that "
                "it was fitted on."
            )
