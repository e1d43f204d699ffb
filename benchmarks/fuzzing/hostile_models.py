"""Models that somebody prepared: valid files that would do more than compute, wherever inside.

A small model of each format is made once. Each case changes the structure of a copy, and loads it:
it must be refused with an error that names what it holds. Among them are models that only compute,
which must be accepted.
"""

from __future__ import annotations

import functools
import io
import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from benchmarks.fuzzing.guard import (
    PIPE,
    SECRET_FILE,
    VICTIM,
    check_shows_nothing,
    watched,
)
from benchmarks.fuzzing.harmless_models import (
    build_graph,
    build_keras,
    build_onnx,
    build_second_graph,
)
from benchmarks.fuzzing.hostile_files import scratch_of
from benchmarks.fuzzing.model_files import (
    DEEPEST,
    GRAPH,
    H5,
    KERAS,
    ONNX,
    SAVED,
    TABLE,
    WORDS,
    pack_members,
    read_members,
    read_saved_model,
    write_onnx,
)
from benchmarks.fuzzing.supervisor import Case, OtherValues
from featx.engines.tensorflow import import_tensorflow
from featx.errors import FeatxError
from featx.models import load_model
from featx.models.operations import operations_that_need_trust
from featx.options import InputOptions

FILLING = "InitializeTableFromTextFileV2"

LOADED_TO = InputOptions(preprocess="unit")

OF_SAVERS = ("Save", "Restore", "MergeV2")

OF_KERAS = ("builtins", "keras.src.utils")
"""Modules in which Keras looks for what is its own."""

Prepare = Callable[[Path, random.Random], str | None]
"""Changes a folder of models; returns what the error must name, None if it must be accepted."""


# ---- graphs ----


def place_operation(graph: Any, draw: random.Random) -> str:
    """Put an operation that does more than compute somewhere into a graph; return its name."""
    # Those of a saver may be in a SavedModel where they never run.
    operations = [name for name in operations_that_need_trust() if not name.startswith(OF_SAVERS)]
    operation = draw.choice(sorted(operations))
    place = draw.choice(("node", "functions", "unused function", "dataset", "attribute", "list"))
    if place == "node":
        graph.node.add(name="spy", op=operation)
        return operation
    depth = draw.randint(1, DEEPEST)
    for level in range(depth):
        function = graph.library.function.add()
        function.signature.name = f"inner_{level}"
        is_last = level == depth - 1
        node = function.node_def.add(name="spy", op=operation if is_last else "PartitionedCall")
        if not is_last:
            node.attr["f"].func.name = f"inner_{level + 1}"
    if place == "unused function":
        return operation
    kinds = {"functions": "StatefulPartitionedCall", "dataset": "MapDataset", "list": "Case"}
    node = graph.node.add(name="caller", op=kinds.get(place, "Relu"))
    if place == "list":
        node.attr["branches"].list.func.add().name = "inner_0"
    else:
        node.attr["_custom" if place == "attribute" else "f"].func.name = "inner_0"
    if place == "attribute":  # An operation may be named where a function is.
        node.attr["_more"].func.name = operation
    return operation


def change_graph(folder: Path, draw: random.Random) -> str:
    graph = import_tensorflow().compat.v1.GraphDef.FromString((folder / GRAPH).read_bytes())
    named = place_operation(graph, draw)
    (folder / GRAPH).write_bytes(graph.SerializeToString())
    return named


def change_saved_model(folder: Path, draw: random.Random) -> str:
    saved = read_saved_model(folder / SAVED)
    named = place_operation(saved.meta_graphs[0].graph_def, draw)
    (folder / SAVED / "saved_model.pb").write_bytes(saved.SerializeToString())
    return named


def change_second_graph(folder: Path, draw: random.Random) -> str:
    """Put the operation into the graph that is loaded, beside one that is not."""
    build_second_graph(folder, draw)
    saved = read_saved_model(folder / SAVED)
    named = place_operation(saved.meta_graphs[0].graph_def, draw)
    if draw.random() < 0.5:
        saved.meta_graphs.add().CopyFrom(saved.meta_graphs[0])
        del saved.meta_graphs[0]
    (folder / SAVED / "saved_model.pb").write_bytes(saved.SerializeToString())
    return named


