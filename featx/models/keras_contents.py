"""What a Keras file may hold besides its architecture: checked before Keras reads it.

A `.keras` file is a zip archive, whose members may unpack to any size. Weights are in HDF5, which
can refer to bytes in other files: their values would be shown as features.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from h5py import h5d, h5g, h5l, h5o

from featx.errors import ModelError

MAX_DESCRIPTION_BYTES = 64 << 20
"""Most bytes of one JSON file inside; the architecture of EfficientNetB7 has 0.6 MB."""

MAX_RATIO = 100
"""Most bytes that a byte of an archive may stand for, in members above `MAX_DESCRIPTION_BYTES`."""

MAX_EMPTY_BYTES, MAX_EXPANSION = 1 << 30, 1000
"""A tensor of more bytes than the first must store at least one of so many."""

WEIGHTS = "model.weights.h5"
"""The member of a `.keras` file that holds all weights."""


def refuse_bombs(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse a `.keras` file that would unpack to far more than it has.

    Raises:
        ModelError: Names the member.
    """
    for member in archive.infolist():
        is_text = member.filename.endswith(".json")
        most = 0 if is_text else MAX_RATIO * member.compress_size
        if member.file_size > max(MAX_DESCRIPTION_BYTES, most):
            raise ModelError(
                f"{path.name!r} is refused: {member.filename!r} in it would unpack from "
                f"{member.compress_size:,} to {member.file_size:,} bytes. Use a copy from somebody "
                "whom you trust."
            )


def refuse_data_elsewhere(path: Path) -> None:
    """Refuse a Keras file whose weights are not inside it, whatever the file is called.

    Raises:
        ModelError: Names the object, and what it is; or says that the weights are damaged.
    """
    try:
        found = next(_find_elsewhere(path), None)
    except (OSError, RuntimeError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        # Keras might still find what it wants beside what cannot be checked.
        raise ModelError(f"The weights in {path.name!r} are damaged: {error}") from error
    if found is not None:
        raise ModelError(
            f"{path.name!r} is refused: {found}. Weights are read from the model's own file only. "
            "Write it again with model.save()."
        )


def _find_elsewhere(path: Path) -> Iterator[str]:
    if h5py.is_hdf5(path):
        with h5py.File(path, "r", locking=False) as file:
            yield from _walk(file.id, "", set())
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS in archive.namelist():
                with archive.open(WEIGHTS) as content, h5py.File(content, "r") as file:
                    yield from _walk(file.id, "", set())


def _walk(group: Any, prefix: str, seen: set[Any]) -> Iterator[str]:
    """Yield what is not data inside the file, without following it."""
    for raw in list(group):
        name = prefix + raw.decode("utf-8", "replace")
        if group.links.get_info(raw).type == h5l.TYPE_EXTERNAL:
            yield f"{name!r} is a link to another file"
            continue
        if group.links.get_info(raw).type != h5l.TYPE_HARD:
            continue  # Keras saves none; a soft link stays inside the file.
        opened = h5o.open(group, raw)
        key = h5o.get_info(opened).addr
        if key in seen:
            continue
        seen.add(key)
        if isinstance(opened, h5g.GroupID):
            yield from _walk(opened, f"{name}/", seen)
        elif isinstance(opened, h5d.DatasetID):
            created = opened.get_create_plist()
            declared = math.prod(opened.shape or ()) * opened.dtype.itemsize
            if created.get_external_count():
                yield f"{name!r} is stored in another file"
            elif created.get_layout() == h5d.VIRTUAL:
                yield f"{name!r} is a view of other data"
            elif declared > max(MAX_EMPTY_BYTES, MAX_EXPANSION * opened.get_storage_size()):
                yield f"{name!r} would have {declared >> 20} MB, most of which are not stored"
