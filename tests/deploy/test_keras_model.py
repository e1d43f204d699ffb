"""A head, its network and the preparation of pictures as one Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.deploy.head_layers import add_head
from featx.deploy.keras_model import build_keras_model, take_network
from featx.errors import HeadError, ModelError
from featx.heads.operations import (
    Affine,
    NearestMean,
    NearestVote,
    Operation,
    Relu,
    Sigmoid,
    Softmax,
    Standardise,
    Temper,
    UnitLength,
    compute,
)
from featx.models import restore_model
from featx.models.keras_settings import build_apart
from featx.poolings import pool_features
from featx.specs import FeatureSpec
from tests.deploy.pictures import write_noise

pytestmark = pytest.mark.tensorflow

GENERATOR = np.random.default_rng(3)
EXAMPLES = UnitLength()(GENERATOR.normal(size=(30, 5)).astype(np.float32))
COUNTS = np.linspace(0.5, 2, 30, dtype=np.float32)
MAP = Affine(GENERATOR.normal(size=(4, 5)).astype(np.float32), np.arange(4, dtype=np.float32))


def layers_of(operations: tuple[Operation, ...], vectors: np.ndarray) -> np.ndarray:
    import keras

    def build() -> np.ndarray:
        symbols = keras.Input((vectors.shape[1],))
        model = keras.Model(symbols, add_head(symbols, operations))
        return np.asarray(model(vectors))

    return build_apart(build)


@pytest.mark.parametrize(
    "operations",
    [
        (Standardise(np.float32([0, 100, -3, 4, 5]), np.float32([1, 2, 1e-9, 3, 4])), Relu()),
        (MAP, Softmax(), Temper(2.5)),
        (MAP, Relu(), Affine(np.eye(4, dtype=np.float32), np.ones(4, np.float32)), Sigmoid()),
        (
            UnitLength(),
            NearestVote(EXAMPLES, np.arange(30) % 3, COUNTS, 3, 7, 0.07, 0.1),
        ),
        (
            UnitLength(),
            NearestMean(
                EXAMPLES,
                GENERATOR.normal(size=(30, 2)).astype(np.float32),
                COUNTS,
                40,
                0.07,
                np.float32([1, 2]),
                0.3,
            ),
        ),
    ],
    ids=["standardise", "softmax", "sigmoid", "vote", "mean"],
)
def test_layers_compute_what_operations_compute(operations: tuple[Operation, ...]) -> None:
    vectors = GENERATOR.normal(size=(9, 5)).astype(np.float32)
    vectors[4] = 0  # Of no direction.

    found = layers_of(operations, vectors)

    np.testing.assert_allclose(found, compute(operations, vectors), rtol=2e-5, atol=1e-6)


def test_operations_of_an_add_on_are_refused() -> None:
    def double(values: np.ndarray) -> np.ndarray:
        return 2 * values

    with pytest.raises(HeadError, match="'function' of this head belongs to an add-on"):
        layers_of((double,), np.zeros((1, 2), np.float32))


def nested(scale: float = 0.1) -> Any:
    """A sequential network around a functional one whose layers have the same names."""
    import keras

    inner_input = keras.Input((8, 10, 3))
    inner = keras.layers.Conv2D(4, 3, name="conv", activation="relu")(inner_input)
    inner = keras.Model(inner_input, keras.layers.Conv2D(6, 1, name="last")(inner), name="inner")
    pixels = keras.Input((16, 20, 3))
    x = keras.layers.Conv2D(3, 3, 2, "same", name="conv")(pixels)
    twice = keras.layers.Conv2D(6, 1, name="twice")
    x = twice(inner(x, training=False))
    x = keras.layers.GlobalAveragePooling2D(name="mean")(twice(x) * scale)
    return keras.Model(pixels, keras.layers.Dense(3, name="top")(x), name="outer")


@pytest.mark.parametrize("layer", ["conv", "inner/conv", "inner", "twice#1", "twice#2", "mean"])
@pytest.mark.parametrize("pool", ["avg", "flatten"])
def test_a_network_up_to_a_layer_computes_the_feature(layer: str, pool: str) -> None:
    model = build_apart(nested)
    backbone = featx.load_model(model, preprocess="unit")
    described = next(each for each in backbone.features() if each.name == layer)
    feature = FeatureSpec(layer, "layer", pool, described.shape)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3)).astype(np.uint8)

    network = build_apart(lambda: take_network(backbone, feature))

    expected = pool_features(backbone(pictures, [layer])[layer], pool)
    scaled = pictures.astype(np.float32) / 255
    np.testing.assert_allclose(np.asarray(network(scaled)), expected, rtol=1e-5, atol=1e-5)
    assert len(model.get_layer("conv")._inbound_nodes) == 1, "the caller's model was changed"


def test_training_the_network_leaves_the_model_alone() -> None:
    model = build_apart(nested)
    backbone = featx.load_model(model, preprocess="unit")
    before = [np.array(weight) for weight in model.get_weights()]
    feature = FeatureSpec("mean", "layer", "none", (6,))

    network = build_apart(lambda: take_network(backbone, feature))
    network.set_weights([0 * weight for weight in network.get_weights()])

    assert all((one == two).all() for one, two in zip(before, model.get_weights(), strict=True))


@pytest.mark.slow
def test_the_whole_is_what_predict_says_and_keras_alone_loads_it(
    tmp_path: Path,
) -> None:
    import keras

    images = write_noise(tmp_path / "photos")
    featx.extract(images, model="builtin:mini", output=tmp_path / "f.h5")
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    head = featx.load_head(tmp_path / "head")

    def build() -> Any:
        return build_keras_model(head, restore_model(head.model))

    model = build_apart(build)
    model.save(tmp_path / "whole.keras")
    again = keras.saving.load_model(tmp_path / "whole.keras")

    report = featx.predict(images, head=head, top=2)
    for each in report.predictions:
        picture = np.asarray(Image.open(each.path).convert("RGB"))[np.newaxis]
        found = np.asarray(model(picture))
        assert (np.asarray(again(picture)) == found).all()
        ours = dict(zip(each.classes, each.probabilities, strict=True))
        np.testing.assert_allclose(found[0], [ours[name] for name in head.classes], atol=1e-5)


def test_a_graph_is_not_a_keras_model(toy: str) -> None:
    backbone = featx.load_model(toy)
    feature = FeatureSpec("mean", "layer", "none", (3,))

    with pytest.raises(ModelError, match="is a graph, not a model of Keras"):
        build_apart(lambda: take_network(backbone, feature))
