"""Own networks: channels, layouts, code inside, old files, graphs of TensorFlow 1."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import featx
from featx.errors import ModelError, UnknownName
from featx.images.decode import decode_image
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.models import load_model
from featx.models.graph_code import refuse_operations
from featx.models.model_code import find_code
from featx.models.selection import default_layer, select_layers
from featx.options import InputOptions
from featx.testing import write_images
from tests.models.foreign_code import write_foreign_model
from tests.models.model_files import (
    SIZE,
    TENSOR,
    build_graph,
    build_keras,
    kernel,
    write_graph,
    write_tf2_module,
)
from tests.real_data import REAL_DATA, needs_real_data

pytestmark = pytest.mark.tensorflow

UNIT = InputOptions(preprocess="unit")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)


# ---- TensorFlow's lines on stderr ----


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("level", [None, pytest.param("2", marks=pytest.mark.slow)])
def test_a_machine_without_gpu_is_no_error(level: str | None) -> None:
    code = (
        "from featx.engines.tensorflow import import_tensorflow\n"
        "from featx.host import own_process\n"  # As the command line does.
        "with own_process(): import_tensorflow().constant(1.0)\n"
        "import tensorflow, os\n"
        "tensorflow.config.set_visible_devices([], 'GPU')\n"
        "os.write(2, b'E0000 00:00:1.0 1 net.cc:1] something else\\n')\n"
    )
    environment = {key: text for key, text in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stderr == "E0000 00:00:1.0 1 net.cc:1] something else\n"


# ---- channels and layouts ----


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_models_of_any_number_of_channels(tmp_path: Path, channels: int) -> None:
    import keras

    images = keras.Input((8, 8, channels))
    outputs = keras.layers.GlobalAveragePooling2D(name="mean")(images)
    keras.Model(images, outputs).save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"), input=UNIT)
    assert backbone.spec.input.channels == channels
    pixels = np.full((1, 8, 8, channels), 255, np.uint8)
    assert backbone(pixels, ["mean"])["mean"].tolist() == [[1] * channels]


def build_layout(keras: Any, layout: str) -> Any:
    """Build a network; the weights of both layouts have the same shapes."""
    layers, first = keras.layers, layout == "channels_first"
    images = keras.Input((3, 12, 16) if first else (12, 16, 3), name="images")
    x = layers.Conv2D(5, 3, padding="same", name="conv", data_format=layout)(images)
    x = layers.BatchNormalization(axis=1 if first else 3, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.MaxPooling2D(2, name="pool", data_format=layout)(x)
    last = layers.Permute((2, 3, 1) if first else (1, 2, 3), name="turned")(x)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="mean")(last))


@pytest.fixture(scope="module")
def with_channels_first() -> Any:
    import keras

    keras.utils.set_random_seed(1)
    return build_layout(keras, "channels_first")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(with_channels_first: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What the same weights give with channels last, which TensorFlow computes everywhere."""
    import keras

    twin = build_layout(keras, "channels_last")
    twin.set_weights(with_channels_first.get_weights())
    names = ["relu", "pool", "turned", "mean"]
    part = keras.Model(twin.input, [twin.get_layer(name).output for name in names])
    results = part((pixels / 255).astype(np.float32))
    return dict(zip(names, map(np.asarray, results), strict=True))


@pytest.fixture(params=["openvino", "tensorflow"])
def engine(request: pytest.FixtureRequest) -> str:
    import tensorflow as tf

    if request.param == "tensorflow":
        try:
            tf.nn.conv2d(tf.ones((1, 3, 4, 4)), tf.ones((1, 1, 3, 3)), 1, "SAME", "NCHW")
        except tf.errors.UnimplementedError:
            pytest.skip("TensorFlow has no convolutions with channels first on this processor")
    return str(request.param)


