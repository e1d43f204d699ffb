"""Running models: which engine, in which precision, with what the cache remembers.

Names are imported when they are first used: who only asks for an engine does not choose one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.late_names import import_when_used

if TYPE_CHECKING:
    from featx.inference.accelerated import AcceleratedBackbone as AcceleratedBackbone
    from featx.inference.request import EngineRequest as EngineRequest

_PUBLIC = {
    "AcceleratedBackbone": "featx.inference.accelerated",
    "EngineRequest": "featx.inference.request",
}

__all__ = list(_PUBLIC)

if not TYPE_CHECKING:  # For type checkers, every name would then exist.
    __getattr__ = import_when_used(__name__, _PUBLIC)
