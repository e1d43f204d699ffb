"""Keras applications: featx's features equal those of the Keras documentation's own snippet."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from featx.errors import DownloadNotAllowed, InvalidValue, ModelError, UnknownName
from featx.images.decode import decode_image
from featx.images.preprocess import scale_pixels
from featx.models import load_model, restore_model
from featx.models.backbone import Backbone
from featx.models.content_hash import hash_arrays
from featx.models.contracts import APPLICATIONS
from featx.options import InputOptions
from featx.testing import write_images
from featx.training.fine_tuning import fine_tune
from tests.deploy.pictures import make_head
from tests.models.small_application import replace_mobilenet
from tests.real_data import REAL_DATA, needs_real_data

pytestmark = pytest.mark.tensorflow

TOLERANCE = 1e-4  # relative to the largest activation, in float32

ONE_OF_EACH_FAMILY = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
]

VGG = ("VGG16", "VGG19")
"""Compared without their classifiers, whose 500 MB of random weights come after every layer."""


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with edges and gradients, of another size and shape than any input."""
    rows, columns = np.mgrid[0:300, 0:420]
    waves = [np.sin(rows / (7 + i)) * np.cos(columns / (11 + 3 * i)) for i in range(3)]
    pixels = np.stack([127 + 120 * wave for wave in waves], axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp("photograph") / "waves.jpg"
    Image.fromarray(pixels).save(path, quality=90)
    return path


@pytest.fixture(scope="module")
def quarters() -> dict[bool, Any]:
    """Keras's MobileNet of a quarter of the width, with its classifier (True) and without."""
    import keras

    shape = (224, 224, 3)
    return {
        top: keras.applications.MobileNet(
            alpha=0.25, weights=None, include_top=top, input_shape=shape
        )
        for top in (True, False)
    }


def keras_snippet(
    name: str, path: Path, layers: list[str], **options: Any
) -> dict[str, np.ndarray]:
    """The code block of the Keras documentation, with seeded random weights."""
    import keras
    from keras.preprocessing import image

    family = getattr(keras.applications, APPLICATIONS[name].family)
    keras.utils.set_random_seed(0)
    options |= {"weights": None, "include_top": name not in VGG}
    base_model = getattr(keras.applications, name)(**options)
    size = (APPLICATIONS[name].size, APPLICATIONS[name].size)
    outputs = {layer: base_model.get_layer(layer).output for layer in layers}
    model = keras.Model(inputs=base_model.input, outputs=outputs)
    img = image.load_img(path, target_size=size)
    x = image.img_to_array(img)
    x = np.expand_dims(x, axis=0)
    x = family.preprocess_input(x)
    result: dict[str, np.ndarray] = model.predict(x, verbose=0)
    return result


def load_nearest(name: str, **options: Any) -> Backbone:
    options |= {"include_top": False} if name in VGG else {}
    reference = ",".join([f"keras:{name}", *(f"{key}={value}" for key, value in options.items())])
    overrides = InputOptions(interpolation="nearest")  # What load_img uses.
    return load_model(reference, weights="random", input=overrides)


def compute(backbone: Backbone, path: Path, layers: list[str]) -> dict[str, np.ndarray]:
    pixels = decode_image(path.read_bytes(), backbone.spec.input)
    return backbone(pixels[np.newaxis], layers)


def assert_same(expected: dict[str, np.ndarray], received: dict[str, np.ndarray]) -> None:
    assert expected.keys() == received.keys()
    for layer, value in expected.items():
        scale = np.abs(value).max()
        assert scale > 0, f"{layer} is silent: the comparison would mean nothing"
        assert received[layer].shape == value.shape
        np.testing.assert_allclose(received[layer], value, atol=TOLERANCE * scale, rtol=TOLERANCE)


def test_vgg19_block4_pool_equals_the_documentation(photograph: Path) -> None:
    layers = ["block4_pool"]
    expected = keras_snippet("VGG19", photograph, layers)
    assert_same(expected, compute(load_nearest("VGG19"), photograph, layers))


@pytest.mark.slow
@needs_real_data
def test_vgg19_equals_the_documentation_on_a_real_photograph() -> None:
    layers = ["block3_pool", "block4_pool"]
    backbone = load_nearest("VGG19")
    path = min((REAL_DATA / "images/flowers12/test/iris").glob("*.jpg"))
    assert_same(keras_snippet("VGG19", path, layers), compute(backbone, path, layers))


QUICK = ("MobileNet", {"alpha": 0.25})
"""Compared in the default run: scaled to -1..1, and inside the network; by the mean is VGG19 above.

The others take 3 to 25 seconds each: run with -m slow.
"""


@pytest.mark.parametrize(
    ("name", "options"),
    [QUICK, *(pytest.param(name, {}, marks=pytest.mark.slow) for name in ONE_OF_EACH_FAMILY)],
)
def test_the_last_layers_of_every_family_equal_keras(
    name: str, options: dict[str, Any], photograph: Path
) -> None:
    import keras

    backbone = load_nearest(name, **options)
    numbered = [layer for layer in backbone.features() if layer.index is not None]
    maps = [layer.name for layer in numbered if len(layer.shape) == 3]
    layers = [maps[-1], numbered[-1].name]
    received = compute(backbone, photograph, layers)
    # Keras numbers unnamed layers by a counter of the process; featx names them as a new one.
    keras.utils.clear_session()
    assert_same(keras_snippet(name, photograph, layers, **options), received)


def test_every_family_is_covered() -> None:
    covered = {APPLICATIONS[name].family for name in [*ONE_OF_EACH_FAMILY, "VGG19"]}
    assert covered == {application.family for application in APPLICATIONS.values()}


def test_the_table_names_every_application_of_keras() -> None:
    import keras

    offered = {
        name
        for name in dir(keras.applications)
        if name[0].isupper() and callable(getattr(keras.applications, name))
    }
    assert set(APPLICATIONS) == offered


@pytest.mark.parametrize("name", sorted({a.family: n for n, a in APPLICATIONS.items()}.values()))
def test_scaling_equals_the_preprocess_input_of_the_family(name: str) -> None:
    import keras

    application = APPLICATIONS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    family = getattr(keras.applications, application.family)
    expected = family.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_array_equal(scale_pixels(pixels, application.contract()), expected)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small,alpha=0.25,minimalistic=True",
        pytest.param("MobileNetV3Small", marks=pytest.mark.slow),
        pytest.param("EfficientNetV2B0", marks=pytest.mark.slow),
        pytest.param("ConvNeXtTiny", marks=pytest.mark.slow),
    ],
)
def test_preprocessing_inside_and_outside_the_network_agree(name: str) -> None:
    # Same seed, same weights; the layers that rescale are inside one and outside the other.
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    small = InputOptions(img_size=(64, 64))
    results = []
    for reference in (f"keras:{name}", f"keras:{name},include_preprocessing=False"):
        backbone = load_model(f"{reference},include_top=False", weights="random", input=small)
        last = backbone.features()[-1].name
        results.append(backbone(pixels, [last])[last])
    scale = np.abs(results[0]).max()
    np.testing.assert_allclose(results[1], results[0], atol=2e-3 * scale)


