"""Both engines give the same numbers whatever a model comes from, and however it is fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.images.decode import decode_image
from featx.images.preprocess import scale_pixels
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.input_spec import ChannelOrder, Preprocess, Scaling
from featx.models import load_model
from featx.models.backbone import Backbone
from featx.models.selection import select_layers
from featx.options import InputOptions
from featx.testing.keras_models import toy_keras_model
from tests.inference.agreement import check_agreement, pixels_for, spread_layers
from tests.models.model_files import SIZE, SOURCES, build_graph, kernel, write_tf2_module
from tests.real_data import REAL_DATA, needs_real_data

pytestmark = pytest.mark.tensorflow

UNIT = InputOptions(preprocess="unit")
RAW = InputOptions(preprocess="raw")


def all_layers(backbone: Backbone) -> list[str]:
    return [layer.name for layer in backbone.features() if None not in layer.shape]


@pytest.mark.parametrize(
    "name",  # Of the built-in network, test_builtin_network compares each layer.
    [pytest.param(name, marks=pytest.mark.slow if name == "builtin" else ()) for name in SOURCES],
)
def test_every_source(name: str, tmp_path: Path) -> None:
    source = SOURCES[name](tmp_path)
    backbone = load_model(source.reference, weights=source.weights, input=source.input)
    check_agreement(
        backbone, [layer.name for layer in select_layers(source.layers, backbone.features())]
    )
    # All at once: the input itself, tensors on the way to others, two names of one tensor.
    together = spread_layers(backbone, 12) if name == "keras" else all_layers(backbone)
    check_agreement(backbone, together)


def test_layers_of_several_signatures_are_those_of_tensorflow(tmp_path: Path) -> None:
    """They are merged into one graph: each must be what TensorFlow makes of its signature."""
    tf = import_tensorflow()
    source = SOURCES["hub, TF1"](tmp_path)
    backbone = load_model(source.reference)
    pixels = pixels_for(backbone)
    names = ["default", "image_feature_vector/net/block1"]
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    received = fast(pixels, names)
    assert fast.run_facts["engine"] == "openvino"
    loaded = tf.saved_model.load(str(source.path), tags=[])
    images = tf.constant(scale_pixels(pixels, backbone.spec.input))
    expected = {
        "default": loaded.signatures["default"](images)["default"],
        names[1]: loaded.signatures["image_feature_vector"](images)["net/block1"],
    }
    for name in names:
        np.testing.assert_allclose(received[name], expected[name], rtol=1e-5, atol=1e-5)


def one_channel(keras: Any) -> Any:
    images = keras.Input((12, 16, 1), name="images")
    x = keras.layers.Conv2D(4, 3, name="conv")(images)
    return keras.Model(images, keras.layers.Flatten(name="flat")(x))


def rescaling_inside(keras: Any) -> Any:
    images = keras.Input((12, 16, 3), name="images")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(images)
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Activation("gelu", name="gelu")(x)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name="up")(x)
    x = keras.layers.LayerNormalization(name="layer_norm")(x)
    return keras.Model(images, keras.layers.GlobalMaxPooling2D(name="most")(x))


def with_layout(keras: Any, data_format: str) -> Any:
    """One network in either layout, with the same weights."""
    keras.utils.set_random_seed(3)
    layers, layout = keras.layers, {"data_format": data_format}
    is_first = data_format == "channels_first"
    images = keras.Input((3, 12, 16) if is_first else (12, 16, 3), name="images")
    x = layers.ZeroPadding2D(1, name="pad", **layout)(images)
    x = layers.Conv2D(5, 3, name="conv", **layout)(x)
    x = layers.BatchNormalization(axis=1 if is_first else -1, name="norm")(x)
    x = layers.MaxPooling2D(2, name="pool", **layout)(x)
    last = layers.Permute((2, 3, 1) if is_first else (1, 2, 3), name="turned")(x)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="mean")(last))


def attention(keras: Any) -> Any:
    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Conv2D(8, 4, strides=4, name="patches")(images)
    x = keras.layers.Reshape((16, 8), name="tokens")(x)
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = keras.layers.LSTM(6, return_sequences=True, name="lstm")(x)
    x = keras.layers.Softmax(name="softmax")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling1D(name="mean")(x))


@pytest.mark.parametrize(
    ("build", "overrides"),
    [
        (one_channel, UNIT),
        (one_channel, InputOptions(preprocess="tf")),
        (rescaling_inside, RAW),
        (lambda keras: toy_keras_model(), RAW),
    ],
)
def test_keras_files(tmp_path: Path, build: Callable[[Any], Any], overrides: InputOptions) -> None:
    import keras

    keras.utils.set_random_seed(3)
    model = build(keras)
    if model.name == "toy":  # It has a class of its own, which a file does not bring.
        model.export(tmp_path / "net", verbose=False)
        backbone = load_model(str(tmp_path / "net"), input=overrides)
    else:
        model.save(tmp_path / "net.keras")
        backbone = load_model(str(tmp_path / "net.keras"), input=overrides)
    check_agreement(backbone, all_layers(backbone))


@pytest.mark.parametrize("preprocess", ["unit", "torch"])
def test_channels_first_is_channels_last_on_any_processor(
    tmp_path: Path, preprocess: Preprocess
) -> None:
    """TensorFlow has no convolutions with channels first on some processors; OpenVINO has."""
    import keras

    pixels, values = np.zeros(0), {}
    for data_format in ("channels_first", "channels_last"):
        with_layout(keras, data_format).save(tmp_path / f"{data_format}.keras")
        backbone = load_model(str(tmp_path / f"{data_format}.keras"), preprocess=preprocess)
        pixels = pixels_for(backbone)
        names = [layer.name for layer in backbone.features()]
        fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
        values[data_format] = fast(pixels, names)
        assert fast.run_facts["engine"] == "openvino"
    check_agreement(backbone, names, pixels)  # Channels last, with TensorFlow.
    for name in names:
        expected = values["channels_last"][name]
        np.testing.assert_allclose(values["channels_first"][name], expected, rtol=1e-5, atol=1e-5)


def test_attention_and_recurrence(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(3)
    attention(keras).save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"), input=UNIT)
    check_agreement(backbone, all_layers(backbone))


def write_graph(path: Path, build: Callable[[Any, Any], None], dtype: str) -> Backbone:
    """Write and load a frozen graph of one placeholder ``input``."""
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(dtype, [None, SIZE, SIZE, 3], name="input")
        build(tf, images)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    overrides = RAW if dtype == "uint8" else UNIT
    return load_model(str(path), input=overrides)


def test_a_graph_of_whole_numbers(tmp_path: Path) -> None:
    def build(tf: Any, images: Any) -> None:
        build_graph(tf.cast(images, tf.float32), tf.constant(kernel()))

    backbone = write_graph(tmp_path / "graph.pb", build, "uint8")
    check_agreement(backbone, all_layers(backbone))


def test_a_module_of_whole_numbers(tmp_path: Path) -> None:
    module = write_tf2_module(tmp_path / "module", dtype=import_tensorflow().uint8)
    backbone = load_model(f"hub:{module}")
    check_agreement(backbone, all_layers(backbone))


def test_a_graph_in_float16(tmp_path: Path) -> None:
    def build(tf: Any, images: Any) -> None:
        maps = tf.nn.relu(
            tf.nn.conv2d(images, tf.constant(kernel().astype(np.float16)), 2, "SAME", name="conv"),
            name="relu",
        )
        tf.cast(tf.reduce_mean(maps, [1, 2], name="mean"), tf.float32, name="cast")

    backbone = write_graph(tmp_path / "graph.pb", build, "float16")
    pixels = pixels_for(backbone)
    names = all_layers(backbone)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    received = fast(pixels, names)
    assert fast.run_facts["engine"] == "openvino"
    for name, expected in backbone(pixels, names).items():  # float16 has 11 bits.
        np.testing.assert_allclose(received[name], expected, atol=2e-3 * np.abs(expected).max())


def test_second_results_of_operations_and_names_like_tensors(tmp_path: Path) -> None:
    def build(tf: Any, images: Any) -> None:
        first, second, _ = tf.split(images, 3, axis=-1, name="split")
        tf.identity(second * 2.0, name="split_1")
        tf.reduce_mean(first - second, [1, 2], name="input_0")

    backbone = write_graph(tmp_path / "graph.pb", build, "float32")
    check_agreement(backbone, all_layers(backbone))


@pytest.mark.parametrize(
    ("scaling", "order"),  # Two of them differ from channel to channel.
    [
        *((scaling, "rgb") for scaling in ("caffe", "tf", "torch", "unit", "raw")),
        ("caffe", "bgr"),
        ("torch", "bgr"),
    ],
)
def test_every_scaling_is_that_of_scale_pixels(
    tmp_path: Path, scaling: Scaling, order: ChannelOrder
) -> None:
    import keras

    images = keras.Input((12, 16, 3), name="images")
    keras.Model(images, keras.layers.Conv2D(2, 3, name="conv")(images)).save(tmp_path / "n.keras")
    overrides = InputOptions(preprocess=scaling, channel_order=order)
    backbone = load_model(str(tmp_path / "n.keras"), input=overrides)
    values = np.arange(256, dtype=np.uint8)
    pixels = np.random.default_rng(0).permutation(np.tile(values, 9)).reshape(4, 12, 16, 3)
    check_agreement(backbone, ["conv"], pixels)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    expected = scale_pixels(pixels, backbone.spec.input)
    received = fast(pixels, ["images"])["images"]
    np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_images_of_other_sizes_in_one_batch_count(tmp_path: Path) -> None:
    source = SOURCES[".keras"](tmp_path)
    backbone = load_model(source.reference, input=source.input)
    pixels = pixels_for(backbone, 7)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    together = fast(pixels, source.layers)
    for first, last in ((0, 1), (1, 3), (3, 7)):
        part = fast(pixels[first:last], source.layers)
        for name in source.layers:
            np.testing.assert_allclose(part[name], together[name][first:last], atol=1e-6)


REAL_MODELS = {
    "MobileNet 0.25": ("keras:MobileNet,alpha=0.25", "mobilenet_2_5_224_tf.h5"),
    "MobileNetV2 0.35": (
        "keras:MobileNetV2,alpha=0.35",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    ),
    "MobileNetV2 1.0": (
        "keras:MobileNetV2",
        "mobilenet_v2_1.0_224_dequantized_from_coral_tf2_ptq_no_top.h5",
    ),
    "Teachable Machine, SavedModel": (
        "models/teachable_machine_savedmodel/model.savedmodel",
        None,
    ),
    "Teachable Machine, .h5": ("models/teachable_machine_savedmodel/keras_model.h5", None),
    "frozen graph": (
        "models/mobilenet_v1_025_graphdef/mobilenet_v1_0.25_224_frozen_graph.pb",
        None,
    ),
}

QUICK = ("frozen graph",)


@needs_real_data
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name not in QUICK else [])
        for name in REAL_MODELS
    ],
)
def test_real_networks_on_photographs(name: str) -> None:
    reference, weights = REAL_MODELS[name]
    if weights is None:
        backbone = load_model(str(REAL_DATA / reference), input=InputOptions(preprocess="tf"))
    else:
        backbone = load_model(reference, weights=str(REAL_DATA / "weights" / weights))
    contract = replace(backbone.spec.input, decode="exact")
    photos = sorted((REAL_DATA / "images/flowers12/test").glob("*/*.jpg"))[::60]
    pixels = np.stack([decode_image(photo.read_bytes(), contract) for photo in photos])
    check_agreement(backbone, spread_layers(backbone, 8), pixels)


def test_a_failing_network_says_so(tmp_path: Path) -> None:
    source = SOURCES[".keras"](tmp_path)
    backbone = load_model(source.reference, input=source.input)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    fast(pixels_for(backbone), source.layers)
    with pytest.raises(ModelError, match=r"OpenVINO failed to run the network"):
        fast(np.zeros((2, 5, 5, 3), np.uint8), source.layers)
