"""Options whose values are the names in a registry: looked up when the command is used.

Written beside the option, `Choice` gives it what a ``Literal`` type would give it (the list in
the help text, completion, the error for any other value), without a second list of names::

    kind: Annotated[str, typer.Option(help="The kind of head."), Choice(lambda: HEADS.names)]
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal, get_args, get_origin

from typer.models import ParameterInfo


@dataclass(frozen=True, slots=True)
class Choice:
    """Marks the option of a command whose values are names.

    Attributes:
        names: Returns the names. It is called when the command is used or explains itself,
            not when its module is imported.
    """

    names: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Help:
    """Gives an option a help text that names what is in a registry.

    Attributes:
        text: Returns the text. It is called when the command is used or explains itself.
    """

    text: Callable[[], str]


def resolve_choices(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the names of its choices and help texts filled in, for Typer.

    Args:
        command: A function; parameters annotated ``Annotated[str, ..., Choice(...)]`` or
            ``Annotated[str | None, ..., Choice(...)]`` become choices, and options annotated with
            a `Help` get its text.

    Example:
        >>> def paint(color: Annotated[str, Choice(lambda: ("red", "blue"))] = "red") -> None: ...
        >>> get_args(inspect.signature(resolve_choices(paint)).parameters["color"].annotation)[0]
        typing.Literal['red', 'blue']
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [
        parameter.replace(annotation=_resolve(parameter.annotation))
        for parameter in signature.parameters.values()
    ]

    @wraps(command)
    def resolved(*arguments: Any, **options: Any) -> Any:
        return command(*arguments, **options)

    resolved.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    resolved.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return resolved


def is_choice(command: Callable[..., Any], name: str | None) -> bool:
    """Whether the values of a parameter are names in a registry."""
    parameter = inspect.signature(command, eval_str=True).parameters.get(name or "")
    annotations = () if parameter is None else get_args(parameter.annotation)
    return any(isinstance(one, Choice) for one in annotations)


def _resolve(annotation: Any) -> Any:
    """Replace the type of an option with a `Choice`, and the help of one with a `Help`."""
    if get_origin(annotation) is not Annotated:
        return annotation
    type_, *others = get_args(annotation)
    for marker in others:
        if isinstance(marker, Choice):
            names: Any = Literal[tuple(marker.names())]
            type_ = names | None if type(None) in get_args(type_) else names
        elif isinstance(marker, Help):
            others = [_with_help(other, marker.text()) for other in others]
    return Annotated[(type_, *others)]


def _with_help(other: Any, text: str) -> Any:
    if not isinstance(other, ParameterInfo):
        return other
    changed = copy(other)
    changed.help = text
    return changed
