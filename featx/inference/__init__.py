"""Running models: which engine, in which precision, with what the cache remembers."""

from __future__ import annotations

from featx.inference.accelerated import AcceleratedBackbone, check_engine

__all__ = ["AcceleratedBackbone", "check_engine"]
