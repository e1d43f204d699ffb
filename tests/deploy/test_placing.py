"""Where an exported head is written, and what opens it where a library is not installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from featx.deploy.fresh import open_tflite
from featx.deploy.placing import PREVIOUS, ExportFiles, folder_beside
from featx.errors import ExportError
from tests.deploy.pictures import make_head


def test_folders_above_a_saved_model_are_made(tmp_path: Path) -> None:
    output = tmp_path / "served" / "flowers" / "1"
    with folder_beside(output) as folder:
        assert folder.parent == output.parent
    assert [*output.parent.iterdir()] == []


def test_a_version_for_serving_is_called_by_the_folder_above_it(tmp_path: Path) -> None:
    head = make_head()
    for place, form, title in (
        ("served/flowers/1", "savedmodel", "flowers/1"),
        ("served/flowers", "savedmodel", "flowers"),
        ("served/m.keras", "keras", "m.keras"),
    ):
        assert ExportFiles.of(tmp_path / place, form, head).title == title


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


class Killed(BaseException):
    """The process ends here."""


def place_until(step: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Replace an export in a folder, killed at one of the changes of names; return whether done."""
    steps = iter(range(step))

    def kill_at_last(change: Callable[..., None]) -> Callable[..., None]:
        def changing(*args: object, **options: object) -> None:
            if next(steps, None) is None:
                raise Killed
            change(*args, **options)

        return changing

    head = make_head(("cat", "dog", "owl"))
    files = ExportFiles.of(folder / "m.keras", "keras", head)
    with folder_beside(files.output) as made:
        written = made / "m.keras"
        written.write_text("3 classes")
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill_at_last(os.replace))
            patch.setattr(Path, "unlink", kill_at_last(Path.unlink))
            try:
                files.place(written, "3 classes")
            except Killed:
                return False
    return True


def test_a_model_is_never_beside_the_labels_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(20):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "m.keras").write_text("2 classes")
        (folder / "m.keras.md").write_text("2 classes")
        (folder / "labels.txt").write_text("cat\ndog\n")
        is_done = place_until(step, folder, monkeypatch)
        count = (folder / "m.keras").read_text()[0]
        labels, card = folder / "labels.txt", folder / "m.keras.md"
        assert not labels.exists() or len(labels.read_text().split()) == int(count), step
        assert not card.exists() or card.read_text()[0] == count, step
        if is_done:
            break
    assert is_done
    assert step == 5
    assert sorted(path.name for path in folder.iterdir()) == ["labels.txt", "m.keras", "m.keras.md"]


def test_a_saved_model_whose_place_could_not_be_taken_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ExportFiles.of(tmp_path / "m", "savedmodel", make_head())
    files.output.mkdir()
    (files.output / "saved_model.pb").write_text("old")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target == files.output and path.name == "m":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ExportError, match="No space"):
        _place_folder(files)
    assert (files.output / "saved_model.pb").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_saved_model_that_a_killed_process_took_away_comes_back(tmp_path: Path) -> None:
    killed = tmp_path / ".m.999999999.x.tmp" / PREVIOUS
    killed.mkdir(parents=True)
    (killed / "saved_model.pb").write_text("old")
    with folder_beside(tmp_path / "m"):
        assert (tmp_path / "m" / "saved_model.pb").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def _place_folder(files: ExportFiles) -> None:
    with folder_beside(files.output) as made:
        (made / "m").mkdir()
        files.place(made / "m", "new")
