"""Weights of Keras 2 in HDF5, named as Keras 2.15 names them."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py

from featx.errors import ModelError
from featx.models.keras_contents import WEIGHTS
from featx.models.keras_format import CONFIG, METADATA, KerasFile

_OLD_LAYERS, _LAYERS = "_layer_checkpoint_dependencies", "layers"
"""The group of a model's layers, before and since Keras 2.15."""


def write_renamed(file: KerasFile, folder: Path) -> tuple[Path, bool]:
    """Copy a file of the zip form, with weights named as Keras 2.15 and later versions name them.

    Windows wrote backslashes for slashes. Up to 2.14, layers were in a group of another name; up
    to 2.13, the numbers of layers of one class had gaps: layers with weights were counted twice.

    Returns:
        The copy, and whether any name had to be changed.

    Raises:
        ModelError: If there are no weights, or they are damaged.
    """
    weights, copy = folder / WEIGHTS, folder / "model.keras"
    _unpack_weights(file.path, weights)
    with h5py.File(weights, "r+") as opened:
        is_changed = _rename(opened)
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr(CONFIG, json.dumps(file.config))
        archive.writestr(METADATA, json.dumps({"keras_version": file.version}))
        archive.write(weights, WEIGHTS)
    weights.unlink()
    return copy, is_changed


def _unpack_weights(path: Path, target: Path) -> None:
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(WEIGHTS) as source,
            target.open("wb") as copied,
        ):
            shutil.copyfileobj(source, copied, 1 << 20)
    except KeyError as error:
        raise ModelError(f"{path.name!r} holds no weights ({WEIGHTS}).") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelError(f"The weights in {path.name!r} are damaged: {error}") from error


def _rename(file: h5py.File) -> bool:
    turned = [name for name in file if "\\" in name]
    for name in sorted(turned, key=lambda each: each.count("\\")):  # Groups before members.
        file.move(name, name.replace("\\", "/"))
    return _rename_layers(file) or bool(turned)


def _rename_layers(group: h5py.Group) -> bool:
    is_old = _OLD_LAYERS in group
    if is_old:
        group.move(_OLD_LAYERS, _LAYERS)
        layers = group[_LAYERS]
        for position, (base, number) in _renumbered(list(layers)):
            layers.move(f"{base}_{number}", f"{base}_{position}")
    children = [group[name] for name in group]
    renamed = [_rename_layers(child) for child in children if isinstance(child, h5py.Group)]
    return is_old or any(renamed)


def _renumbered(names: list[str]) -> Iterator[tuple[int, tuple[str, int]]]:
    """Yield what closes the gaps in numbers of layers: position → base and number."""
    numbers: dict[str, list[int]] = {}
    for name in names:
        match = re.fullmatch(r"(.+)_(\d+)", name)
        if match is not None and match[1] in names:
            numbers.setdefault(match[1], []).append(int(match[2]))
    for base, found in numbers.items():
        for position, number in enumerate(sorted(found), 1):
            if position != number:
                yield position, (base, number)
