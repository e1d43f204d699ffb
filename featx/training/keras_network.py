"""A Keras network from pixels to classes, whose layers can be trained one by one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import replace_file
from featx.deploy.head_layers import add_head
from featx.deploy.keras_model import take_network
from featx.deploy.pixels import scale
from featx.errors import ModelError
from featx.heads.operations import Affine, Operation
from featx.input_spec import InputSpec
from featx.models.backbone import Backbone
from featx.models.keras_part import keras_layers_of
from featx.models.keras_settings import build_apart
from featx.specs import FeatureSpec
from featx.training.freezing import LayerPlace, choose_trained
from featx.training.options import FreezingOptions
from featx.wording import command

VECTORS = "network"
"""The layer of a fine-tuned model that gives what its top takes."""


class TrainableNetwork:
    """A network from pixels in [0, 255], (B, H, W, C), to outputs (B, K).

    Args:
        model: The network, without the last operation of its top.
        layers: The layers of the backbone by their paths. All other layers belong to the top.
        places: Where these are in the backbone, in their order.

    Attributes:
        model: The network.
        input_shape: (H, W, C).
        num_outputs: K.
        places: See above.
    """

    def __init__(
        self, model: Any, layers: Mapping[str, Any], places: Sequence[LayerPlace] = ()
    ) -> None:
        self.model = model
        self.input_shape = tuple(model.inputs[0].shape[1:])
        self.num_outputs = int(model.outputs[0].shape[-1])
        self.places = places
        self._layers = layers

    @property
    def num_layers(self) -> int:
        """Layers of the backbone, up to the one that the head is on, that numbers count."""
        return _count_layers(self.places)

    @property
    def learning(self) -> tuple[str, ...]:
        """Paths of the layers of the backbone that training changes as it is now."""
        return tuple(path for path, layer in self._layers.items() if layer.trainable_weights)

    def freeze(self, trained: frozenset[str], *, train_batch_norm: bool) -> None:
        """Say which layers of the backbone are trained; the top always is."""
        for path, layer in self._layers.items():
            layer.trainable = path in trained
            for part in layer._flatten_layers():
                if _is_batch_norm(part) and not train_batch_norm:
                    part.trainable = False

    def release(self) -> None:
        """Let all layers be trained, as those of a network that somebody goes on with."""
        for layer in self._layers.values():
            for part in layer._flatten_layers():
                part.trainable = True

    def changing(self, trained: frozenset[str]) -> list[Any]:
        """Return the variables that training may change: of trained layers and of the top."""
        fixed = {
            id(variable)
            for path, layer in self._layers.items()
            if path not in trained
            for variable in layer.variables
        }
        return [
            variable
            for variable in self.model.variables
            if id(variable) not in fixed and "seed_generator_state" not in variable.path
        ]

    def set_policy(self, name: str) -> None:
        """Let all layers compute in another type; those of integers are left alone."""
        import keras

        policy = keras.dtype_policies.get(name)
        for layer in self.model._flatten_layers(include_self=False):
            if layer.dtype_policy.name in ("float32", "mixed_bfloat16"):
                layer.dtype_policy = policy


def refuse_untrainable(backbone: Backbone) -> None:
    """Refuse a model whose layers Keras does not have.

    Raises:
        ModelError: Says why, and what to do instead.
    """
    if keras_layers_of(backbone) is None:
        raise ModelError(
            f"{backbone.spec.reference!r} cannot be trained: it is a graph whose weights are "
            "constants, not a model of Keras. Name the same network as a Keras application or a "
            f".keras file, or fit a head on its frozen features with {command('fit-head')}."
        )


def make_network(
    backbone: Backbone, feature: FeatureSpec, operations: Sequence[Operation]
) -> TrainableNetwork:
    """Build the network that is trained from a backbone and a head on it.

    Args:
        backbone: The model. It is not changed.
        feature: The layer that the head is on, and its pooling.
        operations: The head's, without the last one of classes and labels.

    Raises:
        ModelError: If the backbone is not made of layers that Keras can take apart.
    """
    with _refusing(backbone):
        return build_apart(lambda: _make_network(backbone, feature, operations))


def refuse_layers(backbone: Backbone, layer: str, freezing: FreezingOptions) -> None:
    """Refuse, before anything is computed, what `make_network` and `choose_trained` would refuse.

    Args:
        backbone: The model, which has layers of Keras.
        layer: The one that the head is on.
        freezing: Which layers are to be trained.

    Raises:
        ModelError: If the backbone is not made of layers that Keras can take apart.
        UnknownName: If a layer does not exist.
        InvalidValue: If a number or range is outside the network, or a range is empty.
    """
    found = keras_layers_of(backbone)
    assert found is not None
    with _refusing(backbone):
        part = build_apart(lambda: found.take_part(layer))
    places = _place_layers(part, backbone)[1]
    choose_trained(places, _count_layers(places), freezing)


@contextlib.contextmanager
def _refusing(backbone: Backbone) -> Iterator[None]:
    """Say of a backbone that cannot be taken apart what to do instead."""
    try:
        yield
    except ModelError as error:
        raise ModelError(
            f"{backbone.spec.reference!r} cannot be trained: {error} Save it with Keras 3 as a "
            "network of keras.Sequential or keras.Model(inputs, outputs), or fit a head on its "
            f"frozen features with {command('fit-head')}."
        ) from error


def _make_network(
    backbone: Backbone, feature: FeatureSpec, operations: Sequence[Operation]
) -> TrainableNetwork:
    import keras

    network = take_network(backbone, feature)
    contract = backbone.spec.input
    pixels = keras.Input((contract.height, contract.width, contract.channels), name="pixels")
    outputs = add_head(network(scale(pixels, contract)), operations)
    layers, places = _place_layers(network, backbone)
    return TrainableNetwork(keras.Model(pixels, outputs), layers, places)


def _place_layers(network: Any, backbone: Backbone) -> tuple[dict[str, Any], list[LayerPlace]]:
    """Return the layers of a network by the paths that they have in the backbone, and these."""
    described = list(backbone.features())
    indices = {layer.name: layer.index for layer in described if layer.index is not None}
    by_name = {layer.name: layer for layer in network.layers}
    layers: dict[str, Any] = {}
    places: list[LayerPlace] = []
    for each in described:
        layer = by_name.pop(each.name.split("#")[0].split(":")[0].split("/")[-1], None)
        if layer is None:
            continue
        parts = each.name.split("/")
        outer = next(
            (path for n in range(len(parts)) if (path := "/".join(parts[: n + 1])) in indices), None
        )
        layers[each.name] = layer
        if outer is not None:
            places.append(LayerPlace(each.name, indices[outer]))
    return {**layers, **by_name}, places


def _count_layers(places: Sequence[LayerPlace]) -> int:
    return 1 + max((place.index for place in places), default=-1)


def trained_operations(
    network: TrainableNetwork, operations: Sequence[Operation]
) -> tuple[Operation, ...]:
    """Return the operations of a head with what training has made of them."""
    found: list[Operation] = []
    count = 0
    for operation in operations:
        if isinstance(operation, Affine):
            count += 1
            name = "head_affine" if count == 1 else f"head_affine_{count}"
            kernel, bias = network.model.get_layer(name).get_weights()
            found.append(Affine(np.ascontiguousarray(kernel.T), bias))
        else:
            found.append(operation)
    return tuple(found)


def save_network(
    network: TrainableNetwork, operations: Sequence[Operation], contract: InputSpec, path: Path
) -> None:
    """Write a network as a file of Keras that takes whole pixels, uint8 (B, H, W, C).

    Its layer `VECTORS` gives what the top takes.

    Args:
        network: The network.
        operations: Of its top, see `trained_operations`.
        contract: How it wants its pixels.
        path: The file.
    """

    def build() -> Any:
        import keras

        images = keras.Input(network.input_shape, dtype="uint8", name="images")
        body = network.model.get_layer(VECTORS)
        vectors = body(scale(keras.ops.cast(images, "float32"), contract))
        return keras.Model(images, add_head(vectors, operations), name="fine_tuned")

    model = build_apart(build)
    with replace_file(path) as temporary:
        named = temporary.with_suffix(".keras")  # By which Keras tells the format.
        try:
            model.save(named)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def _is_batch_norm(layer: Any) -> bool:
    return "BatchNorm" in type(layer).__name__
