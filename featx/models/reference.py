"""Reading model references such as ``keras:MobileNet,alpha=0.25``, without loading anything."""

from __future__ import annotations

import ast
import contextlib
import os.path
import re
from pathlib import Path
from typing import Any

from featx.errors import AmbiguousName, InvalidValue, ModelError, UnknownName, join_names
from featx.models.builtin import MINI
from featx.models.contracts import APPLICATIONS

SOURCES: dict[str, str] = {
    "builtin": "featx.models.builtin",
    "keras": "featx.models.keras_applications",
    "file": "featx.models.keras_file",
    "savedmodel": "featx.models.savedmodel",
    "hub": "featx.models.hub",
    "graphdef": "featx.models.graphdef",
}
"""Sources of models: prefix of a reference → module with `load(ModelRequest) -> Backbone`."""

KERAS_FILE_SUFFIXES = (".keras", ".h5", ".hdf5")
GRAPH_SUFFIX = ".pb"

_HUB_MARK = "tfhub_module.pb"
"""What modules of TensorFlow Hub for TF1 hold beside their graph. Those for TF2 hold nothing of
the kind; `featx.models.savedmodel` knows them when it has loaded them."""

TRUST = "trust_model_code"
"""The argument that every reference takes: run code that comes with the model."""

_HUB_URL = re.compile(
    r"https?://(www\.)?(tfhub\.dev/|hub\.tensorflow\.google\.cn/|kaggle\.com/models/)",
    re.IGNORECASE,
)
"""Addresses that name a model of TensorFlow Hub without a source before them."""


def parse_reference(text: str) -> tuple[str, str, dict[str, Any]]:
    """Split a model reference into source, name and constructor arguments.

    Args:
        text: ``source:name,argument=value,...``, or a bare name or existing path.

    Returns:
        ``(source, name, arguments)``; the source is a key of `SOURCES`.

    Raises:
        UnknownName: If no reading is possible.
        AmbiguousName: If several are.
        InvalidValue: If an argument is not of the form ``name=value``.

    Example:
        >>> parse_reference("keras:MobileNet,alpha=0.25")
        ('keras', 'MobileNet', {'alpha': 0.25})
        >>> parse_reference("VGG19")
        ('keras', 'VGG19', {})
    """
    source, colon, rest = text.partition(":")
    if colon and source in SOURCES:
        if not rest:
            raise InvalidValue(f"A model name follows '{source}:'. Received: {text!r}.")
        name, arguments = _split_arguments(rest)
        if source == "keras" and name not in APPLICATIONS:
            raise UnknownName("Keras application", name, APPLICATIONS)
        return source, name, arguments

    name, arguments = _split_arguments(text)
    if _HUB_URL.match(name):
        return "hub", name, arguments
    readings = []
    if name == MINI:
        readings.append("builtin")
    if name in APPLICATIONS:
        readings.append("keras")
    file_source = _source_of_path(name)
    if file_source is not None:
        readings.append(file_source)
    if len(readings) == 1:
        return readings[0], name, arguments
    if readings:
        spellings = [f"{reading}:{name}" for reading in readings]
        raise AmbiguousName(f"{name!r} can mean {join_names(spellings)}. Write one of these.")
    if os.path.exists(name):
        raise ModelError(
            f"{name!r} is not a model that featx can read. Expected: a folder with "
            f"saved_model.pb, or a file ending in {join_names([*KERAS_FILE_SUFFIXES, '.pb'])}."
        )
    raise UnknownName(
        "model",
        name,
        APPLICATIONS,
        remedy="Name a Keras application (for example keras:MobileNetV2), a model's page on "
        "tfhub.dev or kaggle.com, or the path of a .keras, .h5 or .pb file or of a SavedModel "
        "folder.",
    )


def add_arguments(reference: str, **arguments: Any) -> str:
    """Append arguments to a model reference; those that are None or False are left out.

    Example:
        >>> add_arguments("hub:module", signature="image_feature_vector", trust_model_code=False)
        'hub:module,signature=image_feature_vector'
    """
    given = [f"{key}={value}" for key, value in arguments.items() if value not in (None, False)]
    return ",".join([reference, *given])


def without_trust(reference: str) -> str:
    """Return a model reference as it is stored: trust is given for one command.

    Example:
        >>> without_trust("net.keras,trust_model_code=True")
        'net.keras'
    """
    name, *arguments = reference.split(",")
    kept = [text for text in arguments if text.partition("=")[0].strip() != TRUST]
    return ",".join([name, *kept])


def savedmodel_files(folder: Path) -> list[Path]:
    """Return where a SavedModel's graph and weights lie: what decides what it computes."""
    return [folder / "saved_model.pb", *sorted((folder / "variables").glob("*"))]


def _source_of_path(path: str) -> str | None:
    """Return the source that reads an existing path, or None.

    `os.path` rather than `Path`: text that cannot be a path at all is then just not one.
    """
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return "hub" if os.path.isfile(os.path.join(path, _HUB_MARK)) else "savedmodel"
    if os.path.isfile(path):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in KERAS_FILE_SUFFIXES:
            return "file"
        if suffix == GRAPH_SUFFIX and os.path.basename(path) != "saved_model.pb":
            return "graphdef"
    return None


def _split_arguments(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name,a=1,b=x`` into the name and its arguments as Python values.

    The name is the longest beginning that is an existing path, which may contain commas.
    """
    parts = text.split(",")
    counts = [n for n in range(len(parts), 1, -1) if os.path.exists(",".join(parts[:n]))]
    count = counts[0] if counts else 1
    name, pairs = ",".join(parts[:count]), parts[count:]
    if not pairs and os.path.exists(name):
        return name, {}
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InvalidValue(
                "Constructor arguments follow the name as ',argument=value'. "
                f"Received: {pair!r} in {text!r}. For example: keras:MobileNet,alpha=0.25."
            )
        parsed: Any = value.strip()
        with contextlib.suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            literal = ast.literal_eval(parsed)
            # Only what JSON gives back as it was: arguments are part of the fingerprint.
            if literal is None or isinstance(literal, (bool, int, float, str)):
                parsed = literal
        arguments[key.strip()] = parsed
    return name.strip(), arguments
