"""Networks that one engine cannot run on this processor run on another one, with one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.graph import NotConvertible
from featx.engines.openvino import OpenVino
from featx.errors import ModelError
from featx.inference import AcceleratedBackbone, EngineRequest, speed
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.models.graph_backbone import GraphBackbone
from featx.user_cache import CACHE_VARIABLE
from tests.inference.agreement import pixels_for
from tests.inference.test_choice import Notes
from tests.models.model_files import SOURCES

pytestmark = pytest.mark.tensorflow

REASON = "TensorFlow failed to run the network: no NCHW on the CPU"
NAMES = ["relu"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def backbone(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A network that TensorFlow cannot run, as is one with channels first on some processors."""

    def fail(self: GraphBackbone, images: np.ndarray, names: Sequence[str]) -> Any:
        raise ModelError(REASON)

    source = SOURCES[".keras"](tmp_path)
    monkeypatch.setattr(GraphBackbone, "__call__", fail)
    return load_model(source.reference, input=source.input)


@pytest.mark.parametrize("engine", ["auto", "openvino"])
@pytest.mark.parametrize("gpu", [False, True])
def test_another_engine_runs_it_and_says_so(
    backbone: Backbone, cache: Path, monkeypatch: pytest.MonkeyPatch, engine: str, gpu: bool
) -> None:
    monkeypatch.setattr(speed, "has_gpu", lambda: gpu)
    for _ in range(2):  # It is not kept: it was not compared.
        notes = Notes()
        request = EngineRequest(engine, "float32")
        fast = AcceleratedBackbone(backbone, request, listener=notes)
        assert fast(pixels_for(backbone), NAMES)["relu"].any()
        assert fast.run_facts["engine"] == "openvino"
        assert notes.lines == [
            f"what openvino computes of {backbone.spec.reference} could not be compared with "
            f"tensorflow here: {REASON}"
        ]
    assert not (cache / "networks").exists()


def test_an_engine_that_was_asked_for_fails_with_its_own_reason(backbone: Backbone) -> None:
    fast = AcceleratedBackbone(backbone, EngineRequest("tensorflow"))
    with pytest.raises(ModelError, match="no NCHW on the CPU"):
        fast(pixels_for(backbone), NAMES)


def test_what_no_engine_can_run_fails_with_the_reasons_of_all(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise NotConvertible("it has the operation Xyz")

    monkeypatch.setattr(OpenVino, "convert", refuse)
    notes = Notes()
    fast = AcceleratedBackbone(backbone, listener=notes)
    with pytest.raises(ModelError, match="no NCHW on the CPU"):
        fast(pixels_for(backbone), NAMES)
    assert "(it has the operation Xyz): tensorflow runs it" in notes.text
