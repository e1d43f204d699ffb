"""Code that a model would run: found by reading its description, before anything is loaded."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import re
import sys
import types
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from featx.errors import ModelError, first_line, join_names
from featx.forks import ProcessLock
from featx.models.operations import computing_operations, describe_operation
from featx.wording import option

_ARRAY_FUNCTIONS = frozenset(
    "reshape concat cast expand_dims squeeze transpose pad tile stack unstack split slice "
    "strided_slice gather gather_nd reverse roll clip_by_value clip_by_norm convert_to_tensor "
    "identity stop_gradient shape size rank fill range maximum minimum abs add add_n subtract "
    "multiply divide truediv pow negative sign round sqrt square exp sin cos tanh sigmoid "
    "greater greater_equal less less_equal equal not_equal logical_and logical_or logical_not "
    "matmul tensordot einsum norm reduce_mean reduce_sum reduce_max reduce_min reduce_prod "
    "reduce_all reduce_any reduce_logsumexp cumsum where zeros ones eye zeros_like ones_like "
    "broadcast_to repeat one_hot argmax argmin argsort sort boolean_mask meshgrid "
    "space_to_depth depth_to_space space_to_batch batch_to_space".split()
)
"""TensorFlow's functions that old Keras files may take as layers, besides those of namespaces."""

_FUNCTION = re.compile(r"(math|nn|image|linalg|signal|__operators__)\.[A-Za-z0-9_]+")
_BEYOND_NUMBERS = re.compile(
    "decode|encode|read|write|file|save|load|py_func|numpy_function", re.IGNORECASE
)

_ATTRIBUTES = frozenset(
    "shape dtype values flat_values row_splits nested_row_splits ragged_rank uniform_row_length "
    "indices dense_shape to_tensor row_lengths value_rowids row_limits row_starts nrows "
    "bounding_shape with_values with_flat_values get_shape".split()
)
"""What old Keras files may take of tensors as a layer."""

_FOREIGN_LAYERS = frozenset(("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"))
"""Layers of Keras's own that run what is in other files, or pickled in this one."""

_FILE_OPTIONS = ("vocabulary", "vocabulary_file", "initial_vocabulary", "merges", "proto")
"""Options of lookup layers and tokenizers that hold words, or the path of a file to read."""

_COMPUTING = frozenset(
    "activations constraints initializers losses metrics nn numpy ops random regularizers".split()
)
"""Modules of Keras whose functions compute and do nothing else."""

KERAS_PACKAGES = ("keras", "tf_keras", "builtins", "keras_hub", "keras_cv", "keras_nlp")
"""Packages of which files name classes and functions without being trusted: Keras checks them."""

_HARMLESS_BUILTINS = frozenset(("abs", "max", "min", "pow", "round", "sum"))


def find_code(config: Any) -> dict[str, tuple[str, str] | None]:
    """List what a model would run that is not Keras's own.

    Returns:
        A description of each piece → its module and class, or None where the code is in the
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
    name, module, inner = (config.get(key) for key in ("class_name", "module", "config"))
    inner = inner if isinstance(inner, dict) else {"name": inner}
    kind = re.split("[.>]", name)[-1] if isinstance(name, str) else None
    if kind in ("Lambda", "__lambda__"):
        title = inner.get("name") if kind == "Lambda" else None
        found[f"the Lambda layer {title!r}" if title else "a lambda function"] = None
    elif kind in ("TFOpLambda", "SlicingOpLambda"):
        function = str(inner.get("function"))
        if not _is_arithmetic(function):
            found[f"the function 'tf.{function}'"] = None
    elif kind == "ClassMethod":
        found[f"the method 'tf.{inner.get('cls_symbol')}.{inner.get('fn_name')}'"] = None
    elif kind in ("InstanceMethod", "InstanceProperty"):
        attribute = str(inner.get("method_name", inner.get("attr_name")))
        if attribute not in _ATTRIBUTES:
            found[f"the attribute {attribute!r} of a tensor"] = None
    elif kind in _FOREIGN_LAYERS:
        found[f"the layer {inner.get('name')!r} of the kind {kind}"] = None
    elif kind == "TensorFlowOpLayer":
        operation = _operation_of(inner.get("node_def"))
        if operation not in computing_operations():
            found[describe_operation(str(operation))] = None
    elif kind == "function" and isinstance(module, str):
        function, registered = str(inner.get("name")), config.get("registered_name")
        is_known = registered not in (None, "function") and _is_registered(registered)
        if not is_known and not (_is_keras(module) and _computes(module)):
            found[f"the function {function!r} of the module {module!r}"] = (module, function)
        elif module == "builtins" and _is_unsafe_builtin(function):
            found[f"Python's function {function!r}"] = None
    elif isinstance(name, str) and isinstance(module, str) and not _is_keras(module):
        registered = config.get("registered_name")
        if not _is_registered(registered or name):
            found[f"the class {name!r} of the module {module!r}"] = (module, name)
    for key in _FILE_OPTIONS:
        if isinstance(config.get(key), str):
            found[f"a layer that reads the file {config[key]!r}"] = None
    for value in config.values():
        found |= find_code(value)
    return found


def uses_registered(config: Any) -> bool:
    """Whether a model names anything that this process has registered with Keras.

    What that computes is in the program that registered it, not in the model's file.

    Example:
        >>> uses_registered({"class_name": "Dense", "config": {"activation": "relu"}})
        False
    """
    return any(_is_registered(text) for text in set(_texts(config)))


def find_registered(config: Any) -> dict[str, dict[str, Any]]:
    """Return what a model names of the objects that this thread knows as registered with Keras.

    Returns:
        For each Keras that is imported, 3 or 2, its name → names of objects → objects.
    """
    texts = set(_texts(config))
    found: dict[str, dict[str, Any]] = {}
    for kind, keras in _imported_kerases().items():
        objects = {text: keras.saving.get_registered_object(text) for text in texts}
        found[kind] = {name: value for name, value in objects.items() if value is not None}
    return found


@contextlib.contextmanager
def registered_again(found: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Let this thread know what `find_registered` found in another one."""
    with contextlib.ExitStack() as stack:
        for kind, keras in _imported_kerases().items():
            if found.get(kind):
                stack.enter_context(keras.saving.custom_object_scope(dict(found[kind])))
        yield


