"""Which pixels a network was trained on, read off its first convolution and normalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec, Scaling
from featx.models import load_model
from featx.models.trained_pixels import find_trained_pixels

SIZE = 24


def photographs() -> np.ndarray:
    """Pictures with the mean and the deviation of photographs, smooth as these are."""
    random = np.random.default_rng(0)
    small = random.normal([123, 116, 104], 66, (40, 4, 4, 3))
    grey = random.normal(0, 1, (40, 4, 4, 1)) * 65
    smooth = np.repeat(np.repeat(0.4 * small + 0.6 * np.array([123, 116, 104]) + grey, 6, 1), 6, 2)
    return np.clip(smooth, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    """A network, its convolution and its normalisation, which takes the last batch's statistics."""
    import_tensorflow()
    import keras

    layers = keras.layers
    conv = layers.Conv2D(16, 3, name="conv", bias_initializer="ones")
    norm = layers.BatchNormalization(momentum=0.0, name="norm")
    images = keras.Input((SIZE, SIZE, 3))
    outputs = layers.GlobalAveragePooling2D()(norm(conv(images)))
    kernel = np.random.default_rng(1).normal(0.05, 0.2, (3, 3, 3, 16))
    conv.set_weights([kernel, np.ones(16)])
    return keras.Model(images, outputs), conv, norm


@pytest.mark.tensorflow
@pytest.mark.parametrize("scaling", get_args(Scaling))
def test_a_network_tells_the_scaling_that_it_was_trained_with(
    tmp_path: Path, parts: tuple[Any, Any, Any], scaling: Scaling
) -> None:
    model, _, _ = parts
    order = "bgr" if scaling == "caffe" else "rgb"
    pixels = scale_pixels(photographs(), InputSpec(SIZE, SIZE, 3, scaling, order))
    model(pixels, training=True)
    model.save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"))
    assert backbone.spec.input.scaling is None  # It is no proof: the question is asked.
    assert "begins with 'conv', trained on pixels of mean" in backbone.beginning.text
    assert backbone.beginning.text.endswith(f": probably {scaling}")
    assert backbone.beginning.warning == ""


@pytest.mark.tensorflow
def test_a_graph_tells_it_too(tmp_path: Path, parts: tuple[Any, Any, Any]) -> None:
    model, _, _ = parts
    pixels = scale_pixels(photographs(), InputSpec(SIZE, SIZE, 3, "tf"))
    model(pixels, training=True)
    model.save(tmp_path / "net.keras")
    model.export(tmp_path / "net", verbose=False)
    texts = [load_model(str(tmp_path / name)).beginning.text for name in ("net.keras", "net")]
    first, second = (text.partition(", trained on") for text in texts)
    assert first[2] == second[2]
    assert second[2].endswith(": probably tf")
    assert second[0].endswith("/conv_1'") or second[0].endswith("/conv'")


@pytest.mark.tensorflow
@pytest.mark.parametrize("is_fused", [True, False])
def test_a_frozen_graph_tells_it(tmp_path: Path, is_fused: bool) -> None:
    tf = import_tensorflow()
    random = np.random.default_rng(3)
    kernel = random.normal(0.05, 0.2, (3, 3, 3, 16)).astype(np.float32)
    mean = kernel.sum(axis=(0, 1)).T @ np.array([0.48, 0.45, 0.4], np.float32)
    variance = np.square(0.25 * kernel.sum(axis=(0, 1, 2)))
    scale, offset = (random.normal(1, 0.1, 16).astype(np.float32) for _ in range(2))
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="input")
        maps = tf.nn.conv2d(images, kernel, 1, "SAME", name="net/first/conv")
        if is_fused:
            maps, _, _ = tf.compat.v1.nn.fused_batch_norm(
                maps, scale, offset, mean, variance, is_training=False
            )
        else:
            maps = tf.nn.batch_normalization(maps, mean, variance, offset, scale, 1e-3)
        tf.reduce_mean(tf.nn.relu(maps), [1, 2], name="vector")
    (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    text = load_model(str(tmp_path / "graph.pb")).beginning.text
    assert text == (
        "begins with 'net/first', trained on pixels of mean (0.48, 0.45, 0.4), deviation 0.25: "
        "probably unit"
    )


@pytest.mark.tensorflow
def test_the_mean_is_exact(parts: tuple[Any, Any, Any]) -> None:
    model, conv, norm = parts
    pixels = scale_pixels(photographs(), InputSpec(SIZE, SIZE, 3, "unit"))
    pixels[:] = pixels.mean(axis=(0, 1, 2))  # No borders that count less.
    pixels[::2] *= 0.5
    model(pixels, training=True)
    kernel, bias = conv.get_weights()
    found = find_trained_pixels(
        "conv", kernel, norm.moving_mean.numpy() - bias, norm.moving_variance.numpy()
    )
    assert found is not None
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize(
    ("mean", "num_filters"),
    [(np.zeros(16), 16), (np.arange(16.0) % 5, 16), (np.arange(3.0), 3)],
)
def test_what_was_not_trained_says_nothing(mean: np.ndarray, num_filters: int) -> None:
    kernel = np.random.default_rng(2).normal(0, 1, (3, 3, 3, num_filters))
    assert find_trained_pixels("conv", kernel, mean, np.ones(num_filters)) is None


@pytest.mark.parametrize("damaged", ["kernel", "mean", "variance"])
def test_weights_that_are_not_finite_tell_nothing(damaged: str) -> None:
    random = np.random.default_rng(4)
    arrays = {
        "kernel": random.normal(size=(3, 3, 3, 16)),
        "mean": random.normal(size=16),
        "variance": np.ones(16),
    }
    arrays[damaged].flat[0] = np.nan
    assert find_trained_pixels("conv", **arrays) is None


def test_normalisation_without_statistics_tells_nothing() -> None:
    kernel = np.random.default_rng(5).normal(size=(3, 3, 3, 16))
    assert find_trained_pixels("conv", kernel, np.zeros(0), np.zeros(0)) is None


def test_few_filters_are_not_explained_by_chance() -> None:
    for seed in range(200):
        random = np.random.default_rng(seed)
        kernel, mean = random.normal(size=(3, 3, 3, 4)), random.normal(size=4)
        assert find_trained_pixels("conv", kernel, mean, np.ones(4)) is None