def test_random_weights_are_the_same_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_mobilenet(monkeypatch)
    first = load_model("MobileNet,alpha=0.25", weights="random").spec
    second = load_model("keras:MobileNet,alpha=0.25", weights="random").spec
    other = load_model("keras:MobileNet,alpha=0.5", weights="random").spec
    assert first == second
    assert first.weights_sha256 != other.weights_sha256


def test_loading_leaves_the_callers_random_numbers_alone() -> None:
    import random

    random.seed(7)
    np.random.seed(7)
    expected = random.random(), np.random.random()
    random.seed(7)
    np.random.seed(7)
    load_model("keras:MobileNet,alpha=0.25", weights="random")
    assert (random.random(), np.random.random()) == expected


def test_defaults_that_are_spelled_out_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_mobilenet(monkeypatch)
    specs = {
        load_model(reference, weights="random").spec
        for reference in ("MobileNet", "keras:MobileNet,alpha=1,include_top=True")
    }
    assert len(specs) == 1


def test_unnamed_layers_have_the_same_names_whatever_was_built_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras

    def build(input_shape: Any = None, weights: object = None, include_top: bool = True) -> Any:
        images = keras.Input(input_shape or (8, 8, 3))
        x = keras.layers.Conv2D(3, 3)(images)
        return keras.Model(images, keras.layers.Conv2D(3, 3)(x))

    keras.layers.Conv2D(3, 3)  # Takes the name "conv2d" in this thread.
    monkeypatch.setattr(keras.applications, "InceptionV3", build)
    names = [layer.name for layer in load_model("InceptionV3", weights="random").features()]
    assert names[-2:] == ["conv2d", "conv2d_1"]


