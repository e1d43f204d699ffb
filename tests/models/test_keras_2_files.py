"""Files of Keras 2 as each of its versions wrote them, and files by their content."""

from __future__ import annotations

import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featx.errors import ModelError, UnknownName
from featx.models import load_model
from featx.models.legacy_keras import find_unlisted
from featx.options import InputOptions

pytestmark = pytest.mark.tensorflow

RAW = InputOptions(preprocess="raw")
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tf_keras() -> Any:
    from featx.engines.tensorflow import import_tensorflow

    import_tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tf_keras
    return tf_keras


@pytest.fixture(scope="module")
def model(tf_keras: Any) -> Any:
    """A functional network of Keras 2: augmentation, operators, networks within."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(3)
    crop = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomCrop(12, 12)]
    images = tf_keras.Input((16, 16, 3), name="images")
    x = tf_keras.Sequential(crop, name="augmentation")(images)
    x = layers.Conv2D(4, 3, activation="hard_sigmoid", name="first")(x / 127.5 - 1.0)
    x = layers.ReLU(name="relu")(layers.Conv2D(4, 3, name="second")(x))
    x = layers.Conv2D(4, 3, name="third")(x)
    x = tf_keras.Sequential([tf_keras.Input((6, 6, 4)), layers.Conv2D(2, 1)], name="head")(x)
    return tf_keras.Model(images, layers.GlobalAveragePooling2D(name="mean")(x))


@pytest.fixture(scope="module")
def saved(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras_2") / "net.keras"
    model.save(path, save_format="keras_v3")
    return path


def rewrite(
    source: Path,
    target: Path,
    version: str,
    edit_config: Callable[[str], str] = str,
    name_weights: Callable[[str], str] | None = None,
) -> Path:
    """Copy a file of tf_keras as another version of Keras 2 would have written it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        new.writestr("metadata.json", json.dumps({"keras_version": version}))
        new.writestr("config.json", edit_config(old.read("config.json").decode()))
        weights = old.read("model.weights.h5")
        if name_weights is not None:
            renamed = io.BytesIO()
            with h5py.File(io.BytesIO(weights)) as file, h5py.File(renamed, "w") as copy:
                copy.create_group("vars")
                arrays: dict[str, Any] = {}
                file.visititems(lambda name, each: arrays.update({name: each}))
                for name, each in arrays.items():
                    if isinstance(each, h5py.Dataset):
                        group, _, number = name.rpartition("/vars/")
                        copy[f"{name_weights(group)}/vars/{number}"] = each[()]
            weights = renamed.getvalue()
        new.writestr("model.weights.h5", weights)
    return target


def name_as_2_14(group: str) -> str:
    return group.replace("layers/", "_layer_checkpoint_dependencies/")


def name_as_2_13(group: str) -> str:
    """Layers with weights were counted twice, so that their numbers are even."""
    for number in (2, 1):
        group = group.replace(f"conv2d_{number}", f"conv2d_{2 * number}")
    return name_as_2_14(group)


WRITTEN: dict[str, Callable[[Path, Path], Path]] = {
    "tf_keras": lambda source, target: rewrite(source, target, "2.21.0"),
    "2.15": lambda source, target: rewrite(
        source, target, "2.15.0", lambda config: config.replace("tf_keras.src", "keras.src")
    ),
    "2.14": lambda source, target: rewrite(
        source,
        target,
        "2.14.0",
        lambda config: config.replace("tf_keras.src", "keras.src"),
        name_as_2_14,
    ),
    "2.13 on Windows": lambda source, target: rewrite(
        source,
        target,
        "2.13.1",
        lambda config: config.replace("tf_keras.src", "keras.src"),
        lambda group: name_as_2_13(group).replace("/", "\\"),
    ),
    "2.12": lambda source, target: rewrite(
        source,
        target,
        "2.12.0",
        lambda config: config.replace("tf_keras.src", "keras").replace(
            '"negative_slope": 0.0',
            '"negative_slope": {"class_name": "__numpy__", "config": {"value": 0.0}}',
        ),
        name_as_2_13,
    ),
}
"""What makes a file as a version wrote it of one that tf_keras wrote."""


