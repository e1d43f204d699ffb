"""Classes of images from the classifier that a model brings: its last output, and names for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featx.errors import AmbiguousName, HeadError, ModelError, join_names
from featx.events import Listener
from featx.features.embedding import embed_found
from featx.features.query_images import QueryImages
from featx.heads.class_names import ClassNames, NameList, read_names
from featx.heads.head import DESCRIPTION_FILE, load_head
from featx.heads.prediction_report import PredictReport, rank_classes
from featx.models import load_classifier
from featx.models.backbone import Backbone, Layer
from featx.models.in_memory import Reference
from featx.models.input_contract import require_scaling
from featx.models.selection import select_layers
from featx.options import InputOptions
from featx.specs import DEFAULT_HEAD, FeatureSpec
from featx.units import format_shape
from featx.wording import command, option

TOLERANCE = 1e-3
"""How far outputs may be outside [0, 1], or their sum from 1, and still be probabilities."""


@dataclass(frozen=True, slots=True)
class ModelClassifier:
    """The classifier that a model brings.

    Attributes:
        model: The model's reference.
        input: How pictures become its pixels.
        layer: The classifier's output; the model's last when None.
        labels: Names of its classes: ``imagenet`` or a file; numbers when None.
    """

    model: Reference
    input: InputOptions
    layer: str | None = None
    labels: str | Path | None = None


def predict_with_model(
    query: QueryImages, classifier: ModelClassifier, top: int, listener: Listener
) -> PredictReport:
    """Classify images with a model's own classifier; see `featx.predict`."""
    name_list = None if classifier.labels is None else read_names(classifier.labels)
    found = query.find(listener)
    backbone = load_classifier(
        classifier.model,
        weights=query.weights,
        input=classifier.input,
        trust_model_code=query.trust_model_code,
    )
    require_scaling(backbone)
    output = find_classes(backbone, classifier.layer)
    width = output.shape[-1] or 0
    _announce(backbone, output, listener)
    names = _find_names(name_list, _count_classes(output), listener)
    classes = names.names if names else [str(number) for number in range(_count_classes(output))]
    feature = FeatureSpec(output.name, output.kind, "flatten", (width,))
    embedded = embed_found(found, backbone, feature, query.run, listener)
    outputs = _make_probabilities(output, embedded.values, classes, listener)
    predictions, best = rank_classes(embedded.items, outputs, classes, top)
    right = _compare([item.label for item in embedded.items], best, names)
    return PredictReport(
        predictions=predictions,
        failures=embedded.failures,
        num_labelled=len(right),
        num_fitted_on=0,
        accuracy=sum(right) / len(right) if right else None,
    )


def _announce(backbone: Backbone, output: Layer, listener: Listener) -> None:
    """Say what classifies, what else could, and what is wrong with the scaling of pixels."""
    contract = backbone.spec.input
    listener.note(
        f"{backbone.spec.reference} at {contract.height} x {contract.width}, "
        f"'{contract.scaling}' preprocessing → {output.name}, "
        f"{_count_classes(output):,} classes"
    )
    # What a Hub module calls its result has no equals: its endpoints lead to it.
    if output.name != backbone.default_layer:
        shown = [
            f"{layer.name} ({_count_classes(layer):,} classes)"
            for layer in list_classifiers(backbone)
            if layer.name != output.name
        ]
        if shown:
            listener.note(f"{option('layer')} chooses another classifier: {join_names(shown)}")
    if backbone.beginning.warning:
        listener.note(f"warning: {backbone.beginning.warning}")


def _count_classes(output: Layer) -> int:
    """Return the number of classes; one sigmoid is the probability of one class of two."""
    return max(output.shape[-1] or 0, 2)


def _find_names(name_list: NameList | None, count: int, listener: Listener) -> ClassNames | None:
    """Return the names of classes, and note how they were made to fit, or that there are none."""
    names = None if name_list is None else name_list.fit(count)
    if names is None:
        file = "(imagenet, or a file)" if count in (1000, 1001) else "(a file)"
        listener.note(
            f"classes are shown by their number, from 0: {option('labels')} names them {file}"
        )
    elif names.note:
        listener.note(names.note)
    return names


def _make_probabilities(
    output: Layer, outputs: np.ndarray, classes: Sequence[str], listener: Listener
) -> np.ndarray:
    """Return the outputs of a classifier as probabilities, and note what they were."""
    if outputs.shape[1] == 1:
        listener.note(
            f"{output.name} gives one sigmoid: the probability of {classes[1]!r}; "
            f"{classes[0]!r} has the rest"
        )
        return np.concatenate([1 - outputs, outputs], axis=1)
    if output.operation == "Sigmoid":
        if not are_probabilities(outputs):
            listener.note(
                f"{output.name} gives a sigmoid for each class: independent probabilities, which "
                "need not sum to 1, since an image may be of several classes or of none"
            )
        return outputs
    if are_probabilities(outputs):
        return outputs
    listener.note(
        f"{output.name} gives logits (values outside [0, 1], or sums that are not 1 within "
        f"{TOLERANCE:g}): softmax makes probabilities of them"
    )
    return softmax(outputs)