def _texts(config: Any) -> Iterator[str]:
    """Yield every text that is a value in a configuration, however deep."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, (list, tuple)):
        for item in config:
            yield from _texts(item)
    elif isinstance(config, Mapping):
        for value in config.values():
            yield from _texts(value)


def find_unregistered(config: Any) -> list[str]:
    """List what a model was saved with under a registered name that nobody has registered now.

    Only of what the file names no module for: classes of the program that wrote it, and all of
    ``.h5`` files.

    Example:
        >>> find_unregistered({"class_name": "blocks>Twice", "config": {"name": "twice"}})
        ['blocks>Twice']
    """
    found: list[str] = []
    if isinstance(config, list):
        found = [name for item in config for name in find_unregistered(item)]
    elif isinstance(config, dict):
        module = config.get("module")
        if not isinstance(module, str) or _is_keras(module):
            names = [config.get(key) for key in ("registered_name", "class_name")]
            found = [name for name in names if isinstance(name, str) and ">" in name][:1]
            found = [name for name in found if not _is_registered(name)]
        found += [name for value in config.values() for name in find_unregistered(value)]
    return list(dict.fromkeys(found))


def describe_missing(path: Path, names: list[str]) -> str:
    """Say which classes a file needs that it gives no module for, and how it gets them."""
    listed = join_names([repr(name) for name in dict.fromkeys(names)], conjunction="and")
    if any(_is_class_of_keras(name) for name in names):
        return (
            f"{path.name!r} does not say which module {listed} is of; Keras writes one for each of "
            "its classes and needs it. Save the model again, with model.save of Keras."
        )
    code_file = path.with_suffix(".py").name
    return (
        f"{path.name!r} needs {listed}, of the program that saved it, and does not hold that code. "
        f"Write it to {code_file} beside the model, and {option('trust_model_code', True)} runs "
        f"that file; {option('trust_model_code', 'FILE.py')} runs another. In Python, import the "
        f"module that defines and registers it, or pass custom_objects={{{_as_keyword(names[0])}}}."
    )


def _as_keyword(name: str) -> str:
    """Return how an object is passed under the name that a file has for it."""
    return f"{name!r}: {name.split('>')[-1]}"


def _is_class_of_keras(name: str) -> bool:
    import keras

    return any(hasattr(module, name) for module in (keras.layers, keras.models))


def refuse_code(path: Path, code: Mapping[str, tuple[str, str] | None]) -> None:
    """Refuse a file that would run code.

    Raises:
        ModelError: If there is any; names it, and the option that runs it.
    """
    if code:
        raise ModelError(
            f"{path.name!r} would run more than the arithmetic of a network: "
            f"{join_names(list(code), conjunction='and')}. That can do anything that you can; if "
            f"you know where the model comes from, {option('trust_model_code', True)} runs it."
        )


@contextlib.contextmanager
def imported_code(
    path: Path, code: Mapping[str, tuple[str, str] | None], known: Container[str]
) -> Iterator[dict[str, Any]]:
    """Import the classes that a trusted model names, from beside it or the current folder.

    Args:
        path: The model.
        code: From `find_code`.
        known: Names of classes and functions that are there already.

    Yields:
        Class names → classes, for Keras's `custom_objects`.

    Raises:
        ModelError: If a module or class is not there.
    """
    classes: dict[str, Any] = {}
    named = [names for names in code.values() if names is not None and names[1] not in known]
    if named:
        with _folders_searched([str(path.parent), str(Path.cwd())]):
            for module, name in named:
                try:
                    classes[name] = getattr(importlib.import_module(module), name)
                except Exception as error:  # Other people's code raises what it likes.
                    raise ModelError(
                        f"{path.name!r} needs {name!r} of the module {module!r}, which cannot be "
                        f"imported ({type(error).__name__}: {first_line(error)}). Place "
                        f"{module.partition('.')[0]}.py beside the model or in the current folder."
                    ) from error
    yield classes


@contextlib.contextmanager
def run_code_file(path: Path | None) -> Iterator[dict[str, Any]]:
    """Run a Python file of a trusted model, and forget afterwards what it registers with Keras.

    Args:
        path: The file; None runs nothing.

    Yields:
        Its classes and functions by name, for Keras's `custom_objects`.

    Raises:
        ModelError: If it fails.
    """
    if path is None:
        yield {}
        return
    module = types.ModuleType(f"featx_code_of_{path.stem}")
    module.__file__ = str(path)
    registries = [keras.saving.get_custom_objects() for keras in _imported_kerases().values()]
    before = [dict(registry) for registry in registries]
    sys.modules[module.__name__] = module
    try:
        with _folders_searched([str(path.parent)]):
            try:
                exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
            except Exception as error:  # Other people's code raises what it likes.
                raise ModelError(
                    f"{path.name!r} cannot be run ({type(error).__name__}: {first_line(error)})."
                ) from error
            yield {name: value for name, value in vars(module).items() if callable(value)}
    finally:
        del sys.modules[module.__name__]
        for registry, old in zip(registries, before, strict=True):
            registry.clear()
            registry.update(old)


@contextlib.contextmanager
def _folders_searched(folders: list[str]) -> Iterator[None]:
    """Let Python search folders for modules, after all others.

    Keras comes first: a file of its name in such a folder is not what is meant.
    """
    for name in ("keras", "tf_keras"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with _searching:
        added = [folder for folder in dict.fromkeys(folders) if folder not in sys.path]
        sys.path.extend(added)
        try:
            yield
        finally:
            for folder in added:
                with contextlib.suppress(ValueError):
                    sys.path.remove(folder)


_searching = ProcessLock()
"""Held by the thread that has added folders: another one would find them there, then lose them."""


def _is_arithmetic(function: str) -> bool:
    """Whether a function of TensorFlow's works on numbers alone."""
    is_listed = function in _ARRAY_FUNCTIONS or _FUNCTION.fullmatch(function) is not None
    return is_listed and _BEYOND_NUMBERS.search(function) is None


