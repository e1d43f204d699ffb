"""Graphs may compute; what else they would do is refused, wherever in them it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.models import load_model
from featx.models.graph_code import refuse_operations
from featx.models.model_code import find_code
from featx.models.operations import (
    computing_operations,
    operation_groups,
    operations_that_need_trust,
)
from tests.models.model_files import UNIT

pytestmark = pytest.mark.tensorflow

ONLY_IN_SOME_VERSIONS = frozenset({"DecodeJxl"})
"""Operations that only some of the supported versions of TensorFlow register (2.21, not 2.20)."""

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)


# ---- the tables ----


def test_every_operation_of_tensorflow_is_listed() -> None:
    import_tensorflow()
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    registered = op_def_pb2.OpList()
    registered.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = {operation.name for operation in registered.op}
    placed = computing_operations() | operations_that_need_trust().keys()
    assert sorted(names - placed) == [], "New operations: list each in operations.txt."
    assert sorted(placed - names - ONLY_IN_SOME_VERSIONS) == [], "TensorFlow has these no more."


def test_every_operation_is_listed_once() -> None:
    counts = Counter(name for group in operation_groups() for name in group.names)
    assert [name for name, count in counts.items() if count > 1] == []
    assert len({group.title for group in operation_groups()}) == len(operation_groups())


@pytest.mark.parametrize("operation", ["CacheDataset", "InitializeTableFromTextFileV2", "SaveV2"])
def test_exceptions_are_for_operations_that_need_trust(operation: str) -> None:
    assert operation in operations_that_need_trust()


# ---- every operation that needs trust, everywhere in a graph ----


def graph_of(operation: str, where: str) -> Any:
    """Return a GraphDef with one node of an operation."""
    tf = import_tensorflow()
    graph = tf.compat.v1.GraphDef()
    if where == "graph":
        graph.node.add(name="spy", op=operation)
        return graph
    function = graph.library.function.add()
    function.signature.name = "inner"
    node = function.node_def.add(name="spy", op="PartitionedCall" if where == "name" else operation)
    if where == "name":
        node.attr["f"].func.name = operation
    return graph


@pytest.mark.parametrize("where", ["graph", "unused function", "name"])
def test_all_that_need_trust_are_refused(where: str) -> None:
    for operation, does in operations_that_need_trust().items():
        with pytest.raises(ModelError) as caught:
            refuse_operations(Path("model.pb"), graph_of(operation, where))
        inside = "" if where == "graph" else " of the function 'inner'"
        expected = f"the operation {operation}, which {does} (node 'spy'{inside})"
        assert expected in str(caught.value)
        assert "trust_model_code=True runs it" in str(caught.value)


def test_all_that_compute_are_let_through() -> None:
    for operation in computing_operations():
        refuse_operations(Path("model.pb"), graph_of(operation, "graph"))


def test_an_operation_without_a_place_needs_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.models.graph_code.computing_operations", frozenset)
    with pytest.raises(ModelError, match=r"the unknown operation 'Relu' \(node 'spy'\)"):
        refuse_operations(Path("model.pb"), graph_of("Relu", "graph"))


@pytest.mark.parametrize("where", ["graph", "unused function", "name"])
def test_what_tensorflow_does_not_have_is_no_matter_of_trust(where: str) -> None:
    with pytest.raises(ModelError, match="cannot load 'model.pb': it knows no operation") as caught:
        refuse_operations(Path("model.pb"), graph_of("Custom>Thing", where))
    assert "trust" not in str(caught.value)


def test_a_function_does_not_hide_an_operation_of_its_name() -> None:
    graph = graph_of("ReadFile", "graph")
    graph.library.function.add().signature.name = "ReadFile"
    with pytest.raises(ModelError, match="ReadFile, which reads files"):
        refuse_operations(Path("model.pb"), graph)


def test_an_error_names_some_of_many() -> None:
    graph = import_tensorflow().compat.v1.GraphDef()
    for number, operation in enumerate(list(operations_that_need_trust())[:40]):
        graph.node.add(name=f"spy{number}", op=operation)
    with pytest.raises(ModelError, match="35 other operations that need trust") as caught:
        refuse_operations(Path("model.pb"), graph)
    assert len(str(caught.value)) < 1000


# ---- models that TensorFlow itself writes ----


def reads_a_file(tf: Any, images: Any, path: str) -> Any:
    values = tf.io.decode_raw(tf.io.read_file(path), tf.uint8)[:4]
    return images[:, 0, 0, :1] + tf.cast(values, tf.float32)


def lists_files(tf: Any, images: Any, path: str) -> Any:
    return images + tf.cast(tf.size(tf.io.matching_files(path)), tf.float32)


def restores_another_checkpoint(tf: Any, images: Any, path: str) -> Any:
    return images + tf.raw_ops.RestoreV2(
        prefix=path, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )


def prints_to_a_file(tf: Any, images: Any, path: str) -> Any:
    with tf.control_dependencies([tf.print("here", output_stream=f"file://{path}")]):
        return tf.nn.relu(images)


def prints(tf: Any, images: Any, path: str) -> Any:
    with tf.control_dependencies([tf.print('{"forged": true}')]):
        return tf.nn.relu(images)


def runs_python(tf: Any, images: Any, path: str) -> Any:
    return tf.function(lambda x: tf.numpy_function(np.abs, [x], tf.float32))(images)


def dumps_a_tensor(tf: Any, images: Any, path: str) -> Any:
    def dump(x: Any) -> Any:
        names = ("log_dir_path", "file_name", "func_name", "node_name")
        values = {name: tf.compat.v1.AttrValue(s=path.encode()) for name in names}
        values["enabled"] = tf.compat.v1.AttrValue(b=True)
        x.graph.create_op("DumpTensor", [x], [], attrs=values)
        return x

    return images + tf.data.Dataset.from_tensors(0.0).map(dump).reduce(0.0, lambda a, b: a + b)


def reads_a_dataset(tf: Any, images: Any, path: str) -> Any:
    lines = tf.data.TextLineDataset(path).map(lambda line: tf.strings.length(line))
    return images + tf.cast(lines.reduce(0, lambda a, b: a + b), tf.float32)


def asks_a_data_service(tf: Any, images: Any, path: str) -> Any:
    service = tf.data.experimental.service
    data = service.from_dataset_id(
        "parallel_epochs", "grpc://localhost:1", "1", element_spec=tf.TensorSpec((), tf.float32)
    )
    return images + data.reduce(0.0, lambda a, b: a + b)


def calls_another_machine(tf: Any, images: Any, path: str) -> Any:
    address = [tf.constant("localhost:1"), tf.constant(1, tf.int64)]
    client = images.graph.create_op("RpcClient", address, [tf.resource, tf.string])
    with tf.control_dependencies([client]):
        return tf.nn.relu(images)


def waits_for_a_queue(tf: Any, images: Any, path: str) -> Any:
    queue = tf.raw_ops.FIFOQueueV2(component_types=[tf.float32], shapes=[[]], shared_name="q")
    (value,) = tf.raw_ops.QueueDequeueV2(handle=queue, component_types=[tf.float32])
    return images + value


def writes_a_summary(tf: Any, images: Any, path: str) -> Any:
    writer = tf.raw_ops.SummaryWriter(shared_name="w")
    tf.raw_ops.CreateSummaryFileWriter(
        writer=writer, logdir=path, max_queue=1, flush_millis=1, filename_suffix=""
    )
    return tf.nn.relu(images)


def maps_a_file_into_memory(tf: Any, images: Any, path: str) -> Any:
    return images + tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[3], memory_region_name=path)


def writes_in_a_loop(tf: Any, images: Any, path: str) -> Any:
    def body(step: Any, x: Any) -> tuple[Any, Any]:
        with tf.control_dependencies([tf.io.write_file(path, "here")]):
            return step + 1, tf.nn.relu(x)

    return tf.while_loop(lambda step, _: step < 2, body, [0, images])[1]


def writes_in_a_branch(tf: Any, images: Any, path: str) -> Any:
    def write() -> Any:
        with tf.control_dependencies([tf.io.write_file(path, "here")]):
            return tf.nn.relu(images)

    branches = [lambda: images, lambda: -images, write]
    return tf.switch_case(tf.cast(tf.reduce_sum(images), tf.int32), branches)


def writes_five_functions_down(tf: Any, images: Any, path: str) -> Any:
    def nested(depth: int) -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            if depth:
                return nested(depth - 1)(x) + 1.0
            with tf.control_dependencies([tf.io.write_file(path, "here")]):
                return tf.nn.relu(x)

        return tf.function(call, autograph=False)  # type: ignore[no-any-return]

    return nested(5)(images)


def fills_a_table_from_a_file(tf: Any, images: Any, path: str) -> Any:
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
    tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table, filename=path, key_index=-2, value_index=-1
    )
    return tf.nn.relu(images)


HOSTILE = {
    reads_a_file: "ReadFile",
    lists_files: "MatchingFiles",
    restores_another_checkpoint: "RestoreV2",
    prints_to_a_file: "PrintV2",
    prints: "PrintV2",
    runs_python: "PyFunc",
    dumps_a_tensor: "DumpTensor",
    reads_a_dataset: "TextLineDataset",
    asks_a_data_service: "DataServiceDatasetV4",
    calls_another_machine: "RpcClient",
    waits_for_a_queue: "FIFOQueueV2",
    writes_a_summary: "SummaryWriter",
    maps_a_file_into_memory: "ImmutableConst",
    writes_in_a_loop: "WriteFile",
    writes_in_a_branch: "WriteFile",
    writes_five_functions_down: "WriteFile",
    fills_a_table_from_a_file: "InitializeTableFromTextFileV2",
}


def write_model(folder: Path, kind: str, run: Callable[[Any], Any]) -> Path:
    """Write a function of images as a model of a kind."""
    tf = import_tensorflow()
    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32)
    if kind == "graphdef":
        path = folder / "model.pb"
        graph = tf.function(run, autograph=False).get_concrete_function(spec).graph
        path.write_bytes(graph.as_graph_def().SerializeToString())
        return path
    module = tf.Module()
    module.run = tf.function(run, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder / "model"), signatures=module.run)
    return folder / "model"


@pytest.mark.parametrize("kind", ["graphdef", "savedmodel", "hub"])
@pytest.mark.parametrize("run", HOSTILE, ids=lambda run: run.__name__)
def test_models_that_do_more_than_compute(
    tmp_path: Path, kind: str, run: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    tf = import_tensorflow()
    target = tmp_path / "target"
    model = write_model(tmp_path, kind, lambda images: {"out": run(tf, images, str(target))})
    with pytest.raises(ModelError, match=f"the operation {HOSTILE[run]}, which .*node '"):
        load_model(f"{kind}:{model}", input=UNIT)
    assert not target.exists()
    assert "forged" not in capfd.readouterr().out


def harmless(images: Any) -> dict[str, Any]:
    """Use what real models use: control flow, tables, strings, random numbers, datasets."""
    tf = import_tensorflow()
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.float32)
    tf.raw_ops.InitializeTableV2(table_handle=table, keys=["1"], values=[2.0])
    name = tf.strings.as_string(tf.constant(1))
    two = tf.raw_ops.LookupTableFindV2(table_handle=table, keys=name, default_value=0.0)
    noise = tf.random.uniform([]) * 0.0 + tf.random.stateless_uniform([], [1, 2]) * 0.0
    six = tf.data.Dataset.range(4).map(lambda n: n).cache().reduce(0.0, lambda a, b: a + 1.5)
    maps = tf.map_fn(tf.nn.relu, images)
    maps = tf.cond(two > 1.0, lambda: maps * 1.0, lambda: maps * 3.0)
    tf.debugging.assert_non_negative(maps)
    return {"out": tf.reduce_mean(maps, [1, 2]) + noise + two * 0.0 + six * 0.0}


@pytest.mark.parametrize("kind", ["graphdef", "savedmodel", "hub"])
def test_models_that_compute_need_no_trust(tmp_path: Path, kind: str) -> None:
    load_model(f"{kind}:{write_model(tmp_path, kind, harmless)}", input=UNIT)


# ---- the files of a SavedModel itself ----


def write_with_vocabulary(folder: Path) -> Path:
    """Write a SavedModel with a table from a file, which becomes its asset."""
    tf = import_tensorflow()
    vocabulary = folder / "words.txt"
    vocabulary.write_text("a\nb\nc\n")
    column = tf.lookup.TextFileIndex
    initializer = tf.lookup.TextFileInitializer(
        str(vocabulary), tf.string, column.WHOLE_LINE, tf.int64, column.LINE_NUMBER
    )
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(initializer, -1)

    def run(images: Any) -> dict[str, Any]:
        found = module.table.lookup(tf.constant(["a", "b", "c"]))
        return {"mean": tf.reduce_mean(images, [1, 2]), "numbers": found}

    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32)
    module.run = tf.function(run, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder / "model"), signatures=module.run)
    vocabulary.unlink()
    return folder / "model"


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the first graph of a SavedModel."""
    import_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    change(content.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(content.SerializeToString())


def test_a_table_from_an_asset_of_the_model(tmp_path: Path) -> None:
    model = write_with_vocabulary(tmp_path)
    (mean,) = load_model(str(model), input=UNIT)(IMAGES, ["mean"]).values()
    np.testing.assert_allclose(mean, IMAGES.mean((1, 2)) / 255, atol=1e-6)
    numbers = import_tensorflow().saved_model.load(str(model)).run(np.float32(IMAGES))["numbers"]
    assert numbers.numpy().tolist() == [0, 1, 2]


def test_an_asset_may_be_a_link_in_a_cache_of_downloads(tmp_path: Path) -> None:
    model = write_with_vocabulary(tmp_path)
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate((model / "saved_model.pb", model / "assets/words.txt")):
        path.rename(tmp_path / f"blobs/{number}")
        path.symlink_to(tmp_path / f"blobs/{number}")
    load_model(str(model), input=UNIT)


@pytest.mark.parametrize("way", ["above", "absolute", "link", "constant", "loop", "no asset"])
def test_a_table_from_a_file_outside_the_model(tmp_path: Path, way: str) -> None:
    model = write_with_vocabulary(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text("a\n")

    def change(meta: Any) -> None:
        (initializer,) = (
            function
            for function in meta.graph_def.library.function
            if any(node.op == "InitializeTableFromTextFileV2" for node in function.node_def)
        )
        bound = meta.object_graph_def.concrete_functions[initializer.signature.name].bound_inputs
        if way == "constant":
            node = initializer.node_def.add(name="path", op="Const")
            node.attr["value"].tensor.string_val.append(str(secret).encode())
            for each in initializer.node_def:
                if each.op == "InitializeTableFromTextFileV2":
                    each.input[1] = "path:output:0"
        elif way == "no asset":
            bound[0], bound[1] = bound[1], bound[0]
        elif way == "loop":
            other = meta.graph_def.library.function.add()
            other.signature.name = "other"
            call = other.node_def.add(name="call", op="While", input=["path:output:0"])
            call.attr["body"].func.name = initializer.signature.name
        else:
            names = {"above": "../../secret.txt", "absolute": str(secret)}
            meta.asset_file_def[0].filename = names[way]

    if way == "link":
        (model / "assets/words.txt").unlink()
        (model / "assets/words.txt").symlink_to(secret)
    else:
        edit(model, change)
    with pytest.raises(ModelError, match="InitializeTableFromTextFileV2, which reads files"):
        load_model(str(model), input=UNIT)


def write_tf1_model(folder: Path, way: str = "") -> Path:
    """Write a SavedModel as TensorFlow 1 did, with a variable, a saver, and a table of an asset."""
    tf = import_tensorflow()
    v1 = tf.compat.v1
    (folder / "words.txt").write_text("a\nb\nc\n")
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 4, 4, 3], name="images")
        ones = v1.get_variable("ones", initializer=np.ones(3, np.float32))
        path = tf.constant(str(folder / "words.txt"))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, path)
        table = tf.raw_ops.HashTableV2(
            key_dtype=tf.string, value_dtype=tf.int64, shared_name="words"
        )
        read = tf.constant(str(folder / "other")) if way == "path" else path
        fill = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=read, key_index=-2, value_index=-1
        )
        keys = tf.constant(["a", "b", "c"])
        with tf.control_dependencies([fill] if way == "signature" else []):
            found = tf.raw_ops.LookupTableFindV2(
                table_handle=table, keys=keys, default_value=np.int64(-1)
            )
        out = tf.reduce_mean(images, [1, 2]) * ones
        if way == "restore":
            out += restores_another_checkpoint(tf, out, str(folder / "other"))
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def(
            {"images": images}, {"out": out, "numbers": found}
        )
        builder = v1.saved_model.Builder(str(folder / "model"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={"serving_default": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=fill,
        )
        if way == "other graph":
            tf.raw_ops.WriteFile(filename=str(folder / "written"), contents="here")
            builder.add_meta_graph(["serve", "tpu"], {"serving_default": signature})
        builder.save()
    (folder / "words.txt").unlink()
    return folder / "model"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["", "other graph"])
def test_a_model_of_tensorflow_1_with_its_own_files(tmp_path: Path, way: str) -> None:
    model = write_tf1_model(tmp_path, way)
    (mean,) = load_model(str(model), input=UNIT)(IMAGES, ["out"]).values()
    np.testing.assert_allclose(mean, IMAGES.mean((1, 2)) / 255, atol=1e-6)
    assert not (tmp_path / "written").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("way", "operation"),
    [
        ("path", "InitializeTableFromTextFileV2"),
        ("signature", "InitializeTableFromTextFileV2"),
        ("restore", "RestoreV2"),
    ],
)
def test_a_model_of_tensorflow_1_with_files_of_others(
    tmp_path: Path, way: str, operation: str
) -> None:
    model = write_tf1_model(tmp_path, way)
    with pytest.raises(ModelError, match=f"the operation {operation}, which reads files"):
        load_model(str(model), input=UNIT)


@pytest.mark.filterwarnings("ignore")
def test_a_model_of_tensorflow_1_restores_from_its_own_checkpoint_only(tmp_path: Path) -> None:
    model = write_tf1_model(tmp_path)

    def change(meta: Any) -> None:
        node = meta.graph_def.node.add(name="elsewhere", op="Const")
        node.attr["value"].tensor.string_val.append(b"/another/checkpoint")
        for each in meta.graph_def.node:
            if each.op == "RestoreV2":
                each.input[0] = "elsewhere"

    edit(model, change)
    with pytest.raises(ModelError, match="the operation RestoreV2, which reads files"):
        load_model(str(model), input=UNIT)


# ---- operations in old Keras files ----


@pytest.mark.parametrize("operation", ["ReadFile", "PyFunc", "RestoreV2", "Custom>Thing"])
def test_operations_in_keras_files(operation: str) -> None:
    layer = {"class_name": "TensorFlowOpLayer", "config": {"node_def": {"op": operation}}}
    (description,) = find_code({"config": {"layers": [layer]}})
    assert operation in description
