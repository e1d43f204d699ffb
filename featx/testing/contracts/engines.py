"""What every engine must keep: subclass `EngineContract`, and give it a model.

Write it like this, for an engine ``mine`` and a model whose graph it takes::

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def case(self, tmp_path):
            return EngineCase("mine", load_model(write_my_model(tmp_path)), ("block1", "embedding"))
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.engines import (
    ENGINES,
    Compiling,
    ComputeType,
    Engine,
    Network,
    NetworkSettings,
    Quantizing,
)
from featx.engines.graph import GraphOutput, NetworkGraph, NotConvertible
from featx.errors import InvalidValue
from featx.inference.agreement import SAME_COSINE, lowest_cosine
from featx.models.backbone import Backbone

LARGEST_ERROR = 1e-3
"""How far values may be from the backbone's, as a share of the largest of the layer."""

TOLERANCE = 1e-5
"""How far values of one image may differ between batches, as such a share."""


@dataclass(frozen=True)
class EngineCase:
    """A small model on which an engine is tested.

    Attributes:
        name: The engine's name in the registry.
        backbone: A model whose graph the engine takes. Its shapes should not be square, so that
            axes in a wrong order are noticed.
        layers: Some of its layers, a map among them.
    """

    name: str
    backbone: Backbone
    layers: tuple[str, ...]

    @property
    def engine(self) -> Engine:
        """The engine."""
        return ENGINES[self.name]

    @cached_property
    def graph(self) -> NetworkGraph:
        """The graph of the layers."""
        graph = self.backbone.freeze(self.layers)
        assert graph is not None, "the model has no single graph of these layers"
        return graph

    @cached_property
    def model(self) -> Any:
        """What the engine makes of it."""
        return self.engine.convert(self.graph, self.backbone.spec.input)

    def open(self, model: Any, precision: ComputeType = "float32") -> Network:
        """Make a model ready to compute, with two threads and batches of eight images."""
        prepared = self.engine.prepare(model, precision)
        return self.engine.open(prepared, NetworkSettings(self.layers, precision, 2, 8))

    def make_pixels(self, count: int) -> np.ndarray:
        """Return images of smooth areas and noise, as photographs have both."""
        contract = self.backbone.spec.input
        random = np.random.default_rng(7)
        size = (count, contract.height, contract.width, contract.channels)
        smooth = random.integers(0, 256, (count, 1, 1, contract.channels))
        return np.clip(smooth + random.normal(0, 40, size), 0, 255).astype(np.uint8)


