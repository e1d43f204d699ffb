"""`predict`: classes of images that are in no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Unpack

from featx.arguments import check_head, plain_arguments
from featx.checks import check_layer, check_path
from featx.errors import InvalidValue
from featx.events import Listener
from featx.features.embedding import QueryImages, embed_images, require_images
from featx.heads.head import Head, load_head
from featx.heads.model_classifier import ModelClassifier, predict_with_model
from featx.heads.prediction_report import PredictReport, rank_classes
from featx.images.sources import Images
from featx.models.reference import add_arguments
from featx.options import (
    InputOptions,
    PredictKeywords,
    RunOptions,
    Selection,
    fill_group,
)
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_HEAD, DEFAULT_TOP
from featx.wording import command, option


@plain_arguments(InputOptions, Selection, RunOptions, head=check_head, labels=check_path)
def predict(
    images: Images = (),
    model: str | Path | None = None,
    *,
    head: str | Path | Head | None = None,
    weights: str | Path | None = None,
    labels: str | Path | None = None,
    layer: str | int | None = None,
    signature: str | None = None,
    top: int = DEFAULT_TOP,
    trust_model_code: bool = False,
    allow_download: bool = False,
    input: InputOptions | None = None,
    selection: Selection | None = None,
    run: RunOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[PredictKeywords],
) -> PredictReport:
    """Classify images, with a head or with a model's own classifier.

    A head gets images prepared exactly as those it was fitted on. A model's own classifier is its
    last output. Values that a sigmoid computes are independent probabilities; softmax is applied
    to any others that are not probabilities (outside [0, 1], or with sums that are not 1 within
    0.001).

    Args:
        images: Locations or objects, as for `featx.extract`.
        model: A model with a classifier, as for `featx.load_model`, instead of a head.
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
        listener: Receives notes, progress and failures; when None, who looks on sees them.
        options: Fields of these three groups as keywords: ``batch_size=32`` is
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
        featx.errors.HeadError: There is no head 'no-such-head'. `featx fit-head` makes one.
    """
    if top < 1:
        raise InvalidValue(f"At least one class is named for an image. Received: {top}.")
    run = fill_group(RunOptions, run, options)
    listener = run.choose_listener(listener)
    query = QueryImages(
        images,
        fill_group(Selection, selection, options),
        run,
        check_path("weights", weights),
        trust_model_code,
        allow_download,
    )
    input = fill_group(InputOptions, input, options)
    chosen = check_layer("layer", layer)
    if model is None:
        _refuse_options_of_models(
            {"labels": labels, "layer": layer, "signature": signature, **asdict(input)}
        )
        report = _predict_with_head(query, DEFAULT_HEAD if head is None else head, top, listener)
        require_images(report, report.failures, len(report.predictions))
        return report
    if head is not None:
        raise InvalidValue(
            f"{option('model')} and {option('head')} exclude each other: {option('model')} takes "
            f"the classifier that the model brings, {option('head')} one that "
            f"{command('fit-head')} made, which knows its model."
        )
    reference = add_arguments(check_path("model", model) or "", signature=signature)
    classifier = ModelClassifier(reference, input, chosen, labels)
    report = predict_with_model(query, classifier, top, listener)
    require_images(report, report.failures, len(report.predictions))
    return report


def _refuse_options_of_models(options: Mapping[str, object]) -> None:
    """Refuse what a head knows already."""
    for name, value in options.items():
        if value not in (None, "auto"):
            raise InvalidValue(
                f"{option(name)} goes with a model's own classifier: name it with "
                f"{option('model')}. A head knows its classes, its layer and how images are "
                "prepared."
            )


def _predict_with_head(
    query: QueryImages, head: str | Path | Head, top: int, listener: Listener
) -> PredictReport:
    if not isinstance(head, Head):
        head = load_head(head)
    if head.is_stale:
        assert head.store is not None
        listener.note(
            f"the store {head.store.relative!r} has changed since this head was fitted: "
            f"{command('fit-head')} fits it again"
        )
    file = "The head" if head.folder is None else f"The head {str(head.folder)!r}"
    POOLINGS.restore(head.feature.pool, file, head.feature.package)
    embedded = embed_images(query, head.model, head.feature, listener)
    probabilities = head.predict_proba(embedded.values)
    predictions, _ = rank_classes(embedded.items, probabilities, head.classes, top)
    known = {row.tobytes() for row in head.fitted_on}
    seen = [row.tobytes() in known for row in embedded.content_hash]
    labelled = [
        prediction
        for prediction, is_seen in zip(predictions, seen, strict=True)
        if prediction.label in head.classes and not is_seen
    ]
    right = sum(p.classes[0] == p.label for p in labelled)
    return PredictReport(
        predictions=predictions,
        failures=embedded.failures,
        num_labelled=len(labelled),
        num_fitted_on=sum(seen),
        accuracy=right / len(labelled) if labelled else None,
    )
