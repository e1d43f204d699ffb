"""What a network makes of a few pictures under each scaling of their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import featx
from featx.errors import ImagesNotFound, InvalidValue
from featx.report.scalings import show_scalings
from featx.testing import ToyBackbone, toy_model, write_images
from tests.models.onnx_files import SIZE, Network
from tests.store_samples import write_color

SCALINGS = ["caffe", "tf", "torch", "unit", "raw"]


def test_every_scaling_is_computed_on_five_pictures(tmp_path: Path) -> None:
    photos = write_images(12, tmp_path / "photos")
    trials = featx.compare_scalings(photos, model=toy_model())
    assert [trial.scaling for trial in trials] == SCALINGS
    assert {(trial.layer, trial.num_pictures) for trial in trials} == {("head/double", 5)}
    by_name = {trial.scaling: trial for trial in trials}
    for trial in trials:
        assert trial.confidence is not None
        assert trial.entropy is not None
        assert 1 / 3 <= trial.confidence <= 1
        assert 0 <= trial.entropy <= np.log2(3)
    # Logits of hundreds are sure of everything, those below 2 of hardly anything.
    assert by_name["raw"].entropy < by_name["unit"].entropy  # type: ignore[operator]
    assert by_name["raw"].spread == pytest.approx(by_name["unit"].spread, abs=1e-6)


def test_a_layer_that_gives_no_classes_has_a_spread(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0))):
        write_color(photos / f"{name}.png", colour)
    trials = featx.compare_scalings(photos, model=toy_model(), layer="map")
    assert {(trial.confidence, trial.num_classes) for trial in trials} == {(None, None)}
    spread = {trial.scaling: trial.spread for trial in trials}
    assert spread["unit"] == pytest.approx(1)  # The colours have nothing in common.
    assert spread["tf"] == pytest.approx(4 / 3)  # (1, -1, -1) and (-1, 1, -1): cosine -1/3.
    with pytest.raises(InvalidValue, match="compared on one layer; 'm\\*' fits 2"):
        featx.compare_scalings(photos, model=toy_model(), layer="m*")


def test_pictures_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    photos = write_images(3, tmp_path / "photos")
    (photos / "aaa.png").write_bytes(b"")
    assert featx.compare_scalings(photos, model=toy_model())[0].num_pictures == 3
    for file in photos.glob("image*"):
        file.write_bytes(b"")
    with pytest.raises(ImagesNotFound, match="None of the images can be read"):
        featx.compare_scalings(photos, model=toy_model())


def test_it_is_no_scaling(tmp_path: Path) -> None:
    photos = write_images(3, tmp_path / "photos")
    with pytest.raises(InvalidValue, match=r"featx\.compare_scalings does"):
        featx.extract(photos, model=toy_model(), preprocess="try", output=tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()


def test_values_that_are_not_finite_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflow(self: ToyBackbone, images: np.ndarray, names: list[str]) -> Any:
        return {name: np.full((len(images), 3), np.inf, np.float32) for name in names}

    monkeypatch.setattr(ToyBackbone, "__call__", overflow)
    photos = write_images(2, tmp_path / "photos")
    trials = featx.compare_scalings(photos, model=toy_model())
    assert {(trial.confidence, trial.entropy, trial.spread) for trial in trials} == {(None,) * 3}
    show_scalings(trials, as_json=True)
    assert '"spread": null' in capsys.readouterr().out
    show_scalings(trials)
    assert capsys.readouterr().out.count("not finite") == len(SCALINGS)


def test_a_model_of_whole_numbers_has_one_scaling(tmp_path: Path) -> None:
    photos = write_images(2, tmp_path / "photos")
    net = Network(["N", 3, SIZE, SIZE], TensorProto.UINT8)
    net.add("Cast", "images", "pixels", to=TensorProto.FLOAT)
    net.add("ReduceMean", "pixels", "mean", axes=[2, 3], keepdims=0)
    net.give("mean", "N", 3)
    model = str(net.write(tmp_path / "net.onnx"))
    trials = featx.compare_scalings(photos, model=model, layer="mean")
    assert [trial.scaling for trial in trials] == ["raw"]
