"""Exported models that augment pictures at random: they give what they give in inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines import tensorflow_graph
from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.models import load_model
from featx.options import InputOptions

pytestmark = pytest.mark.tensorflow

RAW = InputOptions(preprocess="raw")
IMAGES = np.random.default_rng(0).integers(30, 220, (3, 16, 16, 3), dtype=np.uint8)
LAYERS: dict[str, Callable[[Any], list[Any]]] = {
    "flip": lambda layers: [layers.RandomFlip("horizontal_and_vertical")],
    "rotation": lambda layers: [layers.RandomRotation(0.2)],
    "zoom": lambda layers: [layers.RandomZoom(0.3)],
    "contrast upwards": lambda layers: [layers.RandomContrast(0.2)],
    "translation": lambda layers: [layers.RandomTranslation(0.2, 0.3)],
    "brightness": lambda layers: [layers.RandomBrightness(0.1)],
    "rotation to one side": lambda layers: [layers.RandomRotation((0.0, 0.2))],
    "uneven zoom": lambda layers: [layers.RandomZoom((-0.3, 0.1), (-0.1, 0.2))],
    "brightness upwards": lambda layers: [layers.RandomBrightness((0.0, 0.1))],
    "contrast": lambda layers: [layers.RandomContrast((0.5, 0.2))],
    "crop": lambda layers: [layers.RandomCrop(12, 12)],
    "rotation by some": lambda layers: [layers.RandomRotation((0.1, 0.2))],
    "zoom away": lambda layers: [layers.RandomZoom((0.1, 0.3))],
    "translation by some": lambda layers: [layers.RandomTranslation((0.1, 0.2), 0.3)],
    "brightness of a range": lambda layers: [
        layers.Rescaling(1 / 127.5, -1),
        layers.RandomBrightness(0.3),
    ],
    "saturation": lambda layers: [layers.RandomSaturation(0.3)],
    "saturation both ways": lambda layers: [layers.RandomSaturation((0.3, 0.7))],
    "sharpness": lambda layers: [layers.RandomSharpness(0.3)],
    "sharpness by some": lambda layers: [layers.RandomSharpness((0.6, 0.9))],
    "hue": lambda layers: [layers.RandomHue(0.3)],
    "hue by some": lambda layers: [layers.RandomHue((0.2, 0.3))],
    "grey": lambda layers: [layers.RandomGrayscale(0.9)],
    "always grey": lambda layers: [layers.RandomGrayscale(1.0)],
    "inversion": lambda layers: [layers.RandomInvert(0.9)],
    "inversion of most": lambda layers: [layers.RandomInvert((0.9, 1.0))],
    "colour degeneration": lambda layers: [layers.RandomColorDegeneration(0.4)],
    "colour jitter": lambda layers: [
        layers.RandomColorJitter((0, 255), 0.2, 0.2, 0.2, 0.2),
    ],
    "erasing": lambda layers: [layers.RandomErasing(0.9)],
    "shear": lambda layers: [layers.RandomShear(0.3, 0.3)],
    "perspective": lambda layers: [layers.RandomPerspective(0.9)],
    "blur": lambda layers: [layers.RandomGaussianBlur(0.9)],
    "elastic": lambda layers: [layers.RandomElasticTransform(0.9)],
    "mix": lambda layers: [layers.MixUp()],
    "cut and mix": lambda layers: [layers.CutMix()],
    "pipeline": lambda layers: [
        layers.Pipeline([layers.RandomFlip(), layers.RandomSaturation(0.2)])
    ],
    "several of colours": lambda layers: [
        layers.RandomSaturation(0.3),
        layers.RandomSharpness(0.3),
        layers.RandomHue(0.3),
        layers.RandomErasing(0.5),
        layers.RandomGaussianBlur(0.5),
    ],
    "several of [0, 1]": lambda layers: [
        layers.Rescaling(1 / 255),
        layers.RandomSaturation(0.3, value_range=(0, 1)),
        layers.RandomSharpness(0.3, value_range=(0, 1)),
        layers.RandomBrightness(0.2, value_range=(0, 1)),
    ],
    "before ReLU": lambda layers: [
        layers.Rescaling(1 / 127.5, -1),
        layers.RandomRotation(0.1),
        layers.ReLU(),
    ],
    "several": lambda layers: [
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1, seed=3),
        layers.RandomZoom(0.1),
        layers.GaussianNoise(0.1),
    ],
}


QUICK = ("flip", "crop", "hue by some", "several of colours")
"""Those of each way to leave a layer out; the others take as long."""


def build(layers: list[Any]) -> Any:
    import_tensorflow()
    import keras

    keras.utils.set_random_seed(0)
    images = x = keras.Input((16, 16, 3), name="images")
    for layer in layers:
        x = layer(x)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="mean")(x))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in LAYERS],
)
def test_an_export_gives_what_inference_gives(tmp_path: Path, name: str) -> None:
    import keras

    model = build(LAYERS[name](keras.layers))
    model.export(tmp_path / "model", verbose=False)
    backbone = load_model(str(tmp_path / "model"), input=RAW)
    assert any("random augmentation" in note for note in backbone.notes)
    result = backbone(IMAGES, ["output_0"])["output_0"]
    pixels = IMAGES.astype(np.float32)
    tolerance = {"rtol": 1e-5, "atol": 1e-5 * float(np.abs(result).max())}
    if name == "crop":  # In inference, Keras resizes first; in the middle lies the centre.
        model = keras.Sequential([keras.layers.CenterCrop(12, 12), *model.layers[2:]])
    np.testing.assert_allclose(result, model(pixels, training=False), **tolerance)
    alone = np.concatenate(
        [backbone(IMAGES[n : n + 1], ["output_0"])["output_0"] for n in (2, 1, 0)]
    )
    np.testing.assert_allclose(alone, result[::-1], **tolerance)


def test_its_features_are_extracted_and_repeated(tmp_path: Path) -> None:
    import keras

    build(LAYERS["several"](keras.layers)).export(tmp_path / "model", verbose=False)
    images = np.repeat(IMAGES[:1], 4, 0)
    backbone = load_model(str(tmp_path / "model"), input=RAW)
    results = [backbone(images, ["output_0"])["output_0"] for _ in range(2)]
    np.testing.assert_array_equal(results[0], results[1])
    assert len(np.unique(results[0], axis=0)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "RandomPosterization",
        pytest.param("RandAugment", marks=pytest.mark.slow),
        pytest.param("AugMix", marks=pytest.mark.slow),
    ],
)
def test_what_has_no_way_to_change_nothing_is_refused(tmp_path: Path, name: str) -> None:
    import keras

    arguments = (4,) if name == "RandomPosterization" else ()
    model = build([getattr(keras.layers, name)(*arguments)])
    model.export(tmp_path / "model", verbose=False)
    with pytest.raises(ModelError, match="random numbers.*Export it without the layer that draws"):
        load_model(str(tmp_path / "model"), input=RAW)


@pytest.mark.parametrize("matters", [True, False])
@pytest.mark.parametrize("seeded", [True, False])
def test_random_numbers_that_no_seed_variable_gives(
    tmp_path: Path, *, matters: bool, seeded: bool
) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3))])  # type: ignore[untyped-decorator]
    def run(images: Any) -> Any:
        shape = tf.shape(images)
        noise = tf.random.stateless_uniform(shape, (1, 2)) if seeded else tf.random.uniform(shape)
        means = tf.reduce_mean(images, (1, 2))
        return means + tf.reduce_mean(noise, (1, 2)) * (1.0 if matters else 0.0)

    module = tf.Module()
    module.run = run
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=run)
    if matters:
        with pytest.raises(ModelError, match="computes with random numbers.*RandomUniform"):
            load_model(str(tmp_path / "model"), input=RAW)
    else:
        assert load_model(str(tmp_path / "model"), input=RAW).features()


def test_random_numbers_without_a_middle_are_an_error(tmp_path: Path) -> None:
    import keras

    class Drawing(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seed = keras.random.SeedGenerator(1)

        def call(self, images: Any) -> Any:
            return images * keras.random.gamma((1,), 2.0, seed=self.seed)

    build([Drawing()]).export(tmp_path / "model", verbose=False)
    with pytest.raises(ModelError, match="computes with random numbers.*StatelessRandomGammaV3"):
        load_model(str(tmp_path / "model"), input=RAW)


@pytest.mark.parametrize("limit", [0, tensorflow_graph.FREEZE_LIMIT_BYTES])
def test_layers_that_run_as_in_training_do_so_in_no_graph(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    class Normalise(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, images: Any) -> Any:
            return super().call(images, training=True)

    class Drop(keras.layers.Dropout):  # type: ignore[misc]
        def call(self, images: Any) -> Any:
            return super().call(images, training=True)

    # Large models keep their variables, others get a graph of constants.
    monkeypatch.setattr(tensorflow_graph, "FREEZE_LIMIT_BYTES", limit)
    for layer in (Normalise(), Drop(0.5)):
        backbone = load_model(build([layer]), input=RAW)
        together = backbone(IMAGES, ["mean"])["mean"]
        for number in range(len(IMAGES)):
            alone = backbone(IMAGES[number : number + 1], ["mean"])["mean"]
            np.testing.assert_allclose(alone[0], together[number], rtol=1e-4)