@pytest.mark.parametrize("version", WRITTEN)
def test_files_of_every_version_give_what_the_model_gave(
    version: str, model: Any, saved: Path, tmp_path: Path
) -> None:
    path = WRITTEN[version](saved, tmp_path / "net.keras")
    backbone = load_model(str(path), input=RAW)
    assert backbone.notes == ("saved by Keras 2, loaded by tf_keras",)
    expected = model(PIXELS.astype(np.float32), training=False)
    np.testing.assert_allclose(backbone(PIXELS, ["mean"])["mean"], expected, atol=1e-5)


def test_an_h5_file_that_keras_3_would_compute_otherwise(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "net.h5")
    result = load_model(str(tmp_path / "net.h5"), input=RAW)(PIXELS, ["mean"])
    expected = model(PIXELS.astype(np.float32), training=False)
    np.testing.assert_allclose(result["mean"], expected, atol=1e-5)


def test_a_sequential_network_without_an_input_layer(tf_keras: Any, tmp_path: Path) -> None:
    layers = tf_keras.layers
    net = tf_keras.Sequential([layers.Conv2D(2, 3, input_shape=(16, 16, 3)), layers.Flatten()])
    net.save(tmp_path / "net.keras", save_format="keras_v3")
    backbone = load_model(str(tmp_path / "net.keras"), input=RAW)
    expected = net(PIXELS.astype(np.float32))
    np.testing.assert_allclose(backbone(PIXELS, ["flatten"])["flatten"], expected, rtol=1e-4)


# ---- by content, not by name ----


def test_hdf5_under_the_name_keras(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "net.keras", save_format="h5")
    for name in ("net.keras", "NET.KERAS", "without_a_suffix"):
        path = tmp_path / name
        if not path.exists():
            shutil.copy(tmp_path / "net.keras", path)
        assert [each.name for each in load_model(str(path), input=RAW).features()][-1] == "mean"


def test_a_zip_archive_under_the_name_h5(saved: Path, tmp_path: Path) -> None:
    import keras

    shutil.copy(saved, tmp_path / "old.h5")
    images = keras.Input((4, 4, 3))
    keras.Model(images, keras.layers.ReLU(name="last")(images)).save(tmp_path / "net.keras")
    (tmp_path / "net.keras").rename(tmp_path / "new.h5")
    assert load_model(str(tmp_path / "old.h5"), input=RAW).features()[-1].name == "mean"
    assert load_model(str(tmp_path / "new.h5"), input=RAW).features()[-1].name == "last"


def test_names_of_keras_3_on_windows(tmp_path: Path) -> None:
    import keras

    images = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(2, 1)(keras.layers.Conv2D(3, 1)(images))
    net = keras.Model(images, keras.layers.Flatten(name="flat")(x))
    net.save(tmp_path / "net.keras")
    path = rewrite(
        tmp_path / "net.keras",
        tmp_path / "windows.keras",
        keras.__version__,
        name_weights=lambda group: group.replace("/", "\\"),
    )
    result = load_model(str(path), input=RAW)(PIXELS[:, :4, :4], ["flat"])["flat"]
    expected = net(PIXELS[:, :4, :4].astype(np.float32))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_what_is_no_keras_file_is_called_what_it_is(saved: Path, tmp_path: Path) -> None:
    def reason(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError) as caught:
            load_model(str(tmp_path / name))
        return str(caught.value)

    assert "it is empty" in reason("a.keras", b"")
    assert "git lfs pull" in reason("a.keras", b"version https://git-lfs.github.com/spec/v1\n")
    assert "web page" in reason("a.h5", b"<!DOCTYPE html>")
    assert "cut off" in reason("a.keras", saved.read_bytes()[:3000])
    assert "neither a zip archive nor HDF5" in reason("a.keras", b"\x80\x04.")
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("model/net.keras", "x")
    assert "holds 'model/net.keras'. Unpack it" in reason("a.keras", inside.getvalue())
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["layer_names"] = ["dense"]
    with pytest.raises(ModelError, match=r"weights without an architecture.*load_weights\(\)"):
        load_model(str(tmp_path / "weights.h5"))


