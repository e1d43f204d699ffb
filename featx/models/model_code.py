"""Code that a model would run: found by reading its description, before anything is loaded."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from featx.errors import ModelError, join_names
from featx.models.backbone import first_line

TRUST_OPTION = "--trust-model-code"

_UNSAFE_FUNCTIONS = frozenset(
    "io raw_ops py_function numpy_function load_library load_op_library saved_model train summary "
    "data debugging profiler".split()
)
"""Parts of the names of TensorFlow's functions, which old Keras files take as layers, that reach
beyond numbers."""

_UNSAFE_OPERATIONS = frozenset(
    "WriteFile PyFunc PyFuncStateless EagerPyFunc "
    "DebugIdentity DebugIdentityV2 DebugIdentityV3".split()
)
"""Operations of graphs that write files or run Python, for which no network has a use."""


def read_config(path: Path) -> dict[str, Any]:
    """Read the architecture of a ``.keras`` or ``.h5`` file as plain data.

    Returns:
        The configuration, with ``keras_version`` where the file says it; empty where it cannot
        be read (Keras then says why).
    """
    config: Any = None
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                version = json.loads(archive.read("metadata.json")).get("keras_version")
        elif h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                text = file.attrs["model_config"]
                version = file.attrs.get("keras_version")
            config = json.loads(text.decode() if isinstance(text, bytes) else text)
            version = version.decode() if isinstance(version, bytes) else version
        if isinstance(config, dict):
            return config | {"keras_version": version}
    return {}


def find_code(config: Any) -> dict[str, tuple[str, str] | None]:
    """List what a model would run that is not Keras's own.

    Returns:
        A description of each piece → its module and class, or None where the code lies in the
        file itself.

    Example:
        >>> find_code({"class_name": "Lambda", "config": {"name": "double"}})
        {"the Lambda layer 'double'": None}
    """
    found: dict[str, tuple[str, str] | None] = {}
    if isinstance(config, list):
        for item in config:
            found |= find_code(item)
    if not isinstance(config, dict):
        return found
    name, module = config.get("class_name"), config.get("module")
    if name in ("Lambda", "__lambda__"):
        inner = config.get("config")
        title = inner.get("name") if isinstance(inner, dict) else None
        found[f"the Lambda layer {title!r}" if title else "a lambda function"] = None
    elif name in ("TFOpLambda", "ClassMethod", "SlicingOpLambda"):
        function = str((config.get("config") or {}).get("function"))
        if _UNSAFE_FUNCTIONS & set(function.split(".")):
            found[f"the function 'tf.{function}'"] = None
    elif isinstance(name, str) and isinstance(module, str) and not _is_keras(module):
        registered = config.get("registered_name")
        if name != "function" and not _is_registered(registered or name):
            found[f"the class {name!r} of the module {module!r}"] = (module, name)
    for value in config.values():
        found |= find_code(value)
    return found


def refuse_operations(path: Path, graphs: Iterable[Any]) -> None:
    """Refuse graphs that would write files or run Python.

    Args:
        path: The model.
        graphs: GraphDefs.

    Raises:
        ModelError: If there is such an operation, in a graph or in a function of its library.
    """
    found: dict[str, None] = {}
    for graph in graphs:
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            for node in nodes:
                stream = node.attr["output_stream"].s if node.op == "PrintV2" else b""
                if node.op in _UNSAFE_OPERATIONS or stream.startswith(b"file:"):
                    found[f"the operation {node.op} ({node.name!r})"] = None
    refuse_code(path, found)


def refuse_code(path: Path, code: Mapping[str, tuple[str, str] | None]) -> None:
    """Refuse a file that would run code.

    Raises:
        ModelError: If there is any; names it, and the option that runs it.
    """
    if code:
        raise ModelError(
            f"{path.name!r} would run more than the arithmetic of a network: "
            f"{join_names(list(code), conjunction='and')}. That can do anything that you can; if "
            f"you know where the model comes from, {TRUST_OPTION} runs it."
        )


@contextlib.contextmanager
def imported_code(path: Path, code: dict[str, tuple[str, str] | None]) -> Iterator[dict[str, Any]]:
    """Import the classes that a trusted model names, from beside it or the current folder.

    Yields:
        Class names → classes, for Keras's `custom_objects`.

    Raises:
        ModelError: If a module or class is not there.
    """
    places = [str(path.parent), str(Path.cwd())]
    sys.path[:0] = places
    classes: dict[str, Any] = {}
    try:
        for place in filter(None, code.values()):
            module, name = place
            try:
                classes[name] = getattr(importlib.import_module(module), name)
            except Exception as error:  # Other people's code raises what it likes.
                raise ModelError(
                    f"{path.name!r} needs the class {name!r} of the module {module!r}, which "
                    f"cannot be imported ({type(error).__name__}: {first_line(error)}). Place "
                    f"{module.partition('.')[0]}.py beside the model or in the current folder."
                ) from error
        yield classes
    finally:
        for entry in places:
            with contextlib.suppress(ValueError):
                sys.path.remove(entry)


def _is_keras(module: str) -> bool:
    return module.split(".")[0] in ("keras", "builtins", "keras_hub", "keras_cv", "keras_nlp")


def _is_registered(name: str) -> bool:
    """Whether the caller's own program has made a class known to Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and keras.saving.get_registered_object(name) is not None
