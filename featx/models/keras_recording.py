"""Recording the calls of Keras layers while a model runs once on symbols."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from featx.forks import ProcessLock
from featx.models.keras_calls import Call
from featx.models.lineage import Lineage

_recording = ProcessLock()

_NOT_IN_SCOPES = re.compile(r"[^A-Za-z0-9_.\\/>-]")
"""What TensorFlow does not take in the names of operations, but Keras in those of layers."""


@dataclass(slots=True)
class Trace:
    """The calls of one trace, and what the model returned.

    Attributes:
        calls: In the order in which they ended.
        results: What the model returned.
        lineage: What each result of a call comes from, for describing layers.
        opens: Whether the layers inside nested models are called instead of these.
    """

    calls: list[Call] = field(default_factory=list)
    results: Any = None
    lineage: Lineage | None = None
    opens: bool = False


class LastCallSeen(BaseException):
    """Ends a trace early. Not an `Exception`, which Keras would catch and reword."""


def is_open(layer: Any) -> bool:
    """Whether a layer is a model of Keras 3 that is nothing but the layers inside it."""
    kind = type(layer)
    is_keras = kind.__module__.startswith("keras.src.models.")
    return is_keras and kind.__name__ in ("Functional", "Sequential")


def name_calls(calls: Sequence[Call]) -> Iterator[tuple[str, int]]:
    """Yield the name of each layer that was called, ``#2`` for a second call, and its number."""
    times = Counter(call.path for call in calls)
    seen: Counter[str] = Counter()
    for number, call in enumerate(calls):
        seen[call.path] += 1
        yield (f"{call.path}#{seen[call.path]}" if times[call.path] > 1 else call.path), number


@contextlib.contextmanager
def record_calls(trace: Trace, last: int | None, layer_class: Any) -> Iterator[None]:
    """Append each layer call below the outermost model; stop after call number `last`.

    Every layer call passes through `Layer.__call__`, also those that the functional graph makes;
    it is wrapped for the time of one trace.
    """
    original = layer_class.__call__
    owner = threading.get_ident()
    stack: list[str] = []

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(self, *args, **kwargs)
        stack.append(self.name)
        path = "/".join(stack[1:])
        try:
            with _valid_scope(self):
                call = type(self).call if trace.opens and is_open(self) else original
                outputs = call(self, *args, **kwargs)
        finally:
            stack.pop()
        if trace.lineage is not None:
            trace.lineage.record(self, (args, kwargs), outputs)
        if path:
            calls = trace.calls
            calls.append(Call(path, self, by_suffix(outputs)))
            if len(calls) - 1 == last:
                raise LastCallSeen
        return outputs

    with _recording:
        layer_class.__call__ = recorded
        try:
            yield
        finally:
            layer_class.__call__ = original


@contextlib.contextmanager
def _valid_scope(layer: Any) -> Iterator[None]:
    """Give a layer a name that TensorFlow takes for operations, if its own has other signs."""
    name = layer.name
    valid = _NOT_IN_SCOPES.sub("_", name)
    if valid == name:
        yield
        return
    layer.name = valid
    try:
        yield
    finally:
        layer.name = name


def by_suffix(outputs: Any) -> dict[str, Any]:
    """Return each tensor under the suffix that names it: none for a single output."""
    if isinstance(outputs, dict):
        return {f":{key}": tensor for key, tensor in outputs.items()}
    if isinstance(outputs, (list, tuple)) and len(outputs) != 1:
        return {f":{position}": tensor for position, tensor in enumerate(outputs)}
    return {"": outputs[0] if isinstance(outputs, (list, tuple)) else outputs}
