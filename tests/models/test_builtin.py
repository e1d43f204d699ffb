"""The built-in backbone: its weights, its layers, its card, and what is said of it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from featx.errors import InvalidValue, ModelError, UnknownName
from featx.models import builtin, load_model, restore_model
from featx.models.catalogue import list_models
from featx.models.contracts import APPLICATIONS, keras_models_folder
from featx.options import InputOptions


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the weights folder, which is the one that is read."""
    folder = tmp_path / "weights"
    shutil.copytree(builtin.WEIGHTS_FOLDER, folder)
    monkeypatch.setattr(builtin, "WEIGHTS_FOLDER", folder)
    return folder / "mini.npz"


def test_the_package_ships_at_most_6_mb() -> None:
    assert (builtin.WEIGHTS_FOLDER / "mini.npz").stat().st_size <= 6_000_000


def test_the_card_belongs_to_the_weights() -> None:
    card = builtin.read_card()
    content = (builtin.WEIGHTS_FOLDER / "mini.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    with np.load(builtin.WEIGHTS_FOLDER / "mini.npz") as arrays:
        assert sum(arrays[name].size for name in arrays.files) == card.parameters
    assert 1e6 <= card.parameters <= 3e6


def test_the_default_is_good_enough_to_be_one() -> None:
    card = builtin.read_card()
    for dataset in ("flowers12", "clothing"):
        rows = {m.extractor: m for m in card.measurements if m.dataset == dataset}
        own, reference = rows["builtin:mini"], rows[builtin.REFERENCE]
        assert own.precision_at_10 >= 0.7 * reference.precision_at_10
        assert own.linear >= 0.7 * reference.linear
        for baseline in ("builtin:mini, random weights", "colour histogram"):
            assert own.nearest > rows[baseline].nearest
            assert own.precision_at_10 > rows[baseline].precision_at_10
            assert own.linear > rows[baseline].linear


def test_the_line_about_the_default_names_the_alternative_and_its_size() -> None:
    line = builtin.describe_default()
    assert "builtin:mini" in line
    assert "model='keras:MobileNetV2'" in line
    assert "14 MB" in line
    assert f"{builtin.read_card().share_of(builtin.REFERENCE, 'clothing'):.0%} (clothing)" in line


@pytest.mark.tensorflow
def test_layers_are_named_the_vgg_way() -> None:
    backbone = load_model("builtin:mini")
    shapes = {layer.name: layer.shape for layer in backbone.features()}
    assert shapes["block1_conv1"] == (32, 32, 48)
    assert shapes["block4_conv3"] == (4, 4, 512)
    assert shapes["block4_pool"] == (512,)
    assert shapes["embedding"] == (256,)
    assert backbone.default_layer == "embedding"
    assert restore_model(backbone.spec).spec == backbone.spec


@pytest.mark.tensorflow
def test_a_plain_numpy_computation_agrees() -> None:
    # The network step by step, in NumPy, on one small random picture.
    from numpy.lib.stride_tricks import sliding_window_view

    backbone = load_model("builtin:mini")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3)).astype(np.uint8)
    with np.load(builtin.WEIGHTS_FOLDER / "mini.npz") as stored:
        weights = {name: stored[name].astype(np.float64) for name in stored.files}

    def convolve(x: np.ndarray, name: str, stride: int, pad: int) -> np.ndarray:
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
        windows = sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))
        windows = windows[::stride, ::stride]  # (h, w, C, kh, kw)
        return np.maximum(np.tensordot(windows, kernel, ((3, 4, 2), (0, 1, 2))) + bias, 0)

    def halve(x: np.ndarray) -> np.ndarray:
        rows, columns, channels = x.shape
        return x.reshape(rows // 2, 2, columns // 2, 2, channels).max(axis=(1, 3))

    x = pixels[0] / 64 - 2
    x = halve(convolve(x, "block1_conv1", 4, 1))
    for block, count in ((2, 2), (3, 5)):
        for number in range(1, count + 1):
            x = convolve(x, f"block{block}_conv{number}", 1, 1)
        x = halve(x)
    for number in (1, 2):
        x = convolve(x, f"block4_conv{number}", 1, 1)
    pooled = convolve(x, "block4_conv3", 1, 0).mean(axis=(0, 1))
    embedding = pooled @ weights["embedding/kernel"] + weights["embedding/bias"]
    result = backbone(pixels, ["block4_pool", "embedding"])
    np.testing.assert_allclose(result["block4_pool"][0], pooled, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result["embedding"][0], embedding, rtol=1e-4, atol=1e-4)


@pytest.mark.tensorflow
def test_damaged_weights_say_so(damaged: Path) -> None:
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ModelError, match=r"are damaged: SHA-256 is not.*Install featx again"):
        load_model("builtin:mini")
    damaged.unlink()
    with pytest.raises(ModelError, match=r"cannot be read.*Install featx again"):
        load_model("builtin:mini")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("reference", "weights", "overrides", "error", "message"),
    [
        ("builtin:mino", None, InputOptions(), UnknownName, "Did you mean mini"),
        ("builtin:mini", "random", InputOptions(), InvalidValue, "brings its weights"),
        ("builtin:mini,alpha=1", None, InputOptions(), InvalidValue, "no constructor arguments"),
        ("builtin:mini", None, InputOptions((64, 64)), InvalidValue, "128 x 128 pixels"),
        ("mini", None, InputOptions(preprocess="tf"), InvalidValue, "scales its pixels itself"),
    ],
)
def test_what_it_does_not_take_is_refused(
    reference: str,
    weights: str | None,
    overrides: InputOptions,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        load_model(reference, weights=weights, input=overrides)


def test_the_catalogue_names_every_model() -> None:
    references = [entry.reference for entry in list_models()]
    assert references == ["builtin:mini", *(f"keras:{name}" for name in APPLICATIONS)]
    assert [e.reference for e in list_models("VGG*")] == ["keras:VGG16", "keras:VGG19"]
    assert list_models("no*such") == []


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "name",
    [
        "MobileNet",
        pytest.param("MobileNetV3Small", marks=pytest.mark.slow),
        pytest.param("MobileNetV2", marks=pytest.mark.slow),
        pytest.param("DenseNet121", marks=pytest.mark.slow),
    ],
)
def test_parameters_in_the_catalogue_are_those_of_keras(name: str) -> None:
    import keras

    model = getattr(keras.applications, name)(weights=None)
    application = APPLICATIONS[name]
    assert model.count_params() / 1e6 == pytest.approx(application.parameters, abs=0.06)
    assert 4 * model.count_params() / 1e6 == pytest.approx(application.megabytes, rel=0.12)
    shape = (application.size, application.size, 3)
    bare = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=shape)
    assert bare.output.shape[-1] == application.width


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "name", ["MobileNetV2", "VGG16", pytest.param("DenseNet121", marks=pytest.mark.slow)]
)
def test_weights_have_the_name_that_keras_looks_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    asked = []

    def get_file(fname: str, *args: object, **options: object) -> str:
        asked.append(fname)
        raise InterruptedError

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    arguments = {"include_top": False} if name == "VGG16" else {}  # 500 MB of classifier.
    with pytest.raises(InterruptedError):
        getattr(keras.applications, name)(**arguments)
    assert asked[0].replace("_notop", "") == APPLICATIONS[name].weights_file


def test_weights_on_disk_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert not any(entry.on_disk for entry in list_models("keras:*"))
    folder = tmp_path / "models"
    assert keras_models_folder() == folder
    folder.mkdir()
    (folder / APPLICATIONS["VGG16"].weights_file).write_bytes(b"")
    assert [e.reference for e in list_models() if e.on_disk] == ["builtin:mini", "keras:VGG16"]
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras_models_folder() == tmp_path / ".keras" / "models"