def test_channels_first_is_recognised(tmp_path: Path, with_channels_first: Any) -> None:
    with_channels_first.save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"), input=UNIT)
    assert backbone.notes[0].startswith("channels first")
    contract = backbone.spec.input
    assert (contract.height, contract.width, contract.channels) == (12, 16, 3)
    shapes = {layer.name: layer.shape for layer in backbone.features()}
    assert shapes == {
        "images": (12, 16, 3),
        "conv": (12, 16, 5),
        "norm": (12, 16, 5),
        "relu": (12, 16, 5),
        "pool": (6, 8, 5),
        "turned": (6, 8, 5),
        "mean": (5,),
    }


def test_channels_first_is_turned(
    tmp_path: Path,
    with_channels_first: Any,
    pixels: np.ndarray,
    expected: dict[str, np.ndarray],
    engine: str,
) -> None:
    with_channels_first.save(tmp_path / "net.keras")
    backbone = load_model(str(tmp_path / "net.keras"), input=UNIT)
    result = AcceleratedBackbone(backbone, EngineRequest(engine, "float32"))(pixels, list(expected))
    for name, values in expected.items():
        np.testing.assert_allclose(result[name], values, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(result["turned"], result["pool"], atol=1e-6)


def test_channels_first_in_an_export(
    tmp_path: Path,
    with_channels_first: Any,
    pixels: np.ndarray,
    expected: dict[str, np.ndarray],
    engine: str,
) -> None:
    with_channels_first.export(tmp_path / "exported", verbose=False)
    export = load_model(str(tmp_path / "exported"), input=UNIT)
    (relu,) = select_layers(["*/Relu"], export.features())
    assert relu.shape == (12, 16, 5)
    result = AcceleratedBackbone(export, EngineRequest(engine, "float32"))(pixels, [relu.name])
    np.testing.assert_allclose(result[relu.name], expected["relu"], atol=1e-5)


def test_a_greyscale_network_runs_over_photographs(tmp_path: Path) -> None:
    import keras

    images = keras.Input((28, 28, 1))  # As for MNIST.
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    keras.Model(images, keras.layers.Flatten(name="flat")(x)).save(tmp_path / "mnist.h5")
    photos = write_images(2, tmp_path / "photos")
    report = featx.extract(
        photos, model=str(tmp_path / "mnist.h5"), layers=["conv"], output=tmp_path / "f.h5"
    )
    assert report.done == 2
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.header.model.input.channels == 1


# ---- code in model files ----


def save_lambda(path: Path) -> None:
    import keras

    images = keras.Input((4, 4, 3))
    outputs = keras.layers.Lambda(lambda x: x * 2, output_shape=(4, 4, 3), name="twice")(images)
    keras.Model(images, outputs).save(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_layer_runs_only_where_it_is_trusted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"lambda{suffix}"
    save_lambda(path)
    with pytest.raises(ModelError, match="the Lambda layer 'twice'.*trust_model_code=True runs it"):
        load_model(str(path), input=UNIT)
    for trusted in (
        load_model(str(path), input=UNIT, trust_model_code=True),
        load_model(f"{path},trust_model_code=True", input=UNIT),
    ):
        assert trusted(np.full((1, 4, 4, 3), 255, np.uint8), ["twice"])["twice"][0, 0, 0, 0] == 2
        assert trusted.spec.arguments == ()


def test_trust_is_asked_for_again_by_predict_and_search(tmp_path: Path) -> None:
    save_lambda(tmp_path / "lambda.keras")
    photos = write_images(2, tmp_path / "photos")
    store = tmp_path / "f.h5"
    path = str(tmp_path / "lambda.keras")

    def extract(model: str, **options: Any) -> featx.ExtractReport:
        return featx.extract(
            photos, model=model, preprocess="unit", layers=["twice"], output=store, **options
        )

    with pytest.raises(ModelError, match="trust_model_code=True"):
        extract(path)
    extract(path, trust_model_code=True)
    with featx.open_store(store) as written:
        assert "trust_model_code" not in json.dumps(
            [written.header.request, written.model.to_dict()]
        )
    # Both spellings are the same command; without trust, nothing is to be done, and nothing run.
    for report in (extract(f"{path},trust_model_code=True"), extract(path)):
        assert (report.done, report.skipped, report.seconds["load"]) == (0, 2, 0.0)
    write_images(3, photos)
    with pytest.raises(ModelError, match="trust_model_code=True"):
        extract(path)
    query = photos / "image_0.png"
    with pytest.raises(ModelError, match="trust_model_code=True"):
        featx.search(query, features=store)
    assert featx.search(query, features=store, trust_model_code=True).results[0].matches


def test_classes_are_imported_only_where_they_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    (tmp_path / "own_layers.py").write_text(
        "import keras\n"
        "class Halve(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x / 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_layers

    images = keras.Input((4, 4, 3))
    keras.Model(images, own_layers.Halve(name="halve")(images)).save(tmp_path / "own.keras")
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "own_layers")
    before = list(sys.path)
    with pytest.raises(ModelError, match="the class 'Halve' of the module 'own_layers'"):
        load_model(str(tmp_path / "own.keras"))
    assert "own_layers" not in sys.modules
    backbone = load_model(str(tmp_path / "own.keras"), input=UNIT, trust_model_code=True)
    assert backbone(np.full((1, 4, 4, 3), 255, np.uint8), ["halve"])["halve"].max() == 0.5
    assert sys.path == before
    monkeypatch.delitem(sys.modules, "own_layers")
    (tmp_path / "own_layers.py").unlink()
    with pytest.raises(ModelError, match=r"Place own_layers\.py beside the model"):
        load_model(str(tmp_path / "own.keras"), trust_model_code=True)


def test_classes_that_the_program_registered_are_its_own(tmp_path: Path) -> None:
    import keras

    @keras.saving.register_keras_serializable(package="tests")
    class Third(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs / 3

    images = keras.Input((4, 4, 3))
    keras.Model(images, Third(name="third")(images)).save(tmp_path / "own.keras")
    backbone = load_model(str(tmp_path / "own.keras"), input=UNIT)
    assert backbone.features()[-1].name == "third"


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("trust", [False, True])
def test_a_registered_class_without_a_module_is_named(
    tmp_path: Path, suffix: str, trust: bool
) -> None:
    path = write_foreign_model(tmp_path / f"net{suffix}")
    with pytest.raises(ModelError, match="needs 'blocks>Twice', .*In Python, import the"):
        load_model(str(path), input=UNIT, trust_model_code=trust)

    import keras

    class Twice(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 2 * x

    keras.saving.register_keras_serializable(package="blocks")(Twice)
    try:
        registered = load_model(str(path), input=UNIT, trust_model_code=trust)
    finally:
        del keras.saving.get_custom_objects()["blocks>Twice"]
    assert registered(np.full((1, 4, 4, 3), 255, np.uint8), ["twice"])["twice"][0, 0, 0, 0] == 2


@pytest.mark.parametrize("kind", ["savedmodel", "hub", "graphdef"])
def test_a_graph_that_writes_files_is_refused(tmp_path: Path, kind: str) -> None:
    import tensorflow as tf

    def spy(images: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "spied"), "here")]):
            return {"out": tf.nn.relu(images)}

    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32)
    function = tf.function(spy).get_concrete_function(spec)
    if kind == "graphdef":
        path = tmp_path / "spy.pb"
        path.write_bytes(function.graph.as_graph_def().SerializeToString())
    else:
        path = tmp_path / "spy"
        module = tf.Module()
        module.run = tf.function(spy, input_signature=[spec])
        tf.saved_model.save(module, str(path), signatures=module.run)
    with pytest.raises(ModelError, match="the operation WriteFile.*trust_model_code=True runs it"):
        load_model(f"{kind}:{path}", input=UNIT)
    assert not (tmp_path / "spied").exists()
    load_model(f"{kind}:{path}", input=UNIT, trust_model_code=True)


