"""Why a SavedModel could not be loaded: files of it that are missing or cut off."""

from __future__ import annotations

import re
from pathlib import Path

from featx.engines.tensorflow import import_tensorflow
from featx.errors import first_line
from featx.models.savedmodel_folder import GRAPH_NAME

_SHARD = re.compile(r"variables\.data-\d{5}-of-(\d{5})")
_INDEX = "variables/variables.index"
_COPY_AGAIN = f"Copy or download the whole folder again: {GRAPH_NAME} and all of 'variables'"
_CUT_OFF = ("Read less bytes than", "sstable", "checksum does not match", "Checksum does not match")
"""What TensorFlow says of damaged variables, whatever the class of its error."""


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a SavedModel with every file of its variables."""
    if not (folder / GRAPH_NAME).is_file():
        return False
    has_some = any((folder / "variables").glob("variables.*"))  # A graph may have no variables.
    return not (has_some and find_missing(folder))


def find_missing(folder: Path) -> list[str]:
    """Return which files of a SavedModel's variables are missing, as their names tell."""
    found = sorted(path.name for path in (folder / "variables").glob("variables.data-*"))
    match = _SHARD.fullmatch(found[0]) if found else None
    count = int(match[1]) if match else 0
    shards = [f"variables.data-{n:05}-of-{count:05}" for n in range(min(count, len(found) + 10))]
    missing = [f"variables/{name}" for name in shards if name not in found]
    if not found:
        missing = ["variables/variables.data-*"]
    return missing if (folder / _INDEX).is_file() else [_INDEX, *missing]


def is_damage(error: BaseException | None) -> bool:
    """Whether TensorFlow failed because the files of a model are cut off or changed."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    errors = import_tensorflow().errors
    kinds = (DecodeError, errors.DataLossError, errors.OutOfRangeError)
    return isinstance(error, kinds) or any(text in str(error) for text in _CUT_OFF)


def loading_reason(folder: Path, error: Exception) -> str:
    """Say why a SavedModel could not be loaded, and what to do where its files are the cause.

    Args:
        folder: Where it is.
        error: What was raised.
    """
    from google.protobuf.message import DecodeError

    errors = import_tensorflow().errors
    if isinstance(error, DecodeError) or not (folder / GRAPH_NAME).stat().st_size:
        return f"its graph, {GRAPH_NAME}, is damaged or cut off. {_COPY_AGAIN}."
    missing = find_missing(folder)
    if missing and isinstance(error, (errors.OpError, FileNotFoundError)):
        return f"its weights are not all there ({', '.join(missing)} missing). {_COPY_AGAIN}."
    if is_damage(error):
        return f"its weights, in the folder 'variables', are damaged or cut off. {_COPY_AGAIN}."
    if isinstance(error, errors.OpError):  # Behind the call stack.
        return str(error.message).strip().split("\n\n")[-1].strip().split("\n")[0]
    return first_line(error)