# ---- what files from elsewhere may not do ----


@pytest.mark.parametrize(
    "named",
    [
        {"class_name": "get_file", "module": "tf_keras.src.utils.data_utils"},
        {"class_name": "TFOpLambda", "module": "keras.src.utils.io_utils"},
        {"class_name": "Dense", "module": "keras.layers", "registered_name": "_sys"},
        {"class_name": "_sys.exit", "module": "keras.layers"},
        {"class_name": "function", "module": "keras.layers", "config": "_sys.exit"},
        {"class_name": "function", "module": "keras.utils", "config": "get_file"},
        {
            "class_name": "function",
            "module": "builtins",
            "config": "relu",
            "registered_name": "exec",
        },
        {"class_name": "function", "module": "builtins", "config": "open.__call__"},
        {"class_name": "__typespec__", "module": "keras.src.x", "config": {}},
    ],
)
def test_old_files_name_only_public_parts_of_networks(named: dict[str, Any]) -> None:
    (found,) = find_unlisted({"config": {"layers": [named]}})
    assert repr(named["module"]) in found


def test_a_function_from_inside_keras_is_refused(saved: Path, tmp_path: Path) -> None:
    hidden = '{"class_name": "function", "module": "tf_keras.src.utils.data_utils", '
    hidden += '"config": "get_file", "registered_name": "get_file"}'
    path = rewrite(
        saved,
        tmp_path / "net.keras",
        "2.15.0",
        lambda config: config.replace('"hard_sigmoid"', hidden),
    )
    with pytest.raises(ModelError, match="'get_file' of the module.*trust_model_code=True"):
        load_model(str(path), input=RAW)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_weights_from_other_files_are_refused(model: Any, suffix: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4096))
    path = tmp_path / f"net{suffix}"
    model.save(path, save_format="keras_v3" if suffix == ".keras" else "h5")
    weights = io.BytesIO()
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights if suffix == ".keras" else path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, each: names.append(name) if hasattr(each, "shape") else None)
        name = next(each for each in names if "optimizer" not in each)
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "float32", external=[(str(secret), 0, 4096)])
    if suffix == ".keras":
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new", "w") as new:
            for member in ("metadata.json", "config.json"):
                new.writestr(member, old.read(member))
            new.writestr("model.weights.h5", weights.getvalue())
        (tmp_path / "new").replace(path)
    with pytest.raises(ModelError, match="another file"):
        load_model(str(path), input=RAW)


def test_an_architecture_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b'{"a": "' + bytes(70 << 20))
    with pytest.raises(ModelError, match="would unpack"):
        load_model(str(tmp_path / "bomb.keras"))


# ---- several inputs ----


def test_a_part_of_a_network_of_two_inputs(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten(name="flat")], name="encoder"
    )
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    joined = layers.Subtract()([encoder(left), encoder(right)])
    path = tmp_path / "siamese.keras"
    keras.Model([left, right], joined).save(path)
    with pytest.raises(ModelError, match=r"2 inputs \('left' .*siamese\.keras,part=encoder"):
        load_model(str(path), input=RAW)
    pixels = PIXELS[:, :8, :8]
    part = load_model(f"{path},part=encoder", input=RAW)
    expected = encoder(pixels.astype(np.float32))
    np.testing.assert_allclose(part(pixels, ["flat"])["flat"], expected, rtol=1e-4, atol=1e-3)
    with pytest.raises(UnknownName, match="Did you mean encoder"):
        load_model(f"{path},part=encodr", input=RAW)
    whole = keras.Model(
        [left, keras.Input((5,), name="five")], layers.Flatten(name="flatten")(left)
    )
    path = tmp_path / "mixed.keras"
    whole.save(path)
    with pytest.raises(ModelError, match=r"Give the others a value: .*mixed\.keras,five=NUMBER\."):
        load_model(str(path))
    part = load_model(f"{path},five=0", input=RAW)
    np.testing.assert_array_equal(
        part(pixels, ["flatten"])["flatten"], pixels.reshape(len(pixels), -1)
    )