def _is_unsafe_builtin(function: str) -> bool:
    return hasattr(builtins, function) and function not in _HARMLESS_BUILTINS


def _operation_of(node: Any) -> str | None:
    """Return the operation of a node that an old Keras file holds as JSON."""
    if isinstance(node, str):
        with contextlib.suppress(ValueError):
            node = json.loads(node)
    operation = node.get("op") if isinstance(node, dict) else None
    return operation if isinstance(operation, str) else None


def _is_keras(module: str) -> bool:
    return module.split(".")[0] in KERAS_PACKAGES


def _computes(module: str) -> bool:
    """Whether a module of Keras, or beside it, is not one with functions such as `get_file`."""
    top, *below = module.split(".")
    return top not in ("keras", "tf_keras") or any(part in _COMPUTING for part in below)


def _is_registered(name: str) -> bool:
    """Whether the caller's own program has made a class known to Keras, 3 or 2."""
    kerases = _imported_kerases().values()
    return any(keras.saving.get_registered_object(name) is not None for keras in kerases)


def _imported_kerases() -> dict[str, Any]:
    names = [name for name in ("keras", "tf_keras") if sys.modules.get(name) is not None]
    # Another thread may be in the middle of importing one: this waits for it.
    return {name: importlib.import_module(name) for name in names}
