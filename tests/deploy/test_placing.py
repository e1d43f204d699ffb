"""Where an exported head is written, and what opens it where a library is not installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from featx.deploy.fresh import open_tflite
from featx.deploy.placing import folder_beside
from featx.errors import ExportError


def test_folders_above_a_saved_model_are_made(tmp_path: Path) -> None:
    output = tmp_path / "served" / "flowers" / "1"
    with folder_beside(output) as folder:
        assert folder.parent == output.parent
    assert [*output.parent.iterdir()] == []


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "served").write_text("")
    with (
        pytest.raises(ExportError, match="cannot be written"),
        folder_beside(tmp_path / "served" / "flowers" / "1"),
    ):
        pass


class Doubling:
    """An interpreter of TFLite whose model doubles numbers."""

    def __init__(self, model_path: str) -> None:
        self.value = np.zeros(0)

    def allocate_tensors(self) -> None:
        pass

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": 0}]

    get_output_details = get_input_details

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        self.value = value

    def invoke(self) -> None:
        self.value = 2 * self.value

    def get_tensor(self, index: int) -> np.ndarray:
        return self.value


def test_tensorflow_runs_tflite_where_litert_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorFlow gives `lite` as an attribute alone: the module of this name on disk is empty.
    tensorflow = SimpleNamespace(lite=SimpleNamespace(Interpreter=Doubling))
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert open_tflite("x.tflite")(np.ones((2, 3))).tolist() == [[2.0] * 3] * 2
