"""What every model source must keep: subclass `ModelSourceContract`, and give it a model.

Write it like this, for a source ``mine``::

    @pytest.fixture(scope="module")
    def my_model(tmp_path_factory):
        return write_my_model(tmp_path_factory.mktemp("model"))

    class TestMySource(ModelSourceContract):
        @pytest.fixture
        def case(self, my_model):
            return ModelCase(f"mine:{my_model}", ("block1", "embedding"), path=my_model)
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from featx.engines.engines import ENGINES, NetworkSettings
from featx.errors import FeatxError
from featx.models import SOURCES, load_model, restore_model
from featx.models.backbone import Backbone, ModelRequest
from featx.models.reference import TRUST, parse_reference
from featx.models.selection import select_layers
from featx.options import InputOptions
from featx.specs import ModelSpec
from featx.trust import check_trust

TOLERANCE = 1e-5
"""How far values of one layer may differ, as a share of the largest of them, between batches."""


@dataclass(frozen=True)
class ModelCase:
    """A small model on which a source is tested.

    Attributes:
        reference: What ``-m`` takes.
        layers: At least two of its layers, as ``--layer`` names them.
        path: Its file or folder; None for a model that is known by its name.
        input: How it wants its pixels, where it does not say so itself.
        weights: What ``--weights`` takes.
    """

    reference: str
    layers: tuple[str, ...]
    path: Path | None = None
    input: InputOptions = field(default_factory=InputOptions)
    weights: str | None = None

    def request(self, input: InputOptions) -> ModelRequest:
        """Return what the source is asked for."""
        source, name, arguments = parse_reference(self.reference)
        trusted = check_trust(TRUST, arguments.pop(TRUST, False))
        is_bare = not self.reference.startswith(f"{source}:")
        return ModelRequest(name, arguments, self.weights, input, trusted, is_bare)

    def load(self) -> Backbone:
        """Load the model."""
        return load_model(self.reference, weights=self.weights, input=self.input)

    def load_unchecked(self, input: InputOptions) -> Backbone:
        """Load the model as its source does, without what featx checks afterwards."""
        source, _, _ = parse_reference(self.reference)
        return SOURCES[source].load(self.request(input))


@lru_cache(maxsize=1)
def load_once(case: ModelCase) -> Backbone:
    """Return the model that was loaded last, if it is asked for again."""
    return case.load()


class ModelSourceContract:
    """Tests of a source; a subclass gives the fixture ``case``."""

    @pytest.fixture
    def backbone(self, case: ModelCase) -> Backbone:
        """Return the loaded model."""
        return load_once(case)

    @pytest.fixture
    def images(self, backbone: Backbone) -> np.ndarray:
        """Return four images of noise, of the size that the model takes."""
        contract = backbone.spec.input
        shape = (4, contract.height, contract.width, contract.channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    @pytest.fixture
    def names(self, case: ModelCase, backbone: Backbone) -> list[str]:
        """Return the full names of the layers of the case."""
        return [layer.name for layer in select_layers(case.layers, backbone.features())]

    def test_the_source_is_in_the_registry(self, case: ModelCase, backbone: Backbone) -> None:
        """The name in the model's spec finds the source that loaded it."""
        source, _, _ = parse_reference(case.reference)
        assert backbone.spec.source == source
        assert source in SOURCES
        spellings = SOURCES[source].spellings
        assert spellings
        assert all(text.partition(":")[0] == source for text in spellings)

    def test_what_is_described_without_loading_is_what_is_loaded(
        self, case: ModelCase, backbone: Backbone
    ) -> None:
        """A list of layers does not depend on whether the model was loaded for it."""
        described = SOURCES[backbone.spec.source].describe(case.request(case.input))
        if described is not None:
            assert list(described.features()) == list(backbone.features())
            assert described.num_layers == backbone.num_layers
            assert described.spec.reference == backbone.spec.reference
            assert described.spec.input == backbone.spec.input
            assert list(described.notes) == list(backbone.notes)
            assert described.beginning == backbone.beginning

    def test_layers_have_names_of_their_own(self, backbone: Backbone) -> None:
        """No two layers share a name."""
        names = [layer.name for layer in backbone.features()]
        assert len(set(names)) == len(names)

    def test_every_layer_has_the_shape_that_it_states(
        self, backbone: Backbone, images: np.ndarray
    ) -> None:
        """Results are float32, one row for each image."""
        layers = [layer for layer in backbone.features() if layer.num_bytes is not None]
        assert layers
        result = backbone(images[:2], [layer.name for layer in layers])
        for layer in layers:
            assert result[layer.name].shape == (2, *layer.shape), layer.name
            assert result[layer.name].dtype == np.float32, layer.name

    def test_layers_together_are_what_they_are_alone(
        self, backbone: Backbone, images: np.ndarray, names: list[str]
    ) -> None:
        """What else is asked for changes no numbers; results are in the order asked for."""
        together = backbone(images, names)
        assert list(together) == names
        for name in names:
            alone = backbone(images, [name])[name]
            assert np.abs(alone).max() > 0, name
            assert_close(together[name], alone, name)

    @pytest.mark.parametrize("size", [1, 3])
    def test_batches_of_any_size_give_the_same(
        self, backbone: Backbone, images: np.ndarray, names: list[str], size: int
    ) -> None:
        """A row depends on its image alone."""
        whole = backbone(images, names)
        for start in range(0, len(images), size):
            part = backbone(images[start : start + size], names)
            for name in names:
                assert_close(part[name], whole[name][start : start + size], name)

    def test_arrays_are_the_callers(
        self, backbone: Backbone, images: np.ndarray, names: list[str]
    ) -> None:
        """Pixels are not changed, and results are not used for the next call."""
        pixels = images.copy()
        first = backbone(pixels, names)
        kept = {name: values.copy() for name, values in first.items()}
        backbone(255 - pixels, names)
        np.testing.assert_array_equal(pixels, images)
        for name in names:
            np.testing.assert_array_equal(first[name], kept[name])

    def test_a_frozen_graph_gives_the_same(
        self, backbone: Backbone, images: np.ndarray, names: list[str]
    ) -> None:
        """Engines compute from the graph what the backbone computes itself; if there is one."""
        graph = backbone.freeze(names)
        if graph is None:
            return
        assert list(graph.outputs) == names
        expected = backbone(images, names)
        engines = [ENGINES[name] for name in ENGINES if graph.form in ENGINES[name].forms]
        assert engines, f"no engine takes graphs of the form {graph.form!r}"
        for engine in engines:
            model = engine.convert(graph, backbone.spec.input)
            network = engine.open(model, NetworkSettings(tuple(names), "float32", 2, len(images)))
            received = network(images)
            for name in names:
                assert_close(received[name], expected[name], f"{name} on {engine.name}", 1e-4)

    def test_a_moved_model_is_the_same_model(
        self, case: ModelCase, backbone: Backbone, tmp_path: Path
    ) -> None:
        """Content decides the identity; a name on the disk does not."""
        if case.path is None:
            assert case.load().spec.fingerprint == backbone.spec.fingerprint
            return
        moved = tmp_path / f"moved{case.path.suffix}"
        (shutil.copytree if case.path.is_dir() else shutil.copy)(case.path, moved)
        reference = case.reference.replace(str(case.path), str(moved))
        other = replace(case, reference=reference).load()
        assert other.spec.fingerprint == backbone.spec.fingerprint
        restored = restore_model(backbone.spec, weights=str(moved))
        assert restored.spec.fingerprint == backbone.spec.fingerprint

    def test_a_model_is_restored_from_what_is_recorded(
        self, backbone: Backbone, images: np.ndarray, names: list[str]
    ) -> None:
        """The spec goes through JSON, and loads the same model with the same numbers."""
        spec = ModelSpec.from_dict(json.loads(json.dumps(backbone.spec.to_dict())))
        restored = restore_model(spec)
        assert restored.spec == backbone.spec
        assert tuple(restored.features()) == tuple(backbone.features())
        before, after = backbone(images, names), restored(images, names)
        for name in names:
            assert_close(after[name], before[name], name)

    def test_run_facts_say_what_computes_it(self, backbone: Backbone, names: list[str]) -> None:
        """They name engine and precision; a model without them has a graph for other engines."""
        facts = backbone.run_facts
        if not facts:
            assert backbone.freeze(names) is not None, "run_facts is empty, and there is no graph"
            return
        for fact in ("engine", "precision"):
            assert isinstance(facts.get(fact), str), f"run_facts names no {fact}: {dict(facts)}"

    def test_another_size_is_obeyed_or_refused(self, case: ModelCase, backbone: Backbone) -> None:
        """The input contract of what is loaded has the size that was asked for."""
        contract = backbone.spec.input
        size = (2 * contract.height, 2 * contract.width)
        try:
            other = case.load_unchecked(replace(case.input, img_size=size))
        except FeatxError:
            return
        assert (other.spec.input.height, other.spec.input.width) == size, "img_size was ignored"

    def test_another_way_to_fit_images_is_obeyed(self, case: ModelCase, backbone: Backbone) -> None:
        """featx itself resizes and turns images, by the input contract of what is loaded."""
        contract = backbone.spec.input
        changed = replace(
            case.input,
            resize="pad" if contract.resize == "crop" else "crop",
            exif="apply" if contract.exif == "ignore" else "ignore",
        )
        received = case.load_unchecked(changed).spec.input
        assert received.resize == changed.resize, "resize was ignored"
        assert received.exif == changed.exif, "exif was ignored"

    def test_pixels_prepared_in_another_way_are_another_model(self, backbone: Backbone) -> None:
        """The input contract is part of the identity."""
        changed = replace(backbone.spec.input, resize="crop")
        assert replace(backbone.spec, input=changed).fingerprint != backbone.spec.fingerprint

    def test_without_a_layer_something_sensible_is_taken(self, backbone: Backbone) -> None:
        """The default layer exists, has a fixed shape, and is no detail."""
        layers = [backbone.default_layer] if backbone.default_layer else []
        (layer,) = select_layers(layers, backbone.features())
        assert not layer.is_detail
        assert layer.num_bytes


def assert_close(
    received: np.ndarray, expected: np.ndarray, name: str, tolerance: float = TOLERANCE
) -> None:
    """Refuse values that differ by more than a share of the largest one."""
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance * scale, err_msg=name)
