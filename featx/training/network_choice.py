"""Which network is trained: that of a head, or one that is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from featx.errors import HeadError, InvalidValue, join_names
from featx.heads.head import Head, load_head
from featx.heads.options import HeadOptions
from featx.models.backbone import Backbone
from featx.models.in_memory import InMemory, Reference
from featx.models.loading import load_model, restore_model, restore_request
from featx.models.reference import without_trust
from featx.options import InputOptions
from featx.specs import format_reference
from featx.training.options import ClassifierOptions, LessonOptions, TrainingOptions
from featx.trust import GivenTrust
from featx.wording import option


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """A network and the head that it begins with.

    Attributes:
        model: The network.
        weights: Its weights, or where it is.
        layer: The layer that the head is on; to be chosen when None.
        pool: The pooling of that layer.
        input: How pictures become its pixels.
        trust_model_code: Whether its code may run.
        kind: The kind of head, and its options.
        head: The head, if one was given.
        moved: Where the weights of its network are now, if the user says so.
    """

    model: Reference
    weights: str | None
    layer: str | int | None
    pool: str
    input: InputOptions
    trust_model_code: GivenTrust
    kind: HeadOptions
    head: Head | None = None
    moved: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the network and its top, as JSON."""
        if self.head is not None:
            return {"head": self.head.fingerprint, "kind": self.head.kind}
        model = self.model.key if isinstance(self.model, InMemory) else without_trust(self.model)
        changes = {f"input.{key}": value for key, value in asdict(self.input).items() if value}
        return {
            "model": model,
            "weights": self.weights,
            "layer": self.layer,
            "pool": self.pool,
            "kind": self.kind.kind,
            "hidden": self.kind.hidden,
            **changes,
        }

    @property
    def chosen(self) -> Mapping[str, Any] | None:
        """What the kind of a given head chose when it was fitted."""
        return None if self.head is None else self.head.report.get("settings") or None

    def load(self, *, allow_download: bool) -> Backbone:
        """Load the network; one that a head alone names is fetched only where that is allowed."""
        if self.head is not None:
            return restore_model(
                self.head.model,
                weights=self.moved,
                trust_model_code=self.trust_model_code,
                allow_download=allow_download,
            )
        return load_model(
            self.model,
            weights=self.weights,
            input=self.input,
            trust_model_code=self.trust_model_code,
        )


def choose_network(
    head: str | Path | Head | None,
    model: Reference | None,
    *,
    weights: str | None,
    top: ClassifierOptions,
    input: InputOptions,
    trust_model_code: GivenTrust,
    lesson: LessonOptions,
) -> NetworkChoice:
    """Return the network that is named, or that of a head.

    Raises:
        InvalidValue: If neither or both are given, or what a head says is said once more.
        HeadError: If the head cannot be read.
    """
    if (head is None) == (model is None):
        given = "neither" if head is None else "both"
        raise InvalidValue(
            f"Training begins with a head, {option('head', 'HEAD')}, or with a network that gets a "
            f"new one, {option('model', 'MODEL')}. Received: {given}."
        )
    if head is None:
        assert model is not None
        kind = top.fit(lesson)
        return NetworkChoice(model, weights, top.layer, top.pool, input, trust_model_code, kind)
    said = [
        field.name
        for group in (top, input)
        for field in fields(group)
        if getattr(group, field.name) != field.default
    ]
    if said:
        raise InvalidValue(
            "Layer, pooling, kind and preprocessing are those of the head. Received: "
            f"{join_names([option(name) for name in ('head', *said)], conjunction='and')}. "
            f"To choose them, begin with {option('model', 'MODEL')} instead."
        )
    loaded = head if isinstance(head, Head) else load_head(head)
    return _of_head(loaded, weights, trust_model_code)


def learn_as(head: Head | None, lesson: LessonOptions, training: TrainingOptions) -> LessonOptions:
    """Return a lesson with the task of a head, if one is given.

    Raises:
        InvalidValue: If what a head learned is said once more, or an option is for classes alone.
    """
    said = [name for name in ("label_columns", "target") if getattr(lesson, name)]
    if head is not None and said:
        raise InvalidValue(
            f"What is learned is what the head predicts. Received: {option('head')} and "
            f"{option(said[0])}. To learn something else, begin with {option('model', 'MODEL')}."
        )
    if head is not None and head.task == "multi":
        lesson = replace(lesson, label_columns=head.columns)
    elif head is not None and head.task == "regression":
        lesson = replace(lesson, target=head.columns[0])
    if lesson.target is not None and training.label_smoothing:
        raise InvalidValue(
            f"{option('label_smoothing')} is for classes and labels, not for numbers. Leave it out."
        )
    return lesson


def _check_widths(head: Head) -> None:
    """Refuse a head that names other hidden layers than it has: they might take any memory.

    Raises:
        HeadError: If it does.
    """
    settings = head.report.get("settings") or {}
    widths: list[int] = []
    while (found := head.weights.get(f"intercepts_{len(widths)}")) is not None:
        widths.append(len(found))
    is_sound = isinstance(settings, dict)
    if is_sound and settings.get("hidden"):
        hidden = settings["hidden"]
        is_sound = isinstance(hidden, list | tuple) and list(hidden) == widths[:-1]
    if not is_sound:
        raise HeadError(
            "The head is damaged: its settings are not those of its arrays. Fit it again."
        )


def _of_head(head: Head, weights: str | None, trust_model_code: GivenTrust) -> NetworkChoice:
    _check_widths(head)
    request = restore_request(head.model, weights or head.model.location)
    reference = format_reference(head.model.source, request.name, tuple(request.arguments.items()))
    return NetworkChoice(
        model=reference,
        weights=request.weights,
        layer=head.feature.name,
        pool=head.feature.pool,
        input=request.overrides,
        trust_model_code=trust_model_code,
        kind=HeadOptions(head.kind),
        head=head,
        moved=weights,
    )
