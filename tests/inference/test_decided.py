"""Networks that are decided on in one folder and opened in others."""

from __future__ import annotations

from pathlib import Path

import pytest

from featx.inference.decided import DecidedNetwork
from featx.inference.request import EngineRequest
from featx.models import load_model
from featx.options import InputOptions
from featx.trust import Trust


def test_files_are_named_by_their_whole_paths(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b.onnx", "w.h5", "own.py"):
        Path(name).touch()
    spec = load_model(toy).spec

    def decide(model: str) -> DecidedNetwork:
        return DecidedNetwork(
            model, "w.h5", InputOptions(), "own.py", spec, ("mean",), EngineRequest(), 1
        )

    network = decide("onnx:a,b.onnx,input=x")
    assert network.model == f"onnx:{tmp_path / 'a,b.onnx'},input=x"
    assert network.weights == str(tmp_path / "w.h5")
    assert isinstance(network.trust_model_code, Trust)
    assert network.trust_model_code.file == str(tmp_path / "own.py")
    assert decide("a,b.onnx").model == f"onnx:{tmp_path / 'a,b.onnx'}"
    Path("MobileNet").mkdir()
    assert decide("keras:MobileNet,alpha=0.25").model == "keras:MobileNet,alpha=0.25"