@pytest.mark.slow
def test_unnamed_layers_of_a_real_network_are_numbered_from_its_first() -> None:
    import keras

    keras.layers.Conv2D(3, 3)
    names = [layer.name for layer in load_model("InceptionV3", weights="random").features()]
    assert "conv2d" in names
    assert "conv2d_93" in names


def test_the_image_size_can_be_chosen() -> None:
    backbone = load_model(
        "keras:MobileNet,alpha=0.25,include_top=False",
        weights="random",
        input=InputOptions(img_size=(96, 128)),
    )
    by_name = {layer.name: layer.shape for layer in backbone.features()}
    assert by_name["conv_pw_13_relu"] == (3, 4, 256)


@pytest.mark.parametrize(
    ("top", "suffix"), [(True, ".weights.h5"), (False, ".weights.h5"), (False, ".h5")]
)
def test_weights_with_and_without_classifier_are_told_apart(
    quarters: dict[bool, Any],
    top: bool,
    suffix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras

    original = keras.applications.MobileNet
    built: list[bool] = []

    @functools.wraps(original)
    def count(*args: Any, **options: Any) -> Any:
        built.append(options.get("include_top", True))
        return original(*args, **options)

    model, path = quarters[top], tmp_path / f"some_name{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    monkeypatch.setattr(keras.applications, "MobileNet", count)
    backbone = load_model("keras:MobileNet,alpha=0.25", weights=str(path))
    assert top or built == [False]  # Once, although nobody said that it is without.
    assert backbone.spec.weights_sha256 == hash_arrays(each.numpy() for each in model.weights)
    assert ("include_top", False) in backbone.spec.arguments or top
    assert ("predictions" in {layer.name for layer in backbone.features()}) == top
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    expected = keras.Model(model.input, model.get_layer("conv_pw_13_relu").output)(
        keras.applications.mobilenet.preprocess_input(pixels.astype(np.float32))
    )
    assert_same({"conv_pw_13_relu": np.asarray(expected)}, backbone(pixels, ["conv_pw_13_relu"]))


def test_weights_of_another_network_are_refused_with_both_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_mobilenet(monkeypatch)
    import keras

    path = tmp_path / "other.weights.h5"
    keras.applications.MobileNet(alpha=0.5, weights=None).save_weights(path)
    with pytest.raises(ModelError, match="do not fit MobileNet.*with classifier.*without"):
        load_model("keras:MobileNet,alpha=0.25", weights=str(path))


@pytest.mark.parametrize(
    ("reference", "weights", "error", "message"),
    [
        ("keras:MobileNet,alhpa=0.25", "random", UnknownName, "Did you mean alpha"),
        ("keras:MobileNet,weights=None", "random", InvalidValue, "weights="),
        ("keras:MobileNet,input_shape=3", "random", InvalidValue, "img_size="),
        ("keras:MobileNet,pooling=avg", "random", InvalidValue, "pool="),
        ("keras:MobileNet,alpha=0.25", "no.h5", ModelError, "not a file"),
        ("keras:MobileNet,alpha=-1", "random", ModelError, "could not be built"),
    ],
)
def test_wrong_arguments_say_what_to_write(
    reference: str, weights: str, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        load_model(reference, weights=weights)


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def no_network(**arguments: Any) -> None:
        raise Exception("URL fetch failure on https://example.org/w.h5: None -- no network")

    def constructor(**arguments: Any) -> None:
        no_network()

    monkeypatch.setattr(keras.applications, "VGG16", constructor)
    with pytest.raises(ModelError, match="could not be downloaded.*weights='PATH'"):
        load_model("keras:VGG16")


@needs_real_data
@pytest.mark.parametrize(
    ("reference", "file", "layer"),
    [
        ("keras:MobileNet,alpha=0.25", "mobilenet_2_5_224_tf.h5", "predictions"),
        ("keras:MobileNet,alpha=0.25", "mobilenet_2_5_224_tf_no_top.h5", "conv_pw_13_relu"),
        pytest.param(
            "keras:MobileNetV2,alpha=0.35",
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
            "out_relu",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "keras:MobileNetV2",
            "mobilenet_v2_1.0_224_dequantized_from_coral_tf2_ptq.h5",
            "predictions",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_real_weights_load(reference: str, file: str, layer: str) -> None:
    backbone = load_model(reference, weights=str(REAL_DATA / "weights" / file))
    assert backbone.features()[-1].name == layer


@needs_real_data
def test_real_classifier_names_an_imagenet_class() -> None:
    import json

    backbone = load_model(
        "keras:MobileNet,alpha=0.25",
        weights=str(REAL_DATA / "weights/mobilenet_2_5_224_tf.h5"),
    )
    names = json.loads((REAL_DATA / "labels/imagenet_class_index.json").read_text())
    right = 0
    photographs = sorted((REAL_DATA / "images/imagenette/val/church").glob("*"))[:20]
    for path in photographs:
        pixels = decode_image(path.read_bytes(), backbone.spec.input)[np.newaxis]
        best = int(backbone(pixels, ["predictions"])["predictions"].argmax())
        right += names[str(best)][1] == "church"
    assert right >= 6  # 9 of 20 when this was written; by chance it would be 0


def test_weights_that_only_a_file_asks_for_are_not_fetched_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_mobilenet(monkeypatch)
    import keras

    asked: list[str] = []

    def retrieve(origin: str, *_: object) -> None:
        asked.append(origin)
        raise OSError("no network")

    def build(alpha: float = 1.0, input_shape: object = None, weights: object = None) -> None:
        keras.utils.get_file("weights.h5", "http://127.0.0.1:9/weights.h5", cache_dir=tmp_path)

    spec = load_model("keras:MobileNet,alpha=0.25", weights="random").spec
    spec = replace(spec, location="imagenet")
    monkeypatch.setattr(keras.src.utils.file_utils, "urlretrieve", retrieve)
    monkeypatch.setattr(keras.applications, "MobileNet", build)
    with pytest.raises(DownloadNotAllowed, match="ImageNet weights of"):
        restore_model(spec)
    with pytest.raises(DownloadNotAllowed, match="ImageNet weights of"):
        fine_tune(write_images(2), head=replace(make_head(), model=spec), output=tmp_path / "run")
    assert asked == []
    with pytest.raises(ModelError, match="no network"):
        restore_model(spec, allow_download=True)
    assert len(asked) == 1


def test_a_program_that_is_interrupted_need_not_wait_for_a_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras

    started: list[threading.Thread] = []

    def build(**arguments: Any) -> None:
        started.append(threading.current_thread())
        raise ValueError("too large")

    monkeypatch.setattr(keras.applications, "MobileNet", build)
    with pytest.raises(ModelError, match="too large"):
        load_model("keras:MobileNet", weights="random")
    # Python waits for others when it ends. Nothing was built before in a thread that is new.
    assert all(thread.daemon for thread in started)
    assert len(set(started)) == len(started) > 0