def lead_asset_outside(folder: Path, draw: random.Random) -> str:
    """Fill the table from a file that is no asset of the model."""
    model = folder / TABLE
    target = draw.choice((f"../../../{SECRET_FILE}", f"../../../{PIPE}", "/etc/passwd", "../.."))
    saved = read_saved_model(model)
    meta = saved.meta_graphs[0]
    way = draw.choice(("name", "link", "constant", "node"))
    if way == "name":
        meta.asset_file_def[0].filename = target
    elif way == "link":
        (model / "assets" / WORDS).unlink()
        (model / "assets" / WORDS).symlink_to(target)
    else:
        for function in meta.graph_def.library.function:
            for node in function.node_def:
                if node.op == FILLING:
                    path = function.node_def.add(name="path", op="Const")
                    path.attr["value"].tensor.string_val.append(target.encode())
                    node.input[1] = "path:output:0"
                    break
    if way == "node":
        node = meta.graph_def.node.add(name="fill", op="InitializeTableFromTextFile")
        node.input.extend(["table", "path"])
    (model / "saved_model.pb").write_bytes(saved.SerializeToString())
    return "InitializeTableFromTextFile"


# ---- files of Keras ----


def hostile_layer(draw: random.Random) -> tuple[dict[str, Any], str]:
    """Return the configuration of a layer that Keras could not load safely, and its name."""
    name = f"Spy{draw.randrange(1000)}"
    module = draw.choice(("os", "evil", "subprocess", "tensorflow", *OF_KERAS))
    function = {"class_name": "function", "module": module, "config": name}
    choices: list[tuple[dict[str, Any], str]] = [
        ({"class_name": name, "module": module, "config": {}}, name),
        ({"class_name": name, "registered_name": f"shop>{name}", "config": {}}, name),
        ({"class_name": "Lambda", "module": "keras.layers", "config": {"name": name}}, name),
        ({"class_name": "layers.Lambda", "config": {"name": name}}, name),
        ({"class_name": "TFSMLayer", "config": {"filepath": "../victim"}}, "TFSMLayer"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "../secret.txt"}}, "secret.txt"),
        ({"class_name": "Activation", "config": {"activation": function}}, name),
        ({"class_name": "Dense", "config": {"units": 1, "kernel_initializer": function}}, name),
        ({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}, "write_file"),
    ]
    layer, named = draw.choice(choices)
    # There, Keras looks for a name that it does not have, and says so in words of its own.
    is_of_keras = named == name and any(
        f'"module": "{own}"' in json.dumps(layer) for own in OF_KERAS
    )
    return layer, "" if is_of_keras else named


def change_config(config: dict[str, Any], draw: random.Random) -> str:
    """Put a hostile layer into a network, within up to `DEEPEST` others."""
    layer, named = hostile_layer(draw)
    for _ in range(draw.randrange(DEEPEST)):
        if draw.random() < 0.5:
            layer = {"class_name": "Sequential", "config": {"name": "in", "layers": [layer]}}
        else:
            layer = {"class_name": "TimeDistributed", "config": {"layer": layer}}
    layers = config["config"]["layers"]
    layers.insert(draw.randint(1, len(layers)), layer)
    return named


def change_keras(folder: Path, draw: random.Random) -> str:
    members = read_members(folder / KERAS)
    config = json.loads(members["config.json"])
    named = change_config(config, draw)
    members["config.json"] = json.dumps(config).encode()
    pack_members(folder / KERAS, members)
    return named


