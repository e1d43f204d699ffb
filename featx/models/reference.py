"""Reading model references such as ``keras:MobileNet,alpha=0.25``, without loading anything."""

from __future__ import annotations

import ast
import contextlib
import os.path
import re
from typing import TYPE_CHECKING, Any

from featx.errors import AmbiguousName, InvalidValue, ModelError, UnknownName, join_names
from featx.models.sources import SOURCES, describe_bare_names, usable_sources
from featx.specs import NAMED_SOURCES

if TYPE_CHECKING:
    from featx.specs import ModelSpec

_ARGUMENT = re.compile(r"[A-Za-z_][\w./-]*")
"""Names of arguments, and of inputs in graphs, such as ``pnet/min_size``."""

MOST_LISTED = 100
"""Files of a folder among which models are looked for: it may be one of a million pictures."""

TRUST = "trust_model_code"
"""The argument that every reference takes: run code that comes with the model."""


def is_module_url(name: str) -> bool:
    """Whether a module is named by a URL.

    Example:
        >>> is_module_url("https://tfhub.dev/google/imagenet/inception_v1/feature_vector/4")
        True
    """
    return name.lower().startswith(("http://", "https://", "gs://"))


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
        SOURCES[source].check(name)
        return source, name, arguments
    name, arguments = _split_arguments(text)
    return _find_source(name), name, arguments


def _find_source(name: str) -> str:
    """Return the source that reads a name, path or URL without a source in front."""
    readings = [source for source, reader in usable_sources() if reader.reads(name)]
    if len(readings) == 1:
        return readings[0]
    if readings:
        spellings = [f"{reading}:{name}" for reading in readings]
        raise AmbiguousName(f"{name!r} can mean {join_names(spellings)}. Write one of these.")
    inside = _list_models(name)
    if inside:
        raise ModelError(
            f"{name!r} is a folder that holds {join_names(inside, conjunction='and')}. Name the "
            "model itself."
        )
    if os.path.exists(name):
        raise ModelError(
            f"{name!r} is not a model that featx can read. Expected: {describe_bare_names()}."
        )
    folder, file = os.path.split(name)
    if ":" not in name[2:] and (folder or os.path.splitext(file)[1]):
        beside: list[str] = []
        with contextlib.suppress(OSError):
            beside = [os.path.join(folder, each) for each in os.listdir(folder or ".")]
        raise UnknownName("model", name, beside, remedy="There is no such file or folder.")
    from featx.models.catalogue import list_models

    known = [entry.reference for entry in list_models()]
    if ":" not in name:
        known = [reference.partition(":")[2] for reference in known]
    raise UnknownName("model", name, known, remedy=f"Name {describe_bare_names()}.")


def is_file_of_model(path: str) -> bool:
    """Whether something that is there, by its name, can be a model: a file or a folder."""
    return os.path.exists(path) and any(reader.reads(path) for _, reader in usable_sources())


def _list_models(folder: str) -> list[str]:
    """Return the first models in a folder, such as those of a download."""
    names: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        names = sorted(os.listdir(folder))[:MOST_LISTED]
    paths = [os.path.join(folder, name) for name in names]
    readers = [reader for _, reader in usable_sources()]
    models = [path for path in paths if any(reader.reads(path) for reader in readers)]
    return [repr(os.path.basename(path)) for path in models[:3]]


def locate_again(reference: str, maker: ModelSpec) -> str | None:
    """Return where the model that made some features is now, of a reference given for it.

    Args:
        reference: What a person named: a path, or the model as `featx.extract` takes it.
        maker: The model as recorded.

    Returns:
        A path or URL; None where it is the recorded name, which says nothing new.

    Raises:
        ModelError: If it names another model.
    """
    if reference == maker.reference:
        return None
    if os.path.exists(reference):
        return reference
    try:
        source, name, arguments = parse_reference(reference)
    except (UnknownName, AmbiguousName, InvalidValue):
        return reference
    arguments.pop(TRUST, None)
    if source == maker.source:
        if (name, arguments) == (maker.name, maker.given):
            return None
        if os.path.exists(name) or "://" in name:
            return name
    raise ModelError(
        f"The model that made these features is {maker.reference!r}. Received: {reference!r}. "
        "Leave the model out: it is known."
    )


def add_arguments(reference: str, **arguments: Any) -> str:
    """Append arguments to a model reference; those that are None or False are left out.

    Example:
        >>> add_arguments("hub:module", signature="image_feature_vector", trust_model_code=False)
        'hub:module,signature=image_feature_vector'
    """
    given = [f"{key}={value}" for key, value in arguments.items() if value not in (None, False)]
    return ",".join([reference, *given])


def with_full_path(reference: str) -> str:
    """Return a model reference that names the same file or folder wherever it is read.

    Example:
        >>> with_full_path("keras:VGG19")
        'keras:VGG19'
    """
    source, name, _ = parse_reference(reference)
    if source in NAMED_SOURCES or not os.path.exists(name):
        return reference
    given = reference.removeprefix(f"{source}:").lstrip()
    return f"{source}:{os.path.abspath(name)}{given[len(name) :]}"


def without_trust(reference: str) -> str:
    """Return a model reference as it is stored: trust is given for one command.

    Example:
        >>> without_trust("net.keras,trust_model_code=True")
        'net.keras'
    """
    name, *arguments = reference.split(",")
    kept = [text for text in arguments if text.partition("=")[0].strip() != TRUST]
    return ",".join([name, *kept])


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
        if not equals or _ARGUMENT.fullmatch(key.strip()) is None:
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