def test_functions_that_old_files_name_as_layers() -> None:
    def code(function: str) -> dict[str, tuple[str, str] | None]:
        layer = {"class_name": "TFOpLambda", "config": {"name": "x", "function": function}}
        return find_code({"config": {"layers": [layer]}})

    assert code("math.add") == {}
    assert code("__operators__.add") == {}
    assert code("io.write_file") == {"the function 'tf.io.write_file'": None}
    assert code("compat.v1.py_function")
    for name in ("nn.relu", "image.resize", "reshape", "linalg.matmul", "signal.rfft"):
        assert code(name) == {}
    for name in (
        "compat.v1.gfile.DeleteRecursively",
        "compat.v1.math.add",
        "keras.models.load_model",
        "image.decode_png",
        "io.gfile.remove",
        "math.add.__globals__",
        "random.normal",
        "None",
    ):
        assert code(name) == {f"the function 'tf.{name}'": None}


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        ({"class_name": "layers.Lambda", "module": "keras", "config": {"name": "x"}}, "'x'"),
        ({"class_name": "ClassMethod", "config": {"cls_symbol": "io.gfile.GFile"}}, "GFile"),
        (
            {"class_name": "InstanceMethod", "config": {"method_name": "__subclasses__"}},
            "__subclasses__",
        ),
        ({"class_name": "InstanceProperty", "config": {"attr_name": "__class__"}}, "__class__"),
        (
            {"class_name": "TensorFlowOpLayer", "config": {"node_def": '{"op": "WriteFile"}'}},
            "WriteFile",
        ),
        ({"class_name": "function", "module": "evil", "config": "go"}, "'go' of the module 'evil'"),
        ({"class_name": "function", "module": "builtins", "config": "exec"}, "'exec'"),
        ({"class_name": "TFSMLayer", "config": {"name": "x", "filepath": "m"}}, "TFSMLayer"),
        ({"class_name": "Custom>TorchModuleWrapper", "config": {}}, "TorchModuleWrapper"),
        ({"class_name": "JaxLayer", "module": "keras.layers", "config": {}}, "JaxLayer"),
        ({"class_name": "FlaxLayer", "module": "keras.layers", "config": {}}, "FlaxLayer"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/w.txt"}}, "file '/w.txt'"),
        ({"class_name": "TextVectorization", "config": {"vocabulary": "gs://b/w"}}, "'gs://b/w'"),
    ],
)
def test_other_ways_to_code(layer: dict[str, Any], found: str) -> None:
    (description,) = find_code({"config": {"layers": [layer]}})
    assert found in description


