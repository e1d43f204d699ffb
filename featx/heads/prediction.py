"""`predict`: classes of images that are in no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featx.embedding import embed_images
from featx.errors import InvalidValue
from featx.events import Listener
from featx.heads.head import Head, load_head
from featx.images.sources import ImageFailure, Images, Selection
from featx.specs import DEFAULT_BATCH_SIZE, DEFAULT_HEAD, DEFAULT_TOP


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable classes of one image.

    Attributes:
        path: The image.
        label: Its class folder, or None.
        classes: The best classes, most probable first.
        probabilities: Their probabilities, in [0, 1].
    """

    path: str
    label: str | None
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PredictReport:
    """Predictions in natural order of the images, failures, and accuracy where known.

    Attributes:
        predictions: One for each image that could be used.
        failures: The others, with the reason.
        num_labelled: Images that the head was not fitted on and whose class folder has the
            name of one of its classes.
        num_fitted_on: Images that the head was fitted on (the same bytes).
        accuracy: Share of the labelled ones whose first prediction is right; None if there
            are none.
    """

    predictions: tuple[Prediction, ...]
    failures: tuple[ImageFailure, ...]
    num_labelled: int
    num_fitted_on: int
    accuracy: float | None


def predict(
    images: Images = (),
    *,
    exclude: Sequence[str] = (),
    image_list: str | Path | None = None,
    split: str | None = None,
    frame: int | str | None = None,
    max_pixels: int | None = None,
    head: str | Path | Head = DEFAULT_HEAD,
    top: int = DEFAULT_TOP,
    batch_size: int = DEFAULT_BATCH_SIZE,
    workers: int | None = None,
    weights: str | None = None,
    trust_model_code: bool = False,
    listener: Listener | None = None,
) -> PredictReport:
    """Classify images with a head, prepared exactly as those it was fitted on.

    Args:
        images: Places or objects, as for `featx.extract`.
        exclude: Globs: images to leave out, by their key or a folder's name.
        image_list: A text file with one path in each line, ``-`` for the standard input.
        split: Only this split of manifests and array files.
        frame: Of animations and files of several pages this frame, or ``all``.
        max_pixels: Largest picture that is decoded; 178,956,970 when None.
        head: A head, or its folder.
        top: The most classes to name for each image.
        batch_size: Images for each run of the network.
        workers: Threads that read and decode.
        weights: Where the model's weights (or its file or folder) lie now, if they have moved.
        trust_model_code: See `featx.load_model`.
        listener: Receives progress and failures.

    Raises:
        HeadError: If the head cannot be read.
        ImagesNotFound: If there are no images.
        FingerprintMismatch: If the model's weights are no longer those of the head.

    Example:
        >>> predict("photos", head="no-such-head")
        Traceback (most recent call last):
        ...
        featx.errors.HeadError: There is no head 'no-such-head'. `featx fit-head` makes one.
    """
    if top < 1:
        raise InvalidValue(f"At least one class is named for an image. Received: {top}.")
    if not isinstance(head, Head):
        head = load_head(head)
    if head.is_stale and listener is not None:
        assert head.store is not None
        listener.note(
            f"the store {head.store.relative!r} has changed since this head was fitted: "
            "`featx fit-head` fits it again"
        )
    embedded = embed_images(
        images,
        head.model,
        head.feature,
        selection=Selection(exclude, image_list, split, frame),
        max_pixels=max_pixels,
        batch_size=batch_size,
        workers=workers,
        weights=weights,
        trust_model_code=trust_model_code,
        listener=listener,
    )
    probabilities = head.predict_proba(embedded.values)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    predictions = tuple(
        Prediction(
            path=item.place,
            label=item.label,
            classes=tuple(head.classes[number] for number in best),
            probabilities=tuple(float(row[number]) for number in best),
        )
        for item, row, best in zip(embedded.items, probabilities, order, strict=True)
    )
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
