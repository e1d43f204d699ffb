"""`Form`, a form of an engine's network that is read, or made, only if something needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featx.engines.engines import ComputeType, Network, NetworkSettings
from featx.inference.memory import EngineMemory


class LostNetwork(Exception):
    """A network that was thought to be in the cache cannot be read: it has to be converted."""


@dataclass(slots=True)
class Form:
    """A form of an engine's network, to be opened with some settings.

    Attributes:
        memory: The engine's, for the layers.
        name: What the form is called there.
        load: Reads or makes the engine's model.
        is_known: Whether it was compared in an earlier run: then what is compiled of it is kept.
    """

    memory: EngineMemory
    name: str
    load: Callable[[], Any]
    is_known: bool

    def get(self) -> Any:
        """Return the engine's model.

        Raises:
            LostNetwork: If it is not in the cache any more.
            NotConvertible: If there is none for this form.
        """
        model = self.load()
        self.load = lambda: model
        return model

    def prepare(self, precision: ComputeType) -> Form:
        """Return the form that is opened in a precision, made from this one where none is kept."""

        def load() -> Any:
            prepared = self.memory.find(precision)
            if prepared is None:
                model = self.get()
                prepared = self.memory.engine.prepare(model, precision)
                if prepared is not model:
                    self.memory.keep(prepared, precision)
            return prepared

        return Form(self.memory, precision, load, self.is_known)

    def find_compiled(self, settings: NetworkSettings) -> Network | None:
        """Open the network as an earlier run has compiled it; None if it has to be compiled."""
        return self.memory.find_compiled(self.name, settings) if self.is_known else None

    def compile(self, settings: NetworkSettings) -> Network:
        """Open the network, and keep what was compiled for later runs.

        Raises:
            LostNetwork: If it is not in the cache any more.
            NotConvertible: If the engine cannot open it.
        """
        network = self.memory.engine.open(self.get(), settings)
        if self.is_known:
            self.memory.keep_compiled(network, self.name, settings)
        return network


def kept_form(memory: EngineMemory, name: str) -> Form | None:
    """Return a form that is in the cache, without looking into it; None if it is not there."""

    def read() -> Any:
        model = memory.find(name)
        if model is None:
            raise LostNetwork(name)
        return model

    return Form(memory, name, read, is_known=True) if memory.touch(name) else None