def change_h5(folder: Path, draw: random.Random) -> str:
    with h5py.File(folder / H5, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        named = change_config(config, draw)
        file.attrs["model_config"] = json.dumps(config)
    return named


def store_elsewhere(file: h5py.File, draw: random.Random) -> str:
    """Put the data of a weight into another file."""
    names: list[str] = []
    file.visititems(lambda name, o: names.append(name) if isinstance(o, h5py.Dataset) else None)
    name = draw.choice([name for name in names if file[name].shape])
    shape, kind, target = (
        file[name].shape,
        file[name].dtype,
        f"../{draw.choice((SECRET_FILE, PIPE))}",
    )
    del file[name]
    way = draw.randrange(3)
    if way == 0:
        file.create_dataset(name, shape, kind, external=[(target, 0, h5py.h5f.UNLIMITED)])
    elif way == 1:
        file[name] = h5py.ExternalLink(target, "/x")
    else:
        layout = h5py.VirtualLayout(shape, kind)
        layout[...] = h5py.VirtualSource(target, "x", shape, kind)
        file.create_virtual_dataset(name, layout)
    return name


def store_h5_elsewhere(folder: Path, draw: random.Random) -> str:
    with h5py.File(folder / H5, "r+") as file:
        return store_elsewhere(file, draw)


def store_keras_elsewhere(folder: Path, draw: random.Random) -> str:
    members = read_members(folder / KERAS)
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        named = store_elsewhere(file, draw)
    members["model.weights.h5"] = content.getvalue()
    pack_members(folder / KERAS, members)
    return named


def add_members(folder: Path, draw: random.Random) -> str:
    """Add members with odd names, which nothing may unpack, beside a configuration that is bad."""
    named = change_keras(folder, draw)
    members = read_members(folder / KERAS)
    for _ in range(draw.randint(1, 4)):
        name = draw.choice((f"../{VICTIM}/x", f"/{VICTIM}", "a\\..\\b", "assets/../../x", "C:/x"))
        members[name] = b"x" * draw.choice((0, 10, 10**6))
    pack_members(folder / KERAS, members)
    return named


def unpack_without_end(folder: Path, draw: random.Random) -> str:
    members = read_members(folder / KERAS)
    member = draw.choice(("config.json", "metadata.json", "model.weights.h5"))
    members[member] += b" " * draw.choice((200, 300)) * 2**20
    pack_members(folder / KERAS, members)
    return ""


# ---- ONNX ----


def change_onnx(folder: Path, draw: random.Random) -> str:
    """Store weights elsewhere, claim more than there are, or use an unknown operator."""
    import onnx

    model = onnx.load(folder / ONNX, load_external_data=False)
    tensor = model.graph.initializer[0]
    way = draw.choice(("external", "huge", "domain"))
    if way == "domain":
        model.graph.node[0].domain, model.graph.node[0].op_type = "other", "Spy"
        named = "Spy"
    elif way == "huge":
        tensor.dims[:] = [draw.choice((10**6, 2**31, 2**40, 2**62))] * draw.randint(1, 3)
        named = "a tensor"
    else:
        named = draw.choice(
            (f"../{SECRET_FILE}", f"../{PIPE}", "/etc/passwd", "http://127.0.0.1:9/x")
        )
        tensor.ClearField("float_data")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=named)
    (folder / ONNX).write_bytes(model.SerializeToString())
    return named


def hide_in_onnx(folder: Path, draw: random.Random) -> str:
    """Put a tensor that is elsewhere, or an unknown operator, into functions and branches."""
    from onnx import TensorProto, helper

    named = draw.choice((f"../{SECRET_FILE}", f"../{PIPE}", "/etc/passwd", "Spy"))
    if named == "Spy":
        hidden = helper.make_node("Spy", ["x"], ["hidden"], domain="other")
    else:
        tensor = TensorProto(name="t", dims=[1], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=named)
        hidden = helper.make_node("Constant", [], ["hidden"], value=tensor)
    for level in range(draw.randrange(DEEPEST)):
        result = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, None)
        branch = helper.make_graph([hidden], f"branch{level}", [], [result])
        branches = {"then_branch": branch, "else_branch": branch}
        hidden = helper.make_node("If", ["flag"], ["hidden"], **branches)
    end = helper.make_node("Add", ["x", "hidden"], ["y"])  # What nothing needs, nothing runs.
    functions = []
    if named != "Spy" and draw.random() < 0.5:
        end = helper.make_node("Relu", ["x"], ["y"])
        opsets = [helper.make_opsetid("", 17)]
        functions = [helper.make_function("other", "F", ["x"], ["hidden"], [hidden], opsets)]
        write_onnx(folder / ONNX, lambda _: [end], functions)
    else:
        write_onnx(folder / ONNX, lambda _: [hidden, end])
    return named


