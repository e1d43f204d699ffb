"""Running models: which engine, in which precision, with what the cache remembers."""

from __future__ import annotations

from featx.inference.accelerated import AcceleratedBackbone
from featx.inference.request import EngineRequest

__all__ = ["AcceleratedBackbone", "EngineRequest"]
