"""Layers of Keras models: every kind, against activations computed by hand and by Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import AmbiguousName, InvalidValue, ModelError, UnknownName
from featx.events import Listener
from featx.models import load_model, restore_model
from featx.models.backbone import Backbone
from featx.models.selection import select_layers
from featx.options import InputOptions
from featx.testing.keras_models import toy_keras_model

pytestmark = pytest.mark.tensorflow

COLOR = np.array([255, 153, 51], np.uint8)  # / 255 = 1, 0.6, 0.2; - 0.5 = 0.5, 0.1, -0.3
SUM = (0.5 + 0.1) / 2


@pytest.fixture(scope="module")
def toy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    model = toy_keras_model()
    # A custom layer cannot be read back without its code; everything before it can.
    plain = keras.Model(model.input, model.get_layer("both").input)
    path = tmp_path_factory.mktemp("toy") / "toy.keras"
    plain.save(path)
    return path


@pytest.fixture(scope="module")
def toy(toy_path: Path) -> Backbone:
    return load_model(str(toy_path))


def compute(backbone: Backbone, *names: str) -> dict[str, np.ndarray]:
    images = np.tile(COLOR, (2, 4, 4, 1)).astype(np.uint8)
    return backbone(images, names)


def test_every_kind_of_layer_gives_the_value_computed_by_hand(toy: Backbone) -> None:
    names = ["scale", "relu", "block/halve", "block/sum", "average", "twice#1", "twice#2"]
    result = compute(toy, *names)
    expected = {
        "scale": np.tile([1, 0.6, 0.2], (4, 4, 1)),
        "relu": np.tile([0.5, 0.1, 0], (4, 4, 1)),
        "block/halve": np.tile([0.25, 0.05, 0], (4, 4, 1)),
        "block/sum": np.full((2, 2, 1), SUM),
        "average": [SUM],
        "twice#1": [2 * SUM],
        "twice#2": [4 * SUM],
    }
    assert list(result) == names
    for name, value in expected.items():
        assert result[name].dtype == np.float32
        np.testing.assert_allclose(result[name], np.stack([value] * 2), atol=1e-6)


def test_a_layer_with_two_outputs_has_two_layers() -> None:
    from featx.input_spec import InputSpec
    from featx.models.keras_layers import KerasLayers

    layers = KerasLayers(toy_keras_model(), InputSpec(4, 4, scaling="raw"))
    assert [layer.name for layer in layers.layers][-3:] == ["both:0", "both:1", "joined"]
    images = np.tile(COLOR, (1, 4, 4, 1)).astype(np.float32)
    result = layers.compile(["both:1", "joined"])(images)
    np.testing.assert_allclose(result["both:1"], [[-4 * SUM]], atol=1e-6)
    np.testing.assert_allclose(result["joined"], [[4 * SUM, -4 * SUM]], atol=1e-6)


def test_layers_are_described_with_keras_indices_and_shapes(toy: Backbone) -> None:
    by_name = {layer.name: layer for layer in toy.features()}
    assert by_name["images"].index == 0
    assert by_name["images"].shape == (4, 4, 3)
    assert by_name["block/sum"].index is None
    assert by_name["block/sum"].shape == (2, 2, 1)
    assert by_name["block/sum"].stride(4) == 2
    assert by_name["relu"].type == "ReLU"
    assert by_name["relu"].num_bytes == 4 * 4 * 3 * 4
    assert by_name["average"].index == 5


def test_the_input_layer_is_a_layer_too(toy: Backbone) -> None:
    np.testing.assert_array_equal(compute(toy, "images")["images"][0, 0, 0], [255, 153, 51])


def test_a_layer_called_twice_is_refused_by_its_bare_name(toy: Backbone) -> None:
    with pytest.raises(AmbiguousName, match="'twice' is called several times.*twice#1 or twice#2"):
        select_layers(["twice"], toy.features())
    with pytest.raises(AmbiguousName, match="twice#1 or twice#2"):
        select_layers(["-1"], toy.features())


def test_a_nested_layer_is_found_by_the_unique_end_of_its_path(toy: Backbone) -> None:
    assert [layer.name for layer in select_layers(["halve"], toy.features())] == ["block/halve"]


def test_nothing_beyond_the_layer_is_computed(toy: Backbone) -> None:
    from featx.models.keras_layers import KerasLayers

    layers = KerasLayers(toy_keras_model(), toy.spec.input)
    early, late = layers.compile(["scale"]), layers.compile(["joined"])
    assert "Conv2D" not in early.operation_types
    assert late.operation_types.count("Conv2D") == 3
    # The weights of later layers are not kept in memory either.
    assert len(early.operation_types) < 10 < len(late.operation_types)


def test_large_weights_are_not_copied_into_the_graph(
    toy: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.engines import tensorflow_graph
    from featx.models.keras_layers import KerasLayers

    monkeypatch.setattr(tensorflow_graph, "FREEZE_LIMIT_BYTES", 0)
    compiled = KerasLayers(toy_keras_model(), toy.spec.input).compile(["relu", "joined"])
    assert "ReadVariableOp" in compiled.operation_types
    result = compiled(np.tile(COLOR, (1, 4, 4, 1)).astype(np.float32))
    np.testing.assert_allclose(result["joined"], [[4 * SUM, -4 * SUM]], atol=1e-6)
    np.testing.assert_allclose(result["relu"][0, 0, 0], [0.5, 0.1, 0], atol=1e-6)


def test_the_graph_is_built_once_per_set_of_layers(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.models.keras_layers import KerasLayers

    built: list[tuple[str, ...]] = []
    original = KerasLayers.compile

    def counted(self: KerasLayers, names: Any) -> Any:
        built.append(tuple(names))
        return original(self, names)

    monkeypatch.setattr(KerasLayers, "compile", counted)
    backbone = load_model(str(toy_path))
    for size in (1, 2, 5):
        backbone(np.zeros((size, 4, 4, 3), np.uint8), ["relu", "average"])
    assert built == [("relu", "average")]


def test_a_model_with_its_own_rescaling_gets_raw_pixels(toy: Backbone) -> None:
    assert toy.spec.input.scaling == "raw"
    assert (toy.spec.input.height, toy.spec.input.width) == (4, 4)


def test_a_model_without_rescaling_has_unknown_preprocessing(tmp_path: Path) -> None:
    import keras

    images = keras.Input((6, 6, 1))
    keras.Model(images, keras.layers.Flatten(name="flat")(images)).save(tmp_path / "grey.keras")
    backbone = load_model(str(tmp_path / "grey.keras"))
    assert backbone.spec.input.scaling is None
    with pytest.raises(InvalidValue, match="preprocess="):
        backbone(np.zeros((1, 6, 6, 1), np.uint8), ["flat"])
    unit = load_model(str(tmp_path / "grey.keras"), input=InputOptions(preprocess="unit"))
    result = unit(np.full((1, 6, 6, 1), 51, np.uint8), ["flat"])["flat"]
    np.testing.assert_allclose(result, np.full((1, 36), 0.2), atol=1e-7)
    with pytest.raises(InvalidValue, match="1 input channel"):
        load_model(str(tmp_path / "grey.keras"), input=InputOptions(preprocess="caffe"))


def test_a_renamed_file_is_the_same_model(toy_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.keras"
    copy.write_bytes(toy_path.read_bytes())
    assert load_model(str(copy)).spec.fingerprint == load_model(str(toy_path)).spec.fingerprint


def test_h5_files_load_too(tmp_path: Path) -> None:
    import keras

    images = keras.Input((4, 4, 3))
    x = keras.layers.Rescaling(1 / 255, name="scale")(images)
    keras.Model(images, keras.layers.GlobalMaxPooling2D(name="most")(x)).save(tmp_path / "n.h5")
    result = compute(load_model(str(tmp_path / "n.h5")), "most")["most"]
    np.testing.assert_allclose(result, [[1, 0.6, 0.2]] * 2, atol=1e-6)


def test_restoring_refuses_a_file_that_has_changed(toy_path: Path, tmp_path: Path) -> None:
    import keras

    from featx.errors import FingerprintMismatch

    path = tmp_path / "net.keras"
    path.write_bytes(toy_path.read_bytes())
    spec = load_model(str(path)).spec
    assert restore_model(spec).spec == spec
    model = keras.models.load_model(path)
    model.get_layer("twice").set_weights([np.array([[3.0]])])
    model.save(path)
    with pytest.raises(FingerprintMismatch, match="weights_sha256: expected"):
        restore_model(spec)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda k: ([k.Input((4, 4, 3)), k.Input((4, 4, 3))], None), "2 inputs"),
        (lambda k: (k.Input((4,)), None), "batches of images"),
        (lambda k: (k.Input((8, 8, 70)), None), "up to 64 pages"),
        (lambda k: (k.Input((8, 8, None)), None), "known number of channels"),
    ],
)
def test_models_that_do_not_take_one_image_are_refused(
    build: Any, message: str, tmp_path: Path
) -> None:
    import keras

    inputs, _ = build(keras)
    outputs = keras.layers.Add()(inputs) if isinstance(inputs, list) else inputs
    outputs = keras.layers.ReLU()(outputs)
    keras.Model(inputs, outputs).save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match=message):
        load_model(str(tmp_path / "net.keras"))


def test_a_model_of_any_size_gets_a_usual_one_and_says_so(tmp_path: Path) -> None:
    import keras

    images = keras.Input((None, None, 3))
    outputs = keras.layers.MaxPooling2D(2, name="pool")(images)
    keras.Model(images, outputs).save(tmp_path / "any.keras")
    usual = load_model(str(tmp_path / "any.keras"))
    assert usual.beginning.any_size
    assert usual.features()[-1].shape == (112, 112, 3)
    overrides = InputOptions(img_size=(6, 8), preprocess="raw")
    backbone = load_model(str(tmp_path / "any.keras"), input=overrides)
    assert not backbone.beginning.any_size
    assert backbone.features()[-1].shape == (3, 4, 3)
    notes: list[str] = []
    listener = Listener()
    listener.note = notes.append  # type: ignore[method-assign]
    featx.extract(
        [np.zeros((8, 8, 3), np.uint8)],
        tmp_path / "any.keras",
        output=tmp_path / "f.h5",
        preprocess="raw",
        listener=listener,
    )
    assert "any.keras at 224 x 224" in notes[1]
    assert notes[2] == "it takes images of any size: img_size=96, for example, chooses another"


def test_another_size_than_a_fixed_one_is_refused(toy_path: Path) -> None:
    with pytest.raises(InvalidValue, match="4 x 4 pixels.*Received: img_size=\\(8, 8\\)"):
        load_model(str(toy_path), input=InputOptions(img_size=(8, 8)))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.keras").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.keras"):
        load_model(str(tmp_path / "broken.keras"))


def test_keras_itself_agrees_on_the_nested_model(toy_path: Path, toy: Backbone) -> None:
    import keras

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    model = keras.models.load_model(toy_path)
    expected = model.predict(images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(toy(images, ["twice#2"])["twice#2"], expected, rtol=1e-5)


def test_unknown_layers_get_suggestions(toy: Backbone) -> None:
    with pytest.raises(UnknownName, match="Did you mean average"):
        select_layers(["averag"], toy.features())


def test_a_table_inside_the_model_is_no_layer(tmp_path: Path) -> None:
    import keras

    # Position embeddings have no batch axis: their rows would pass for images.
    class Positions(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.table = keras.layers.Embedding(16, 4, name="table")

        def call(self, inputs: Any) -> Any:
            return inputs + self.table(keras.ops.arange(16))

    from featx.input_spec import InputSpec
    from featx.models.keras_layers import KerasLayers

    images = keras.Input((4, 4, 4))
    tokens = keras.layers.Reshape((16, 4), name="tokens")(images)
    model = keras.Model(images, Positions(name="positions")(tokens))
    contract = InputSpec(4, 4, channels=3, scaling="raw")
    object.__setattr__(contract, "channels", 4)
    names = [layer.name for layer in KerasLayers(model, contract).layers]
    assert "positions" in names
    assert not any("table" in name for name in names)


def test_windows_are_refused_when_they_are_computed() -> None:
    import keras

    from featx.features.computing import compute_features, plan_features
    from featx.images.reading import DecodedImage
    from featx.images.sources import ImageItem
    from featx.input_spec import InputSpec
    from featx.models.description import ModelDescription
    from featx.models.graph_backbone import GraphBackbone
    from featx.models.keras_layers import KerasLayers
    from featx.specs import ModelSpec

    class Windows(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return keras.ops.reshape(inputs, (-1, 4, 3))

    images = keras.Input((4, 4, 3))
    windows = keras.layers.Dense(2, name="dense")(Windows(name="windows")(images))
    model = keras.Model(images, windows)
    contract = InputSpec(4, 4, scaling="raw")
    layers = KerasLayers(model, contract)
    spec = ModelSpec("keras", "windows", (), "random", "0", contract)
    description = ModelDescription(spec, layers.layers, len(model.layers))
    backbone = GraphBackbone(description, layers.compile)
    item = ImageItem("a.png", "", None, 1, 1)
    decoded = DecodedImage(item, bytes(16), np.zeros((4, 4, 3), np.uint8))
    specs = plan_features(backbone, ["dense"], "avg")
    with pytest.raises(ModelError, match="4 rows of 'dense' for 1 image"):
        list(compute_features([decoded], backbone, specs, batch_size=8))


def test_negative_indices_count_all_layers(tmp_path: Path) -> None:
    import keras

    images = keras.Input((4, 4, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.GlobalAveragePooling2D(name="probabilities")(x)
    ends = keras.layers.Lambda(lambda v: keras.ops.argmax(v, -1), name="class", output_shape=())
    from featx.input_spec import InputSpec
    from featx.models.keras_layers import KerasLayers

    model = keras.Model(images, ends(x))
    layers = KerasLayers(model, InputSpec(4, 4, scaling="raw")).layers
    chosen = select_layers(["-2"], layers, len(model.layers))
    assert [layer.name for layer in chosen] == ["probabilities"]
    with pytest.raises(UnknownName, match="numbered 0 to 3, or -4 to -1"):
        select_layers(["-1"], layers, len(model.layers))


def test_integer_inputs_get_their_pixels_as_they_are(tmp_path: Path) -> None:
    import keras

    images = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, name="scale")(keras.ops.cast(images, "float32"))
    keras.Model(images, keras.layers.GlobalMaxPooling2D(name="most")(x)).save(tmp_path / "i.keras")
    backbone = load_model(str(tmp_path / "i.keras"))
    assert backbone.spec.input.scaling == "raw"
    np.testing.assert_allclose(compute(backbone, "most")["most"], [[1, 0.6, 0.2]] * 2, atol=1e-6)
    with pytest.raises(InvalidValue, match="takes whole numbers"):
        load_model(str(tmp_path / "i.keras"), input=InputOptions(preprocess="tf"))


def test_a_model_that_was_moved_is_found_by_its_new_path(toy_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(toy_path.read_bytes())
    spec = load_model(str(path)).spec
    moved = path.rename(tmp_path / "moved.keras")
    with pytest.raises(ModelError, match="nothing is there now.*weights='PATH'"):
        restore_model(spec)
    assert restore_model(spec, weights=str(moved)).spec.fingerprint == spec.fingerprint