def _harmless(build: Callable[[Path, random.Random], None]) -> Prepare:
    def prepare(folder: Path, draw: random.Random) -> None:
        build(folder, draw)

    return prepare


MODEL_CHANGES: dict[str, tuple[str, Prepare]] = {
    "graph: operation": (GRAPH, change_graph),
    "SavedModel: operation": (SAVED, change_saved_model),
    "SavedModel: second MetaGraph": (SAVED, change_second_graph),
    "SavedModel: asset outside": (TABLE, lead_asset_outside),
    ".keras: code": (KERAS, change_keras),
    ".h5: code": (H5, change_h5),
    ".keras: data elsewhere": (KERAS, store_keras_elsewhere),
    ".h5: data elsewhere": (H5, store_h5_elsewhere),
    ".keras: odd members": (KERAS, add_members),
    ".keras: unpacks without end": (KERAS, unpack_without_end),
    "ONNX: elsewhere, huge, unknown": (ONNX, change_onnx),
    "ONNX: in functions and branches": (ONNX, hide_in_onnx),
    "graph: computes": (GRAPH, _harmless(build_graph)),
    "SavedModel: computes": (SAVED, _harmless(build_graph)),
    "SavedModel: second MetaGraph, computes": (SAVED, _harmless(build_second_graph)),
    ".keras: computes": (KERAS, _harmless(build_keras)),
    ".h5: computes": (H5, _harmless(build_keras)),
    "ONNX: computes": (ONNX, _harmless(build_onnx)),
}
"""Kind of case → the model that is changed, and how."""


def model_cases(originals: Path, count: int, seed: int, seconds: float, first: int) -> list[Case]:
    """Prepare models by structure; the ways take turns."""
    kinds = list(MODEL_CHANGES)
    cases = []
    for number in range(first, first + count):
        kind = kinds[number % len(kinds)]
        text = f"{seed}/models/{number}"
        name = f"{kind}-{number}".replace(" ", "-")
        run, save = partial(_load, originals, kind, text), partial(_save, originals, kind, text)
        cases.append(Case(name=name, kind=kind, run=run, save=save, seconds=seconds))
    return cases


def _load(originals: Path, kind: str, text: str) -> None:
    place = scratch_of(originals)
    folder = place / "case"
    shutil.rmtree(folder, ignore_errors=True)
    named = _save(originals, kind, text, folder)
    _warm(originals)
    try:
        with watched(folder):
            load_model(str(folder / MODEL_CHANGES[kind][0]), input=LOADED_TO)
    except FeatxError as error:
        check_shows_nothing(str(error), folder)
        if named is None:
            raise OtherValues(f"refused, though it only computes: {error}") from error
        if named not in str(error):
            raise OtherValues(f"{named!r} is not named: {error}") from error
        raise
    finally:
        written = [str(path) for path in (place / VICTIM).rglob("*")]
        if written:
            raise OtherValues(f"written: {written}")
    if named is not None:
        raise OtherValues(f"accepted, with {named!r}; expected: refused")


def _save(originals: Path, kind: str, text: str, folder: Path) -> str | None:
    shutil.copytree(originals, folder, dirs_exist_ok=True)
    return MODEL_CHANGES[kind][1](folder, random.Random(text))


@functools.cache
def _warm(originals: Path) -> None:
    """Load good models, unwatched: what libraries read when they are first used is no offence."""
    for file in (GRAPH, SAVED, TABLE, KERAS, H5, ONNX):
        load_model(str(originals / file), input=LOADED_TO)
