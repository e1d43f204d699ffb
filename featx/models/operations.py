"""The operations of TensorFlow and what each may do: the tables of ``operations.txt``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

_COMPUTES = "[computes] "
_NEEDS_TRUST = "[needs trust] "


@dataclass(frozen=True, slots=True)
class OperationGroup:
    """Operations that do the same kind of thing.

    Attributes:
        computes: Whether models may use them without being trusted.
        title: What they are; for those that need trust, what they do: "reads files".
        names: As TensorFlow registers them.
    """

    computes: bool
    title: str
    names: tuple[str, ...]


@functools.cache
def operation_groups() -> tuple[OperationGroup, ...]:
    """Read the groups of both tables, in the order of the file (0.4 ms)."""
    found: list[tuple[bool, str, list[str]]] = []
    text = (resources.files("featx.models") / "operations.txt").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith((_COMPUTES, _NEEDS_TRUST)):
            found.append((line.startswith(_COMPUTES), line.partition("] ")[2], []))
        elif line and not line.startswith("#"):
            found[-1][2].extend(line.split())
    return tuple(OperationGroup(computes, title, tuple(names)) for computes, title, names in found)


@functools.cache
def computing_operations() -> frozenset[str]:
    """Return the operations that only compute.

    Example:
        >>> "Conv2D" in computing_operations(), "ReadFile" in computing_operations()
        (True, False)
    """
    return frozenset(name for group in operation_groups() if group.computes for name in group.names)


@functools.cache
def operations_that_need_trust() -> Mapping[str, str]:
    """Return the operations that do more than compute, and what each does: "reads files"."""
    groups = [group for group in operation_groups() if not group.computes]
    return {name: group.title for group in groups for name in group.names}


def describe_operation(name: str) -> str:
    """Name an operation that needs trust, and say why.

    Example:
        >>> describe_operation("ReadFile")
        'the operation ReadFile, which reads files'
    """
    does = operations_that_need_trust().get(name)
    return f"the operation {name}, which {does}" if does else f"the unknown operation {name!r}"
