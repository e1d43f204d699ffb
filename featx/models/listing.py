"""`featx.layers`: what features can be taken from in a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from featx.arguments import check_given_flag, plain_arguments
from featx.checks.layers import check_layers
from featx.checks.libraries import require_library
from featx.checks.texts import check_path
from featx.input_spec import InputSpec
from featx.keywords import LoadKeywords
from featx.models.backbone import Backbone, Described, Layer
from featx.models.in_memory import add_signature, check_given_model
from featx.models.loading import load_model, read_request
from featx.models.reference import parse_reference
from featx.models.selection import select_layers
from featx.models.sources import SOURCES
from featx.options import InputOptions, fill_group
from featx.shown import Shown
from featx.trust import GivenTrust

if TYPE_CHECKING:
    import pandas


class LayerTable(Shown, Sequence[Layer]):
    """Layers of a model, in the order of computation: a sequence of `Layer`.

    Args:
        described: What is known of the model.
        layers: The layers that are listed.
        load: Loads the model, if what is known of it is not the model itself.

    Attributes:
        described: What is known of the model: its input, and what a person should know.

    Example:
        >>> table = layers("builtin:mini", "block*_pool")
        >>> [layer.name for layer in table][:2], table[0].shape
        (['block1_pool', 'block2_pool'], (16, 16, 48))
    """

    def __init__(
        self, described: Described, layers: Sequence[Layer], load: Callable[[], Backbone]
    ) -> None:
        self.described = described
        self._layers = tuple(layers)
        self._load = load

    @property
    def backbone(self) -> Backbone:
        """The model, which is built now if its layers were known without that."""
        return self._load()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the layers, as ``layer=`` takes them."""
        return tuple(layer.name for layer in self)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame of pandas with a row for each layer.

        Its columns are the fields of ``featx layers --json``.

        Raises:
            LibraryMissing: If pandas is not installed.
        """
        library = require_library("pandas", "to_pandas")
        contract = self.described.spec.input
        return library.DataFrame([describe_layer(layer, contract) for layer in self])

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    @overload
    def __getitem__(self, place: int) -> Layer: ...
    @overload
    def __getitem__(self, place: slice) -> LayerTable: ...
    def __getitem__(self, place: int | slice) -> Layer | LayerTable:
        if isinstance(place, slice):
            return LayerTable(self.described, self._layers[place], self._load)
        return self._layers[place]


@plain_arguments(InputOptions, model=check_given_model, pattern=check_layers, all=check_given_flag)
def layers(
    model: Any,
    pattern: str | int | Sequence[str | int] | None = None,
    *,
    weights: str | Path | None = None,
    signature: str | None = None,
    all: bool = False,
    trust_model_code: GivenTrust = False,
    input: InputOptions | None = None,
    **options: Unpack[LoadKeywords],
) -> LayerTable:
    """List what features can be taken from in a model, as ``featx layers`` does.

    Args:
        model: As in `load_model`.
        pattern: Only layers that match: names, indices, globs or ends of paths.
        weights: Of a Keras application; ``random`` when None: there is nothing to download.
        signature: Of a SavedModel or module: the one to take.
        all: Also the steps inside the layers of a graph.
        trust_model_code: See `featx.load_model`.
        input: Changes to how pictures become the model's pixels; shapes are those at this size.
        options: Fields of `input` as keywords, such as ``img_size=(224, 320)``.

    Returns:
        The layers: ``print`` shows a table, and so does a notebook.

    Raises:
        UnknownName: If there is no such model, or no layer matches.
        ModelError: If the model cannot be loaded.

    Example:
        >>> table = layers("builtin:mini", "embedding")
        >>> table.names, table[0].shape
        (('embedding',), (256,))
    """
    if isinstance(model, str):
        weights = weights or SOURCES[parse_reference(model)[0]].weights_to_describe
    reference = add_signature(check_given_model("model", model), signature)
    changes = fill_group(InputOptions, input, options)

    @cache
    def load() -> Backbone:
        return load_model(
            reference, weights=weights, input=changes, trust_model_code=trust_model_code
        )

    source, request = read_request(
        reference, check_path("weights", weights), changes, trust_model_code
    )
    described = SOURCES[source].describe(request) or load()
    listed = described.features()
    if pattern:
        listed = select_layers(check_layers("pattern", pattern), listed, described.num_layers)
    elif not all:
        listed = [layer for layer in listed if not layer.is_detail]
    return LayerTable(described, listed, load)


def describe_layer(layer: Layer, contract: InputSpec) -> dict[str, Any]:
    """Return what is known of a layer as JSON-serialisable values."""
    return {
        "index": layer.index,
        "name": layer.name,
        "kind": layer.kind,
        "type": layer.type or None,
        "shape": list(layer.shape),
        "stride": layer.stride(contract.height),
        "receptive_field": layer.receptive_field,
        "parameters": layer.parameters,
        "own_parameters": layer.own_parameters,
        "trainable": layer.trainable,
        "dtype": layer.dtype or None,
        "bytes": layer.num_bytes,
        "detail": layer.is_detail,
    }
