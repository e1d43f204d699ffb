"""Models that take something else than (batch, height, width, channels), or need their code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.errors import ModelError, UnknownName
from featx.models import load_model
from featx.models.input_contract import read_input_shape
from featx.models.keras_reasons import keras_reason
from featx.options import InputOptions

pytestmark = pytest.mark.tensorflow

RAW = InputOptions(preprocess="raw")
GREY = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "meaning"),
    [
        ((None, 10), "rows of 10 numbers, as of a table"),
        ((None, None), "rows of any number of numbers"),
        ((None, 784), r"pixels of 28 x 28 images, put keras\.Input\(\(28, 28, 1\)\)"),
        ((None, 3072), r"keras\.Input\(\(32, 32, 3\)\)"),
        ((None, None, 64), "it takes sequences"),
        ((None,), "single numbers"),
        ((None, 16, 112, 112, 3), "sequences of images, or volumes"),
    ],
)
def test_models_that_are_not_for_images_are_told_so(shape: Any, meaning: str) -> None:
    with pytest.raises(ModelError, match=f"featx feeds models batches of images.*{meaning}"):
        read_input_shape(shape, "net")


@pytest.mark.parametrize("kind", ["keras", "savedmodel"])
def test_an_input_without_channels_is_grey(tmp_path: Path, kind: str) -> None:
    import keras

    images = keras.Input((8, 8))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    path = tmp_path / ("net.keras" if kind == "keras" else "net")
    if kind == "keras":
        model.save(path)
    else:
        model.export(path, verbose=False)
    backbone = load_model(str(path), input=RAW)
    contract = backbone.spec.input
    assert (contract.height, contract.width, contract.channels) == (8, 8, 1)
    last = backbone.features()[-1].name
    expected = model(GREY[..., 0].astype(np.float32))
    np.testing.assert_allclose(backbone(GREY, [last])[last], expected, rtol=1e-4, atol=1e-3)
    graph = backbone.freeze([last])
    assert graph is not None


def test_the_signature_that_takes_pixels_is_used(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    pixels = tf.TensorSpec([None, 8, 8, 3], tf.float32)

    @tf.function(input_signature=[pixels])
    def from_pixels(images: Any) -> Any:
        return {"features": tf.reduce_mean(tf.nn.relu(images), [1, 2])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def from_files(files: Any) -> Any:
        return {"sizes": tf.cast(tf.strings.length(files), tf.float32)[:, tf.newaxis]}

    module.from_pixels, module.from_files = from_pixels, from_files
    signatures = {"serving_default": from_files, "from_pixels": from_pixels}
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=signatures)
    backbone = load_model(str(tmp_path / "m"), input=RAW)
    assert backbone.features()[-1].name == "features"
    assert any("'from_pixels', which takes pixels, is used" in note for note in backbone.notes)


def test_names_that_tensorflow_does_not_take(tmp_path: Path) -> None:
    import keras

    images = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="my conv, 1#*")(images)
    keras.Model(images, keras.layers.Flatten(name="*flat")(x)).save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"), input=RAW)
    assert [layer.name for layer in backbone.features()][-2:] == ["my conv, 1#*", "*flat"]


def test_a_network_that_was_never_built(tmp_path: Path) -> None:
    import keras

    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Conv2D(2, 3)]).save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match=r"saved before it was built.*keras\.Input"):
        load_model(str(tmp_path / "net.keras"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "own2.keras").touch()
    with pytest.raises(UnknownName, match=r"own\.keras.*own2\.keras.*no such file"):
        load_model(str(tmp_path / "own.keras"))


CODE = """
import keras

class Net(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.conv = keras.layers.Conv2D(2, 3, name="conv")
        self.pool = keras.layers.GlobalAveragePooling2D(name="pool")

    def call(self, images):
        return self.pool(self.conv(images))
"""


def test_a_subclassed_network_runs_with_its_code(tmp_path: Path) -> None:
    path = tmp_path / "sub.keras"
    script: dict[str, Any] = {"__name__": "__main__"}
    exec(CODE, script)
    net, ones = script["Net"](), np.ones((1, 8, 8, 3), np.uint8)
    expected = net(ones.astype(np.float32))
    net.save(path)
    for trust in (False, True):
        with pytest.raises(ModelError, match=r"needs 'Net', .*Write it to sub\.py.*trust_model"):
            load_model(str(path), input=RAW, trust_model_code=trust)
    (tmp_path / "sub.py").write_text(CODE)
    with pytest.raises(ModelError, match="needs 'Net'"):
        load_model(str(path), input=RAW)
    backbone = load_model(str(path), input=RAW, trust_model_code=True)
    assert [layer.name for layer in backbone.features()] == ["conv", "pool"]
    np.testing.assert_allclose(backbone(ones, ["pool"])["pool"], expected, atol=1e-5)
    before = backbone.spec.fingerprint
    (tmp_path / "sub.py").write_text(CODE + "# changed\n")
    changed = load_model(str(path), input=RAW, trust_model_code=True)
    assert changed.spec.fingerprint != before


def test_the_cause_behind_the_first_line_of_keras() -> None:
    wrapped = (
        "Exception encountered when calling Functional.call().\n\n\x1b[1mToo small.\x1b[0m\n\n"
        "Arguments received by Functional.call():\n  • inputs=..."
    )
    assert keras_reason(ValueError(wrapped)) == "Too small."
    nested = (
        "<class 'A'> could not be deserialized properly. Please ensure.\n\nconfig={'a': 1}.\n\n"
        "Exception encountered: Unknown argument 'b'. Full object config: {'a': 1}"
    )
    assert keras_reason(TypeError(nested)) == "Unknown argument 'b'."
