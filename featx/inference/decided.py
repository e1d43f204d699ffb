"""A network that was decided on once, and is opened in the same way by everyone who computes."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.engines import ENGINES
from featx.errors import FingerprintMismatch
from featx.inference.accelerated import AcceleratedBackbone
from featx.inference.request import EngineRequest
from featx.models import load_model
from featx.models.in_memory import Reference
from featx.models.reference import with_full_path
from featx.options import InputOptions
from featx.specs import ModelSpec, as_recorded, identity_differences, with_input
from featx.trust import GivenTrust, check_trust


@dataclass(frozen=True, slots=True)
class DecidedNetwork:
    """A model, its layers, and what computes them: nothing is left to choose.

    Attributes:
        model: The model's reference.
        weights: Of a Keras application.
        input: How pictures become pixels.
        trust_model_code: Which code of the model may run.
        spec: What the model is found to be.
        layers: The layers.
        engine: Engine and precision.
        first_batch: Images of the batch that the network is opened for.
    """

    model: Reference
    weights: str | None
    input: InputOptions
    trust_model_code: GivenTrust
    spec: ModelSpec
    layers: tuple[str, ...]
    engine: EngineRequest
    first_batch: int

    def __post_init__(self) -> None:
        # It is opened by processes that work in other folders.
        if isinstance(self.model, str):
            object.__setattr__(self, "model", with_full_path(self.model))
        if self.weights is not None and os.path.exists(self.weights):
            object.__setattr__(self, "weights", os.path.abspath(self.weights))
        trust = check_trust("trust_model_code", self.trust_model_code)
        object.__setattr__(self, "trust_model_code", trust)

    def open(self) -> AcceleratedBackbone:
        """Load the model, and open its network.

        Raises:
            FingerprintMismatch: If another model is found here.
            FeatxError: If the model cannot be loaded, as `featx.load_model`.
        """
        loaded = load_model(
            self.model,
            weights=self.weights,
            input=self.input,
            trust_model_code=self.trust_model_code,
        )
        contract = self.spec.input  # How it decodes, no model says itself.
        found = with_input(
            loaded.spec, decode=contract.decode, decode_margin=contract.decode_margin
        )
        differences = identity_differences(
            self.spec.identity(), as_recorded(found, self.spec).identity()
        )
        if differences:
            raise FingerprintMismatch(
                f"{socket.gethostname()} has another model than the machine that began.",
                differences,
                remedy="Give all machines the same files, and the same version of featx.",
            )
        loaded.spec = self.spec
        backbone = AcceleratedBackbone(loaded, self.engine)
        backbone(make_noise(self.spec, self.first_batch), self.layers)
        return backbone


def make_noise(spec: ModelSpec, count: int) -> np.ndarray:
    """Return pixels that suit a model, always the same: uint8 (count, H, W, C)."""
    shape = (count, spec.input.height, spec.input.width, spec.input.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def request_chosen(facts: Mapping[str, Any]) -> EngineRequest:
    """Return the request that leaves nothing to choose; toys are engines of their own.

    Args:
        facts: See `AcceleratedBackbone.run_facts`.
    """
    if facts.get("engine") not in ENGINES:
        return EngineRequest()
    return EngineRequest(
        facts["engine"],
        facts.get("precision", "float32"),
        quantized=facts.get("quantization", {}).get("network", ""),
    )
