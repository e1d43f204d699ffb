"""Options that belong together, declared once and passed on as one object.

A function that makes a group declares its options as a command does. A command names it beside the
type of a parameter, and gets what the function returns::

    @spread_groups
    def count(*, selection: Annotated[Selection, Group(make_selection)]) -> None: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin


@dataclass(frozen=True, slots=True)
class Group:
    """Marks the parameter of a command that is made of several options.

    Attributes:
        make: Takes the options and returns the group.
    """

    make: Callable[..., Any]


def spread_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that takes the options of its groups in place of the groups.

    Args:
        command: A function; parameters annotated ``Annotated[..., Group(...)]`` are groups.

    Example:
        >>> def make_size(height: int = 1, width: int = 2) -> tuple[int, int]:
        ...     return height, width
        >>> def paint(*, size: Annotated[tuple[int, int], Group(make_size)]) -> str:
        ...     return f"{size[0]} x {size[1]}"
        >>> spread = spread_groups(paint)
        >>> list(inspect.signature(spread).parameters), spread(height=3, width=4)
        (['height', 'width'], '3 x 4')
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Callable[..., Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        group = _find_group(parameter.annotation)
        if group is None:
            parameters.append(parameter)
        else:
            groups[parameter.name] = group.make
            parameters.extend(_options(group))
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]

    @wraps(command)
    def spread(**options: Any) -> Any:
        for name, make in groups.items():
            taken = inspect.signature(make).parameters
            options[name] = make(**{option: options.pop(option) for option in taken})
        return command(**options)

    spread.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {one.name: one.annotation for one in parameters}
    return spread


def _find_group(annotation: Any) -> Group | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((one for one in get_args(annotation) if isinstance(one, Group)), None)


def _options(group: Group) -> list[inspect.Parameter]:
    return list(inspect.signature(group.make, eval_str=True).parameters.values())