def test_harmless_layers_and_functions_of_keras() -> None:
    layers = [
        {"class_name": "InstanceProperty", "config": {"attr_name": "shape"}},
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": '{"op": "AddV2"}'}},
        {"class_name": "function", "module": "builtins", "config": "relu"},
        {"class_name": "function", "module": "keras.activations", "config": "relu"},
        {"class_name": "StringLookup", "config": {"vocabulary": ["a", "b"]}},
        {"class_name": "IntegerLookup", "config": {"vocabulary": None}},
    ]
    assert find_code({"config": {"layers": layers}}) == {}


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_an_old_file_reads_no_vocabulary_of_the_disk(tmp_path: Path, kind: str) -> None:
    import tf_keras

    words = tmp_path / "words.txt"
    words.write_text("1\n2\n")
    dtype = "int64" if kind == "IntegerLookup" else "string"
    inputs = tf_keras.Input((1,), dtype=dtype)
    lookup = getattr(tf_keras.layers, kind)(vocabulary=str(words), name="lookup")
    path = tmp_path / "old.h5"
    tf_keras.Model(inputs, lookup(inputs)).save(path)
    with pytest.raises(ModelError, match="a layer that reads the file '.*words.txt'"):
        load_model(str(path), input=UNIT)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_modules_beside_a_model_are_not_imported_untrusted(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    images = keras.Input((4, 4, 3))
    keras.Model(images, keras.layers.ReLU()(images)).save(tmp_path / f"net{suffix}")
    seen: list[list[str]] = []
    load = keras.models.load_model

    def spy(*args: Any, **options: Any) -> Any:
        seen.append(list(sys.path))
        return load(*args, **options)

    monkeypatch.setattr(keras.models, "load_model", spy)
    for trust in (False, True):
        load_model(str(tmp_path / f"net{suffix}"), input=UNIT, trust_model_code=trust)
    assert seen
    assert all(str(tmp_path) not in entries for entries in seen)


@pytest.mark.filterwarnings("ignore")  # Of tf_keras, when it is imported.
def test_an_old_file_never_takes_a_tf_keras_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tf_keras")
    layers = [{"class_name": "NoSuch", "config": {}}]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"
        file.create_group("model_weights")
    (tmp_path / "tf_keras.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    for trust in (False, True):
        monkeypatch.delitem(sys.modules, "tf_keras")  # As before it was imported.
        with pytest.raises(ModelError, match="needs 'NoSuch'"):
            featx.load_model(tmp_path / "model.h5", trust_model_code=trust)
        assert not (tmp_path / "run").exists()


def test_a_file_that_names_no_modules_of_keras_is_not_told_to_bring_code(tmp_path: Path) -> None:
    import keras

    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.ReLU()]).save(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    members["config.json"] = re.sub(rb'"module": "[^"]*", ', b"", members["config.json"])
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as changed:
        for name, content in members.items():
            changed.writestr(name, content)
    with pytest.raises(ModelError, match=r"does not say which module 'Sequential' is of; .*again"):
        load_model(str(tmp_path / "net.keras"), input=UNIT)


@pytest.mark.parametrize("metadata", [None, "[]"])
def test_the_metadata_do_not_hide_the_code(tmp_path: Path, metadata: str | None) -> None:
    save_lambda(tmp_path / "whole.keras")
    with (
        zipfile.ZipFile(tmp_path / "whole.keras") as whole,
        zipfile.ZipFile(tmp_path / "part.keras", "w") as part,
        zipfile.ZipFile(tmp_path / "none.keras", "w") as none,
    ):
        for name in whole.namelist():
            if name != "metadata.json":
                part.writestr(name, whole.read(name))
            if name != "config.json":
                none.writestr(name, whole.read(name))
        if metadata is not None:
            part.writestr("metadata.json", metadata)
    with pytest.raises(ModelError, match="the Lambda layer 'twice'"):
        load_model(str(tmp_path / "part.keras"))
    with pytest.raises(ModelError, match="no readable architecture"):
        load_model(str(tmp_path / "none.keras"))


@pytest.mark.parametrize("kind", ["record", "save", "cache", "initializer"])
def test_saved_models_that_write_while_they_are_loaded(tmp_path: Path, kind: str) -> None:
    import tensorflow as tf
    from tensorflow.python.trackable.resource import CapturableResource

    written = str(tmp_path / "written")

    def write_records() -> None:
        data = tf.data.Dataset.from_tensors(tf.constant("x"))
        tf.raw_ops.DatasetToTFRecord(
            input_dataset=data._variant_tensor, filename=written, compression_type=""
        )

    class Resource(CapturableResource):  # type: ignore[misc]
        def _create_resource(self) -> Any:
            return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

        def _initialize(self) -> Any:
            write_records()
            return tf.constant(1.0)

    def run(images: Any) -> Any:
        if kind == "record":
            write_records()
        elif kind == "save":
            tf.raw_ops.SaveV2(
                prefix=written, tensor_names=["a"], shape_and_slices=[""], tensors=[1.0]
            )
        elif kind == "cache":
            data = tf.data.Dataset.from_tensors(tf.constant("x")).cache(written)
            images += data.reduce(0.0, lambda count, _: count + 1.0)
        return {"out": tf.nn.relu(images) * module.scale}

    module = tf.Module()
    module.scale = tf.Variable(1.0)
    module.run = tf.function(run, input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
    if kind == "initializer":
        module.resource = Resource()
        assert module.resource.resource_handle is not None
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.run)
    operation = {"save": "SaveV2", "cache": "CacheDataset"}.get(kind, "DatasetToTFRecord")
    with pytest.raises(ModelError, match=f"the operation {operation}"):
        load_model(f"savedmodel:{tmp_path / 'm'}", input=UNIT)
    assert not list(tmp_path.glob("written*"))


def test_the_functions_of_the_saver_are_its_own_only(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    folder = write_tf2_module(tmp_path / "m")
    load_model(f"hub:{folder}")
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    (meta,) = content.meta_graphs
    (saver,) = (
        function.signature.name
        for function in meta.graph_def.library.function
        if any(node.op == "SaveV2" for node in function.node_def)
    )
    meta.object_graph_def.concrete_functions[saver].SetInParent()
    (folder / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(ModelError, match="the operation SaveV2"):
        load_model(f"hub:{folder}")


def test_caches_in_memory_are_harmless(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.data.Dataset.from_tensors(tf.constant("x")).cache()._variant_tensor  # noqa: B018
    refuse_operations(tmp_path, graph.as_graph_def())


# ---- old files ----


def _record_of_a_run(folder: Path, model: str) -> dict[str, Any]:
    photos = write_images(1, folder / "photos")
    featx.extract(photos, model=model, preprocess="unit", output=folder / "run.h5")
    with featx.open_store(folder / "run.h5") as store:
        return dict(store.header.runs[-1])


def test_an_old_h5_file_gives_what_tf_keras_gives(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf_keras = pytest.importorskip("tf_keras")
        model = build_keras(tf_keras)
        model.save(tmp_path / "old.h5")
    backbone = load_model(str(tmp_path / "old.h5"), input=UNIT)
    assert backbone.notes == ("saved by Keras 2, loaded by tf_keras",)
    assert _record_of_a_run(tmp_path, str(tmp_path / "old.h5"))["tf_keras"] == tf_keras.__version__
    layers = {layer.name: layer for layer in backbone.features()}
    assert list(layers) == ["images", "conv", "relu", "depthwise", "average", "classes"]
    assert layers["depthwise"].receptive_field == 7
    assert layers["classes"].parameters == model.count_params()
    names = ["relu", "depthwise", "classes"]
    part = tf_keras.Model(model.input, [model.get_layer(name).output for name in names])
    result = backbone(IMAGES, names)
    for name, value in zip(names, part(IMAGES.astype(np.float32) / 255), strict=True):
        np.testing.assert_allclose(result[name], value, atol=1e-5)


def test_without_tf_keras_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        build_keras(pytest.importorskip("tf_keras")).save(tmp_path / "old.h5")
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(ModelError, match="Install tf_keras, which can: pip install tf_keras"):
        load_model(str(tmp_path / "old.h5"))


@pytest.mark.slow
@needs_real_data
def test_the_real_old_h5_file() -> None:
    folder = REAL_DATA / "models/teachable_machine_savedmodel"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf_keras = pytest.importorskip("tf_keras")
        model = tf_keras.models.load_model(folder / "keras_model.h5", compile=False)
    overrides = InputOptions(preprocess="tf")
    backbone = load_model(str(folder / "keras_model.h5"), input=overrides)
    path = next((REAL_DATA / "images/flowers12/test/iris").glob("*.jpg"))
    pixels = decode_image(path.read_bytes(), backbone.spec.input)[np.newaxis]
    last = backbone.features()[-1].name
    inner, graph_layer = "sequential_1/model1/out_relu", "sequential_1/model1/out_relu/Relu6"
    result = backbone(pixels, [inner, last])
    np.testing.assert_allclose(
        result[last], model(pixels.astype(np.float32) / 127.5 - 1), atol=1e-5
    )
    # The SavedModel that was made of it agrees, at a tensor inside, too.
    exported = load_model(str(folder / "model.savedmodel"), input=overrides)
    np.testing.assert_allclose(
        exported(pixels, [graph_layer])[graph_layer], result[inner], rtol=1e-3, atol=1e-4
    )


# ---- frozen graphs ----


@pytest.mark.parametrize("batch", [None, 1])
def test_a_frozen_graph_whatever_its_batch(tmp_path: Path, batch: int | None) -> None:
    path = write_graph(tmp_path / "g.pb", batch=batch)
    backbone = load_model(str(path), input=UNIT)
    maps, vector = build_graph(IMAGES.astype(np.float32) / 255, kernel())
    result = backbone(IMAGES, [TENSOR, "pool", "block1/conv"])
    np.testing.assert_allclose(result[TENSOR], maps, atol=1e-5)
    np.testing.assert_allclose(result["pool"], vector, atol=1e-5)
    layers = {layer.name: layer for layer in backbone.features()}
    assert layers["block1/conv"].is_detail
    assert layers["pool"].kind == "output"
    assert layers[TENSOR].parameters == 3 * 3 * 3 * 4
    assert default_layer(backbone.features()).name == TENSOR
    larger = load_model(str(path), input=InputOptions(img_size=(20, 24), preprocess="unit"))
    assert select_layers([TENSOR], larger.features())[0].shape == (10, 12, 4)


def test_a_graph_computes_nothing_beyond_the_layer(tmp_path: Path) -> None:
    import tensorflow as tf

    backbone = load_model(str(write_graph(tmp_path / "g.pb")), input=UNIT)
    types = {}
    for name in ("block1/conv", "pool"):
        graph = backbone.freeze([name])
        assert graph is not None
        content = tf.compat.v1.GraphDef.FromString(graph.content)
        types[name] = [node.op for node in content.node]
    assert "Relu" in types["pool"]
    assert not {"Relu", "Mean"} & {*types["block1/conv"]}


def test_graphs_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    import tensorflow as tf

    with pytest.raises(ModelError, match="There is no graph file"):
        load_model(f"graphdef:{tmp_path / 'none.pb'}")
    (tmp_path / "noise.pb").write_bytes(b"\xff\xff nothing")
    with pytest.raises(ModelError, match="not a GraphDef"):
        load_model(str(tmp_path / "noise.pb"))
    (tmp_path / "empty.pb").write_bytes(b"")
    with pytest.raises(ModelError, match="without operations"):
        load_model(str(tmp_path / "empty.pb"))
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        left = v1.placeholder(tf.float32, [None, 4, 4, 3], name="left")
        right = v1.placeholder(tf.float32, [None, 4, 4, 3], name="right")
        tf.nn.relu(left * 2.0, name="relu")
        tf.add(left, right, name="both")
    (tmp_path / "two.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match="2 inputs of numbers .left and right.*input=NAME"):
        load_model(str(tmp_path / "two.pb"))
    layers = load_model(f"{tmp_path / 'two.pb'},input=left", input=UNIT).features()
    assert [layer.name for layer in layers if layer.kind == "output"] == ["relu"]
    with pytest.raises(UnknownName, match="Did you mean left"):
        load_model(f"{tmp_path / 'two.pb'},input=lefd")
    with pytest.raises(UnknownName, match="no input of two.pb named 'alpha'. It has 'left'"):
        load_model(f"{tmp_path / 'two.pb'},alpha=2")
    with tf.Graph().as_default() as graph:
        v1.get_variable("weights", [3])
    (tmp_path / "thawed.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelError, match="not frozen"):
        load_model(str(tmp_path / "thawed.pb"))


@needs_real_data
def test_the_real_frozen_graph() -> None:
    import tensorflow as tf

    path = REAL_DATA / "models/mobilenet_v1_025_graphdef/mobilenet_v1_0.25_224_frozen_graph.pb"
    photo = next((REAL_DATA / "images/flowers12/test/iris").glob("*.jpg"))
    backbone = load_model(str(path), input=InputOptions(preprocess="tf"))
    pixels = decode_image(photo.read_bytes(), backbone.spec.input)[np.newaxis]
    names = ["MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6", "MobilenetV1/Predictions/Softmax"]
    result = backbone(pixels, names)
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(path.read_bytes())
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        tensors = [graph.get_tensor_by_name(f"{name}:0") for name in names]
        feed = {"input:0": pixels.astype(np.float32) / 127.5 - 1}
        expected = session.run(tensors, feed)
    for name, value in zip(names, expected, strict=True):
        np.testing.assert_allclose(result[name], value, rtol=1e-3, atol=1e-5)
