"""`predict`: classes of images that are in no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from featx.errors import InvalidValue
from featx.events import Listener
from featx.features.embedding import embed_images
from featx.heads.head import Head, load_head
from featx.heads.model_classifier import predict_with_model
from featx.heads.prediction_report import PredictReport, rank_classes
from featx.images.sources import Images
from featx.models.reference import add_arguments
from featx.options import InputOptions, RunOptions, Selection
from featx.poolings import POOLINGS
from featx.specs import (
    DEFAULT_HEAD,
    DEFAULT_TOP,
    ChannelOrder,
    Exif,
    Interpolation,
    Precision,
    Preprocess,
    Resize,
)


def predict(
    images: Images = (),
    *,
    exclude: Sequence[str] = (),
    image_list: str | Path | None = None,
    split: str | None = None,
    frame: int | str | None = None,
    max_pixels: int | None = None,
    head: str | Path | Head | None = None,
    model: str | None = None,
    weights: str | None = None,
    labels: str | Path | None = None,
    layer: str | None = None,
    signature: str | None = None,
    img_size: tuple[int, int] | None = None,
    preprocess: Preprocess = "auto",
    channel_order: ChannelOrder | None = None,
    resize: Resize | None = None,
    interpolation: Interpolation | None = None,
    exif: Exif | None = None,
    top: int = DEFAULT_TOP,
    batch_size: int | None = None,
    workers: int | None = None,
    engine: str = "auto",
    precision: Precision = "float32",
    trust_model_code: bool = False,
    listener: Listener | None = None,
) -> PredictReport:
    """Classify images, with a head or with a model's own classifier.

    A head gets images prepared exactly as those it was fitted on. A model's own classifier is its
    last output. Where that is computed by a sigmoid, its values are independent probabilities;
    where it is no probabilities (values outside [0, 1], or sums that are not 1 within 0.001),
    softmax makes them.

    Args:
        images: Places or objects, as for `featx.extract`.
        exclude: Globs: images to leave out, by their key or a folder's name.
        image_list: A text file with one path in each line, ``-`` for the standard input.
        split: Only this split of manifests and array files.
        frame: Of animations and files of several pages this frame, or ``all``.
        max_pixels: Largest picture that is decoded; 178,956,970 when None.
        head: A head, or its folder; ``head`` when neither it nor a model is named.
        model: A model with a classifier, as for `featx.load_model`, instead of a head.
        weights: Of a model, as for `featx.load_model`; of a head, where the model's weights (or
            its file or folder) lie now, if they have moved.
        labels: Names of the model's classes: ``imagenet``, or a file, see
            `featx.heads.class_names.read_names`. They are numbers when None.
        layer: The classifier's output, if it is not the model's last.
        signature: Of a SavedModel or Hub module, the same as ``,signature=NAME`` after its name.
        img_size: Height and width for the model in pixels; its own when None.
        preprocess: The model's scaling; its own for ``auto``.
        channel_order: ``rgb`` or ``bgr``; the model's own when None.
        resize: ``stretch``, ``crop`` or ``pad``; stretch when None.
        interpolation: The resampling filter; bilinear when None.
        exif: Whether the camera's orientation tag is applied; it is when None.
        top: The most classes to name for each image.
        batch_size: Images that are given to the network at a time; what suits it when None.
        workers: Threads that read and decode.
        engine: See `featx.extract`.
        precision: See `featx.extract`; exact unless something else is asked for.
        trust_model_code: See `featx.load_model`.
        listener: Receives notes, progress and failures.

    Raises:
        HeadError: If the head cannot be read.
        ImagesNotFound: If there are no images.
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
    overrides = InputOptions(img_size, preprocess, channel_order, resize, interpolation, exif)
    options = RunOptions(max_pixels, batch_size, workers, engine, precision)
    selection = Selection(exclude, image_list, split, frame)
    listener = listener or Listener()
    if model is None:
        _refuse_options_of_models(labels, layer, signature, overrides)
        head = DEFAULT_HEAD if head is None else head
        return _predict_with_head(
            images,
            head,
            top,
            options,
            selection=selection,
            weights=weights,
            trust_model_code=trust_model_code,
            listener=listener,
        )
    if head is not None:
        raise InvalidValue(
            "-m and --head exclude each other: -m takes the classifier that the model brings, "
            "--head one that `featx fit-head` made, which knows its model."
        )
    return predict_with_model(
        images,
        add_arguments(model, signature=signature),
        top,
        options,
        selection=selection,
        weights=weights,
        labels=labels,
        layer=layer,
        overrides=overrides,
        trust_model_code=trust_model_code,
        listener=listener,
    )


def _refuse_options_of_models(
    labels: str | Path | None,
    layer: str | None,
    signature: str | None,
    overrides: InputOptions,
) -> None:
    """Refuse what a head knows already."""
    options = {"labels": labels, "layer": layer, "signature": signature} | asdict(overrides)
    for name, value in options.items():
        if value not in (None, "auto"):
            raise InvalidValue(
                f"--{name.replace('_', '-')} goes with a model's own classifier: name it with -m. "
                "A head knows its classes, its layer and how images are prepared."
            )


def _predict_with_head(
    images: Images,
    head: str | Path | Head,
    top: int,
    options: RunOptions,
    *,
    selection: Selection,
    weights: str | None,
    trust_model_code: bool,
    listener: Listener,
) -> PredictReport:
    if not isinstance(head, Head):
        head = load_head(head)
    if head.is_stale:
        assert head.store is not None
        listener.note(
            f"the store {head.store.relative!r} has changed since this head was fitted: "
            "`featx fit-head` fits it again"
        )
    file = "The head" if head.folder is None else f"The head {str(head.folder)!r}"
    POOLINGS.restore(head.feature.pool, file, head.feature.package)
    embedded = embed_images(
        images,
        head.model,
        head.feature,
        options,
        selection=selection,
        weights=weights,
        trust_model_code=trust_model_code,
        listener=listener,
    )
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