def find_classes(backbone: Backbone, layer: str | None = None) -> Layer:
    """Return the layer that gives one value for each class.

    Args:
        backbone: The model.
        layer: The layer, as ``--layer`` names it. When None: what a Hub module calls its result;
            else the last output that is a vector; of Keras models the last layer.

    Raises:
        AmbiguousName: If `layer` names several.
        ModelError: If it gives neither one vector of at least two values for an image, nor one
            sigmoid.
    """
    layers = backbone.features()
    if layer is not None:
        chosen = select_layers([layer], layers, backbone.num_layers)
        if len(chosen) > 1:
            names = join_names([layer.name for layer in chosen[:6]])
            raise AmbiguousName(
                f"A classifier is one layer; {layer!r} fits {len(chosen)}. Choose {names}."
            )
        output = chosen[0]
    else:
        outputs = _list_results(backbone) or [layers[-1]]
        vectors = list_classifiers(backbone) or outputs
        by_name = {layer.name: layer for layer in vectors}
        output = by_name.get(backbone.default_layer or "", vectors[-1])
    if not _gives_classes(output):
        _refuse_numbers(backbone, output)
        raise ModelError(
            "A classifier gives one vector for an image, with two values or more, or one that a "
            f"sigmoid computes. Received: {output.name!r} of {backbone.spec.reference} with shape "
            f"{format_shape(output.shape)}. Name the layer that gives the classes with "
            f"{option('layer')}, or fit a head on features ({command('fit-head')})."
        )
    return output


def _refuse_numbers(backbone: Backbone, output: Layer) -> None:
    """Name the head that says of which number a network is, where `fine_tune` has put one."""
    folder = Path(backbone.spec.location).with_name(DEFAULT_HEAD)
    if output.shape[-1:] != (1,) or not (folder / DESCRIPTION_FILE).is_file():
        return
    try:
        head = load_head(folder)
    except HeadError:  # It is of something else, for all that is known.
        return
    if head.task == "regression" and head.model.weights_sha256 == backbone.spec.weights_sha256:
        raise ModelError(
            f"{backbone.spec.reference} gives no classes, but a number: {head.columns[0]!r}. "
            f"{command('predict', head=str(folder))} predicts it."
        )


def list_classifiers(backbone: Backbone) -> list[Layer]:
    """Return the model's results that can be classes: vectors, and single sigmoids."""
    return [layer for layer in _list_results(backbone) if _gives_classes(layer)]


def _list_results(backbone: Backbone) -> list[Layer]:
    layers = backbone.features()
    return [layer for layer in layers if layer.is_result or layer.kind in ("output", "endpoint")]


def _gives_classes(layer: Layer) -> bool:
    """Whether a layer gives (C,), or (1, 1, C) as networks without a dense layer do.

    One value is a class and its contrary if a sigmoid computes it, else a measure or a logit.
    """
    *space, count = layer.shape or (None,)
    if count is None or any(size != 1 for size in space):
        return False
    return count > 1 or (count == 1 and layer.operation == "Sigmoid")


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether all rows are in [0, 1] and sum to 1, within `TOLERANCE`: else they are logits.

    Args:
        outputs: Shape (N, C).

    Example:
        >>> are_probabilities(np.array([[0.1, 0.9]])), are_probabilities(np.array([[0.1, 0.8]]))
        (True, False)
    """
    inside = (outputs >= -TOLERANCE) & (outputs <= 1 + TOLERANCE)
    sums = outputs.sum(axis=1, dtype=np.float64)
    return bool(inside.all() and (np.abs(sums - 1) <= TOLERANCE).all())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(x) / sum(exp(x)) of each row, in float64.

    Args:
        logits: Shape (N, C).

    Example:
        >>> softmax(np.log([[1.0, 3.0]])).round(6).tolist()
        [[0.25, 0.75]]
    """
    shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    powers = np.exp(shifted)
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def _compare(
    labels: Sequence[str | None], best: np.ndarray, names: ClassNames | None
) -> list[bool]:
    """Tell of each image labelled with the name of a class whether that class is the best."""
    if names is None:
        return []
    meant = [frozenset() if label is None else names.find(label) for label in labels]
    return [
        number in numbers for number, numbers in zip(best.tolist(), meant, strict=True) if numbers
    ]
