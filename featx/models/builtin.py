"""The backbone that featx ships: nothing to download, nothing to choose."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx.errors import InvalidValue, ModelError, UnknownName, join_names
from featx.input_spec import InputSpec
from featx.models.backbone import Layer, ModelRequest
from featx.models.catalogue_entry import Measurement
from featx.models.content_hash import hash_arrays
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.specs import DEFAULT_MODEL, ModelSpec
from featx.wording import option

if TYPE_CHECKING:
    from featx.models.keras_layers import KerasLayers

MINI = "mini"
REFERENCE = "MobileNetV2 1.0"
"""The network that the built-in is compared with, as named in the measurements."""

DEFAULT_LAYER = "embedding"
"""The layer that is taken when none is named: the vector that was trained."""

WEIGHTS_FOLDER = Path(__file__).with_name("weights")


@dataclass(frozen=True, slots=True)
class BuiltinCard:
    """Facts about the built-in backbone: the content of ``weights/mini.json``."""

    parameters: int
    sha256: str
    measurements: tuple[Measurement, ...]

    def share_of(self, extractor: str, dataset: str) -> float:
        """Return the built-in's precision@10 as a share of another extractor's."""
        values = {m.extractor: m.precision_at_10 for m in self.measurements if m.dataset == dataset}
        return values[f"builtin:{MINI}"] / values[extractor]


@cache
def read_card() -> BuiltinCard:
    """Read what was measured when the weights were made."""
    data = json.loads((WEIGHTS_FOLDER / f"{MINI}.json").read_text(encoding="utf-8"))
    return BuiltinCard(
        parameters=data["parameters"],
        sha256=data["sha256"],
        measurements=tuple(Measurement(**line) for line in data["measurements"]),
    )


def describe_default() -> str:
    """Say in one line which backbone is taken when none is named, and how good it is."""
    card = read_card()
    datasets = dict.fromkeys(m.dataset for m in card.measurements)
    shares = join_names(
        [f"{card.share_of(REFERENCE, dataset):.0%} ({dataset})" for dataset in datasets],
        conjunction="and",
    )
    return (
        f"no {option('model')}: {DEFAULT_MODEL}, featx's own small network; its precision@10 is "
        f"{shares} of that of {REFERENCE}, which {option('model', 'keras:MobileNetV2')} takes (a "
        "download of 14 MB, once)"
    )


def load(request: ModelRequest) -> GraphBackbone:
    """Load the built-in backbone; see `featx.models.load_model`."""
    from featx.models.mini_network import MINI_SIZE
    from featx.models.mini_openvino import mini_graph

    if request.name != MINI:
        raise UnknownName("built-in model", request.name, [MINI], remedy=f"There is {MINI!r}.")
    if request.arguments or request.weights:
        raise InvalidValue(
            f"builtin:{MINI} has no constructor arguments and brings its weights. "
            f"Leave out the arguments and {option('weights')}."
        )
    size = request.overrides.size
    if size not in (None, (MINI_SIZE, MINI_SIZE)):
        raise InvalidValue(
            f"builtin:{MINI} takes images of {MINI_SIZE} x {MINI_SIZE} pixels. "
            f"Received: {option('img_size', size)}."
        )
    overrides = request.overrides
    if overrides.preprocess not in ("auto", "raw") or overrides.channel_order == "bgr":
        raise InvalidValue(
            f"builtin:{MINI} scales its pixels itself, from RGB in [0, 255]. "
            f"Leave out {option('preprocess')} and {option('channel_order')}."
        )
    contract = overrides.apply(InputSpec(MINI_SIZE, MINI_SIZE, scaling="raw"))
    arrays = read_weights(WEIGHTS_FOLDER / f"{MINI}.npz", read_card().sha256)
    spec = ModelSpec(
        source="builtin",
        name=MINI,
        arguments=(),
        location="builtin",
        weights_sha256=hash_arrays(arrays[name] for name in sorted(arrays)),
        input=contract,
    )
    layers = json.loads((WEIGHTS_FOLDER / f"{MINI}_layers.json").read_text(encoding="utf-8"))
    described = [Layer.from_dict(layer) for layer in layers]
    return GraphBackbone(
        ModelDescription(spec, described, len(layers), default_layer=DEFAULT_LAYER),
        lambda names: load_layers(arrays, contract).compile(names),
        build_graph=lambda names: mini_graph(arrays, names),
        find_layers=lambda: load_layers(arrays, contract),
    )


def load_layers(arrays: Mapping[str, np.ndarray], contract: InputSpec) -> KerasLayers:
    """Build the network for TensorFlow; ``mini_layers.json`` describes its layers."""
    from featx.models.keras_layers import KerasLayers
    from featx.models.mini_network import build_mini, set_weights

    model = build_mini()
    set_weights(model, arrays)
    return KerasLayers(model, contract)


def read_weights(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """Read the float16 arrays, ``layer/kernel`` and ``layer/bias``, after checking them."""
    repair = "Install featx again from where it came, with pip's --force-reinstall."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The built-in weights {str(path)!r} cannot be read ({error.strerror}). {repair}"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(
            f"The built-in weights {str(path)!r} are damaged: SHA-256 is not {sha256[:12]}... "
            f"{repair}"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
