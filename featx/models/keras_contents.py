"""What a Keras file may hold besides its architecture: checked before Keras reads it.

A `.keras` file is a zip archive, whose members may unpack to any size. Weights are in HDF5, which
can refer to bytes in other files: their values would be shown as features.
"""

from __future__ import annotations

import contextlib
import zipfile
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

_DAMAGED = (OSError, RuntimeError, KeyError, ValueError, zipfile.BadZipFile)
"""Errors of zipfile and h5py for files that Keras itself refuses."""


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
    """Refuse a Keras file whose weights are not inside it.

    Raises:
        ModelError: Names the object, and what it is.
    """
    found = None
    with contextlib.suppress(*_DAMAGED):
        found = _find_elsewhere(path)
    if found is not None:
        raise ModelError(
            f"{path.name!r} is refused: {found}. Weights are read from the model's own file only. "
            "Write it again with model.save()."
        )


def _find_elsewhere(path: Path) -> str | None:
    if not path.name.endswith(".keras"):
        with h5py.File(path, "r", locking=False) as file:
            return next(_walk(file.id, "", set()), None)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith((".h5", ".hdf5")):
                with archive.open(name) as content, h5py.File(content, "r") as file:
                    found = next(_walk(file.id, "", set()), None)
                    if found is not None:
                        return found
    return None


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
            if created.get_external_count():
                yield f"{name!r} is stored in another file"
            elif created.get_layout() == h5d.VIRTUAL:
                yield f"{name!r} is a view of other data"
