"""A graph that one run keeps, and the next converts without loading the model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.engines.graph import ONNX, GraphOutput, NetworkGraph
from featx.engines.openvino import OpenVino
from featx.events import Listener
from featx.inference import AcceleratedBackbone, memory, speed
from featx.models.backbone import Backbone
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.models.remembered import recall, remember
from featx.specs import ModelSpec
from featx.user_cache import CACHE_VARIABLE
from tests.inference.agreement import pixels_for
from tests.inference.test_graph import CONTRACT, LAYERS, expected_values, onnx_model

LOADING = 100.0
"""Seconds, more than converting costs."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "has_gpu", lambda: False)
    monkeypatch.setattr(OpenVino, "has_precision", lambda self, precision: precision == "float32")


class Notes(Listener):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def note(self, text: str) -> None:
        """See `Listener`."""
        self.all.append(text)


class Runs:
    """Runs of one picture each; the engine that loads the model is NumPy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_loads = 0
        self.sign = 1
        self.listener = Notes()
        self._ahead = 0.0
        real = time.perf_counter
        monkeypatch.setattr(time, "perf_counter", lambda: real() + self._ahead)
        remember("small", self._make())

    def __call__(self) -> str:
        """Compute a picture in a new backbone; return the engine."""
        known = recall("small", self._load)
        assert known is not None
        fast = AcceleratedBackbone(known, listener=self.listener, num_images=1)
        pixels = pixels_for(known, 1)
        received = fast(pixels, ["mean"])
        if self.sign == 1:
            np.testing.assert_allclose(
                received["mean"], expected_values(pixels)["mean"], rtol=1e-4, atol=1e-5
            )
        return str(fast.run_facts["engine"])

    def _load(self) -> Backbone:
        self.num_loads += 1
        self._ahead += LOADING
        return self._make()

    def _make(self) -> Backbone:
        outputs = {"mean": GraphOutput("mean", None)}
        graph = NetworkGraph(ONNX, onnx_model("N"), "images", "channels_first", outputs)
        spec = ModelSpec("builtin", "small", (), "builtin", "0" * 64, CONTRACT)

        def compute(scaled: np.ndarray) -> dict[str, np.ndarray]:
            pixels = np.rint(scaled.transpose(0, 2, 3, 1) * 255)
            return {"mean": self.sign * expected_values(pixels)["mean"]}

        description = ModelDescription(spec, LAYERS, channels_first=True)
        return GraphBackbone(description, lambda names: compute, lambda names: graph)


def test_the_run_after_the_one_that_has_lost_enough_does_not_load_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = Runs(monkeypatch)
    assert (run(), run.num_loads) == ("tensorflow", 1)
    (kept,) = (tmp_path / "cache" / "networks").iterdir()
    mode = (kept / "results.npz").stat().st_mode
    assert os.name == "nt" or mode & 0o077 == 0, "other users can read the pictures"
    assert (run(), run.num_loads) == ("openvino", 1)
    (converted,) = (tmp_path / "cache" / "networks").iterdir()
    assert converted.name != kept.name  # A graph that was converted is not needed any more.
    assert (run(), run.num_loads) == ("openvino", 1)


def test_a_network_that_cannot_be_kept_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Runs(monkeypatch)
    run()
    monkeypatch.setattr(memory, "keep_network", lambda *_: None)
    assert (run(), run.num_loads) == ("openvino", 1)
    assert [note for note in run.listener.all if "cache cannot be written" in note]


def damage(folder: Path) -> None:
    content = bytearray((folder / "graph.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "graph.bin").write_bytes(content)


def remove_results(folder: Path) -> None:
    (folder / "results.npz").unlink()


@pytest.mark.parametrize("spoil", [damage, remove_results])
def test_a_damaged_graph_is_not_converted(
    spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = Runs(monkeypatch)
    run()
    (kept,) = (tmp_path / "cache" / "networks").iterdir()
    spoil(kept)
    assert (run(), run.num_loads) == ("openvino", 2)


def test_a_graph_that_gives_something_else_is_converted_only_beside_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Runs(monkeypatch)
    run.sign = -1
    assert (run(), run.num_loads) == ("tensorflow", 1)
    assert (run(), run.num_loads) == ("tensorflow", 2)  # Compared again: it still differs.
    run.sign = 1
    assert (run(), run.num_loads) == ("openvino", 3)