class EngineContract:
    """Tests that take an `EngineCase` as the fixture ``case``."""

    def test_it_says_what_it_is(self, case: EngineCase) -> None:
        """Its name is that in the registry; it computes in float32 everywhere."""
        engine = case.engine
        assert engine.name == case.name
        assert case.graph.form in engine.forms
        assert engine.precisions[0] == "float32"
        assert engine.has_precision("float32")
        versions = engine.versions()
        assert versions
        assert all(isinstance(text, str) for pair in versions.items() for text in pair)

    def test_it_gives_what_the_backbone_gives(self, case: EngineCase) -> None:
        """Layers are float32, of the stated shapes, maps with their channels last."""
        pixels = case.make_pixels(4)
        expected = case.backbone(pixels, case.layers)
        received = case.open(case.model)(pixels)
        assert list(received) == list(case.layers)
        shapes = {layer.name: layer.shape for layer in case.backbone.features()}
        for name in case.layers:
            assert received[name].dtype == np.float32
            assert received[name].shape == (4, *shapes[name])
            assert lowest_cosine(expected[name], received[name]) >= SAME_COSINE, name
            largest = np.abs(expected[name]).max()
            np.testing.assert_allclose(
                received[name], expected[name], rtol=0, atol=LARGEST_ERROR * largest
            )

    def test_the_order_of_layers(self, case: EngineCase) -> None:
        """Layers come in the order in which they are asked for."""
        backwards = replace(case, layers=case.layers[::-1])
        pixels = case.make_pixels(2)
        assert list(backwards.open(backwards.model)(pixels)) == list(case.layers[::-1])

    def test_batches_of_any_size(self, case: EngineCase) -> None:
        """An image has the same features in a batch of 1, 3, 7 or 11."""
        network, pixels = case.open(case.model), case.make_pixels(11)
        together = network(pixels)
        for count in (1, 3, 7):
            for name, values in network(pixels[:count]).items():
                largest = np.abs(together[name]).max()
                np.testing.assert_allclose(
                    values, together[name][:count], rtol=0, atol=TOLERANCE * largest
                )

    def test_calls_at_the_same_time(self, case: EngineCase) -> None:
        """Threads, as many as it computes at a time and more, get their own results."""
        network, pixels = case.open(case.model), case.make_pixels(12)
        expected = network(pixels)
        assert network.concurrency >= 1
        assert network.batch_size >= 1
        with ThreadPoolExecutor(network.concurrency) as pool:
            parts = list(
                pool.map(network, [pixels[start : start + 2] for start in range(0, 12, 2)])
            )
        for name, values in expected.items():
            received = np.concatenate([part[name] for part in parts])
            atol = TOLERANCE * np.abs(values).max()
            np.testing.assert_allclose(received, values, rtol=0, atol=atol)

    def test_pixels_stay_what_they_are(self, case: EngineCase) -> None:
        """Neither pixels nor earlier results are changed by a call."""
        network, pixels = case.open(case.model), case.make_pixels(3)
        copy = pixels.copy()
        first = network(pixels)
        kept = {name: values.copy() for name, values in first.items()}
        network(255 - pixels)
        np.testing.assert_array_equal(pixels, copy)
        for name, values in kept.items():
            np.testing.assert_array_equal(first[name], values)

    def test_what_it_saves_it_reads(self, case: EngineCase, tmp_path: Path) -> None:
        """A model that was saved, in a folder that has moved since, gives the same features."""
        (tmp_path / "first").mkdir()
        case.engine.save(case.model, tmp_path / "first")
        (tmp_path / "first").rename(tmp_path / "second")
        pixels = case.make_pixels(3)
        received = case.open(case.engine.read(tmp_path / "second"))(pixels)
        for name, values in case.open(case.model)(pixels).items():
            np.testing.assert_allclose(received[name], values, rtol=1e-6, atol=1e-6)

    def test_what_it_compiles_it_reads(self, case: EngineCase, tmp_path: Path) -> None:
        """Engines whose opened networks are kept: they give the same features, bit for bit."""
        engine, settings = case.engine, NetworkSettings(case.layers, "float32", 2, 8)
        if not isinstance(engine, Compiling):
            pytest.skip("networks of this engine are not kept as they are compiled")
        network, pixels = engine.open(case.model, settings), case.make_pixels(3)
        assert json.dumps(engine.describe_compiled(settings))
        (tmp_path / "first").mkdir()
        engine.save_compiled(network, tmp_path / "first")
        (tmp_path / "first").rename(tmp_path / "second")
        received = engine.read_compiled(tmp_path / "second", settings)(pixels)
        for name, values in network(pixels).items():
            np.testing.assert_array_equal(received[name], values)
        (tmp_path / "empty").mkdir()
        with pytest.raises(NotConvertible):
            engine.read_compiled(tmp_path / "empty", settings)

    def test_an_empty_folder_is_refused(self, case: EngineCase, tmp_path: Path) -> None:
        """What is not a saved model raises NotConvertible."""
        with pytest.raises(NotConvertible):
            case.engine.read(tmp_path)

    def test_what_it_cannot_take_is_refused(self, case: EngineCase) -> None:
        """A graph without the layers that are wanted raises NotConvertible, with a reason."""
        outputs = {name: GraphOutput("no_such_node", None) for name in case.layers[:1]}
        graph = replace(case.graph, outputs=outputs)
        refused = replace(case, layers=case.layers[:1])
        with pytest.raises(NotConvertible, match=r"\w"):
            refused.open(case.engine.convert(graph, case.backbone.spec.input))

    def test_other_precisions(self, case: EngineCase) -> None:
        """In each precision that it has here, it computes something near, or refuses."""
        pixels = case.make_pixels(4)
        expected = case.open(case.model)(pixels)
        for precision in case.engine.precisions[1:]:
            if not case.engine.has_precision(precision):
                continue
            try:
                received = case.open(case.model, precision)(pixels)
            except NotConvertible:
                continue
            for name, values in received.items():
                assert values.dtype == np.float32
                assert lowest_cosine(expected[name], values) > 0.9, (precision, name)

    def test_8_bits(self, case: EngineCase, tmp_path: Path) -> None:
        """If it quantises, the same pictures give the same network, which it saves and reads."""
        engine = case.engine
        if not isinstance(engine, Quantizing):
            pytest.skip("it does not compute in 8 bits")
        assert "int8" not in engine.precisions
        pixels = case.make_pixels(8)
        expected = case.open(case.model)(pixels)
        try:
            models = [engine.quantize(case.model, list(pixels)) for _ in range(2)]
        except (InvalidValue, NotConvertible) as error:
            pytest.skip(str(error))
        engine.save(models[0], tmp_path)
        models.append(engine.read(tmp_path))
        settings = NetworkSettings(case.layers, "int8", 2, 8)
        first, *others = (engine.open(model, settings)(pixels) for model in models)
        for name, values in first.items():
            assert values.dtype == np.float32
            assert lowest_cosine(expected[name], values) > 0.9, name
            for other in others:
                np.testing.assert_array_equal(other[name], values)
        for name, values in case.open(case.model)(pixels).items():  # It was not modified.
            np.testing.assert_array_equal(values, expected[name])
