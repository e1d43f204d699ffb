"""Weights in HDF5: refused where they lie in other files, and named as Keras 2.15 names them."""

from __future__ import annotations

import json
import math
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from featx.errors import ModelError
from featx.models.keras_format import CONFIG, METADATA, WEIGHTS, KerasFile

_OLD_LAYERS, _LAYERS = "_layer_checkpoint_dependencies", "layers"
"""The group of a model's layers, before and since Keras 2.15."""

_LARGEST_EXPANSION = 1000
_BOMB = 1 << 30
"""A tensor of more bytes than this is refused if less than a thousandth of them is stored."""


def check_named(file: h5py.File, name: str) -> None:
    """Refuse weights that are not in the file itself, among those that an ``.h5`` file names.

    Raises:
        ModelError: If there is a link to another place or file, or data outside of the file, or a
            tensor that claims far more than is stored.
    """
    root = _child(file, "model_weights", name) if "model_weights" in file else file
    for layer in [*_names(root, "layer_names"), "top_level_model_weights"]:
        group = _descend(root, layer, name)
        for weight in _names(group, "weight_names") if group is not None else ():
            _descend(group, weight, name)


def write_renamed(file: KerasFile, folder: Path) -> tuple[Path, bool]:
    """Copy a file of the zip form, with weights named as Keras 2.15 and later versions name them.

    Windows wrote backslashes for slashes. Up to 2.14, layers were in a group of another name; up
    to 2.13, the numbers of layers of one class had gaps: layers with weights were counted twice.

    Returns:
        The copy, and whether any name had to be changed.

    Raises:
        ModelError: If there are no weights, they are damaged, or they are not in the file itself.
    """
    weights, copy = folder / WEIGHTS, folder / "model.keras"
    _unpack_weights(file.path, weights)
    with h5py.File(weights, "r+") as opened:
        _check_members(opened, file.path.name)
        is_changed = _rename(opened)
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr(CONFIG, json.dumps(file.config))
        archive.writestr(METADATA, json.dumps({"keras_version": file.version}))
        archive.write(weights, WEIGHTS)
    weights.unlink()
    return copy, is_changed


def _unpack_weights(path: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(WEIGHTS)
            if _is_bomb(info.file_size, info.compress_size):
                raise ModelError(
                    f"{path.name!r} claims weights that it does not hold: it would have "
                    f"{info.file_size >> 20} MB of them."
                )
            with archive.open(info) as source, target.open("wb") as copied:
                shutil.copyfileobj(source, copied, 1 << 20)
    except KeyError as error:
        raise ModelError(f"{path.name!r} holds no weights ({WEIGHTS}).") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelError(f"The weights in {path.name!r} are damaged: {error}") from error


def _check_members(file: h5py.File, name: str) -> None:
    """Refuse weights that are not in the file itself, wherever in it."""
    waiting = [file]
    seen: set[Any] = set()
    while waiting:
        group = waiting.pop()
        if group.id not in seen:
            seen.add(group.id)
            children = [_child(group, key, name) for key in group]
            waiting += [child for child in children if isinstance(child, h5py.Group)]


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


def _is_bomb(declared: int, stored: int) -> bool:
    """Whether data claim far more bytes than are stored."""
    return declared > _BOMB and declared > _LARGEST_EXPANSION * stored


def _names(group: Any, attribute: str) -> list[str]:
    """Return names that Keras wrote as an attribute, or, if too long for that, as several."""
    found = [group.attrs[attribute]] if attribute in group.attrs else []
    while (part := f"{attribute}{len(found)}") in group.attrs:
        found.append(group.attrs[part])
    return [
        name.decode() if isinstance(name, bytes) else str(name) for names in found for name in names
    ]


def _descend(group: Any, path: str, name: str) -> Any:
    """Return what is at a path below a group, checked at each step; None if there is nothing."""
    for part in filter(None, path.split("/")):
        if not isinstance(group, h5py.Group) or group.get(part, getlink=True) is None:
            return None
        group = _child(group, part, name)
    return group


def _child(group: Any, key: str, name: str) -> Any:
    """Return a member of a group, unless it is a link to elsewhere or holds data from elsewhere."""
    link = group.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ModelError(f"The weights of {name!r} are not all in it: {key!r} is a link.")
    child = group[key]
    if isinstance(child, h5py.Dataset):
        if child.external or child.is_virtual:
            raise ModelError(
                f"The weights of {name!r} are not all in it: {key!r} refers to another file."
            )
        declared = math.prod(child.shape or ()) * child.dtype.itemsize
        if _is_bomb(declared, child.id.get_storage_size()):
            raise ModelError(
                f"{name!r} claims weights that it does not hold: {key!r} would have "
                f"{declared >> 20} MB."
            )
    return child
