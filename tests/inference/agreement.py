"""How far two engines are apart, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featx.events import Listener
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.inference.agreement import lowest_cosine
from featx.models.backbone import Backbone

LOWEST_COSINE = 0.9999
LARGEST_ERROR = 1e-3
"""Of the difference, as a share of the largest value of the layer."""


@dataclass(frozen=True)
class Agreement:
    """One layer: lowest cosine of an image's row, and largest relative error."""

    cosine: float
    error: float


def pixels_for(backbone: Backbone, count: int = 2) -> np.ndarray:
    """Make pictures of smooth areas and noise, as photographs have both."""
    contract = backbone.spec.input
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (count, 4, 4, contract.channels))
    repeats = -(-contract.height // 4), -(-contract.width // 4)
    smooth = coarse.repeat(repeats[0], axis=1).repeat(repeats[1], axis=2)
    smooth = smooth[:, : contract.height, : contract.width]
    return np.clip(smooth + random.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)


def spread_layers(backbone: Backbone, count: int = 6) -> list[str]:
    """Choose layers from the first to the last, evenly over the depth."""
    names = [layer.name for layer in backbone.features() if None not in layer.shape]
    places = np.linspace(0, len(names) - 1, count).round().astype(int)
    return list(dict.fromkeys(names[place] for place in places))


def compare_engines(
    backbone: Backbone, names: Sequence[str], pixels: np.ndarray | None = None
) -> dict[str, Agreement]:
    """Compute layers on both engines in float32; OpenVINO must take the model."""
    pixels = pixels_for(backbone) if pixels is None else pixels
    notes: list[str] = []
    listener = Listener()
    listener.note = notes.append  # type: ignore[method-assign]
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"), listener=listener)
    received = fast(pixels, names)
    assert fast.run_facts["engine"] == "openvino", notes
    expected = backbone(pixels, names)
    result = {}
    for name in names:
        assert received[name].shape == expected[name].shape, name
        assert received[name].dtype == np.float32
        largest = float(np.abs(expected[name]).max())
        assert 0 < largest < np.inf, name
        difference = float(np.abs(received[name] - expected[name]).max())
        result[name] = Agreement(
            lowest_cosine(expected[name], received[name]), difference / largest
        )
    return result


def check_agreement(
    backbone: Backbone, names: Sequence[str], pixels: np.ndarray | None = None
) -> dict[str, Agreement]:
    """Compare engines, and refuse what is further apart than featx promises."""
    found = compare_engines(backbone, names, pixels)
    for name, agreement in found.items():
        assert agreement.cosine >= LOWEST_COSINE, (name, agreement)
        assert agreement.error <= LARGEST_ERROR, (name, agreement)
    return found
