"""Fakes with outputs that can be computed by hand, and contract tests: for add-ons, too."""

from __future__ import annotations

from featx.testing.images import write_images
from featx.testing.toy import TOY_SIZE, ToyBackbone, register_toy_model, toy_model

__all__ = ["TOY_SIZE", "ToyBackbone", "register_toy_model", "toy_model", "write_images"]
