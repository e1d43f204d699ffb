"""Models that are objects of the calling program, as references to them are passed around."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from featx.checks.messages import describe_value
from featx.checks.texts import check_text
from featx.errors import InvalidType, InvalidValue, ModelError
from featx.models.reference import add_arguments
from featx.models.sources import SOURCES, usable_sources
from featx.wording import either, option

LOCATION = "memory"
"""Where a model is that is in no file, in `ModelSpec.location`."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """A model of the calling program. Nothing of it is changed.

    Attributes:
        model: The object.
        source: The model source that takes it.
        name: What messages and stores call it.
        arguments: What is taken of it, as after the name of a file.
    """

    model: Any
    source: str
    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """What identifies it, as it is now."""
        return f"{self.source}:{SOURCES[self.source].identify(self.model)}"

    def with_arguments(self, **arguments: Any) -> InMemory:
        """Return it with further arguments; those that are None are left out."""
        given = tuple((key, value) for key, value in arguments.items() if value is not None)
        return replace(self, arguments=(*self.arguments, *given))


Reference = str | InMemory
"""A model as it is passed around: text, or an object."""


def check_model(name: str, value: object) -> Reference | None:
    """Return a model that was passed in Python: text for texts, paths and Keras's functions.

    Raises:
        InvalidType: If no source of models takes such an object.
        InvalidValue: If it is an empty text.

    Example:
        >>> from pathlib import PurePosixPath
        >>> check_model("model", PurePosixPath("nets", "own.keras"))
        'nets/own.keras'
    """
    if value is None or isinstance(value, InMemory):
        return value
    if isinstance(value, str) and not value.strip():
        raise InvalidValue(f"{name!r} takes the name or path of a model. Received: {value!r}.")
    if isinstance(value, str):
        return check_text(name, value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    for source, reader in usable_sources():
        taken = reader.take(value)
        if taken is not None:
            return taken if taken.startswith(f"{source}:") else InMemory(value, source, taken)
    libraries = {each.__module__.split(".")[0] for each in type(value).__mro__}
    if "tensorflow" in libraries and libraries.isdisjoint(("keras", "tf_keras")):
        raise InvalidType(
            f"{name!r} takes a model of Keras, a tf.Module, a tf.function, or the name or path of "
            f"a model. Received: {type(value).__name__}, of TensorFlow."
        )
    raise InvalidType(
        f"{name!r} takes the name or path of a model, or a model of Keras. Received: "
        f"{describe_value(value)}."
    )


def check_given_model(name: str, value: Any) -> Reference:
    """Return a model that was passed; refuse None."""
    model = check_model(name, value)
    if model is None:
        raise InvalidType(f"{name!r} takes a model, see featx.load_model. Received: None.")
    return model


def add_signature(model: Reference, signature: str | None) -> Reference:
    """Return a model of which a signature is taken, if one was named."""
    if isinstance(model, InMemory):
        return model.with_arguments(signature=signature)
    return add_arguments(model, signature=signature)


def refuse_absent(reference: str, spellings: Sequence[str]) -> ModelError:
    """Return the error for a recorded model that was in memory, where nothing stands for it.

    Args:
        reference: The model as recorded.
        spellings: How it is named when it is saved; none if the saved one is another model.
    """
    if not spellings:
        return ModelError(
            f"The model {reference!r} that made these features was in memory, in no file. "
            + either(
                shell="Only Python can pass it: featx.search(..., model=...)",
                python="Pass the model itself: model=...",
            )
            + ". To name a model instead, save it, and extract again from its folder."
        )
    return ModelError(
        f"The model {reference!r} that made these features was in memory, in no file. Save it "
        "there (model.save('net.keras')), and say where it is with "
        f"{option('weights', 'net.keras')}"
        + either(shell="", python=", or pass the model itself: model=...")
        + "."
    )
