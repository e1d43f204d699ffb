"""What a Keras file is, whatever it is called: a zip archive or HDF5, and its architecture."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py

from featx.errors import ModelError
from featx.models.keras_contents import WEIGHTS, refuse_bombs
from featx.scratch import scratch_folder

Form = Literal["zip", "hdf5"]
"""The two forms of Keras files: those of `.keras` and of `.h5`."""

CONFIG, METADATA = "config.json", "metadata.json"
"""Members of a file in the form of a zip archive, beside its weights."""

_SUFFIXES: dict[Form, tuple[str, ...]] = {"zip": (".keras",), "hdf5": (".h5", ".hdf5")}
"""The names by which Keras tells the forms apart, the usual one first."""

_DEEPEST_CONFIG = 200
"""Objects within objects; models that hold models that hold models have 30."""

_UNREADABLE = (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile)

_HDF5_BEGINNING = b"\x89HDF"

_BEGINNINGS = {
    b"version https://git-lfs": "it is a pointer of Git LFS; 'git lfs pull' fetches the file",
    b"<": "it is a web page or another text, not the file that was to be downloaded",
    b"PK\x03\x04": "it was cut off, as by a download that did not end",
    _HDF5_BEGINNING: "it was cut off or damaged, as by a download that did not end",
}
"""How files begin that are not what their names say, and what they are."""


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A file of a whole network.

    Attributes:
        path: Where it is.
        form: What it is, whatever it is called.
        config: Its architecture as plain data, without how it was compiled, which is not loaded.
        version: The version of Keras that wrote it; None where the file does not say.
    """

    path: Path
    form: Form
    config: dict[str, Any]
    version: str | None

    @property
    def is_legacy(self) -> bool:
        """Whether it was saved before Keras 3, as far as it says."""
        if self.form == "zip":
            return self.version is not None and self.version.startswith("2")
        return not (self.version or "").startswith("3")


def find_form(path: Path) -> Form | None:
    """Return the form of a file, or None if it is neither.

    Of a file that is both, the one that its name says is taken: a zip archive may have any
    beginning.
    """
    forms: list[Form] = []
    with contextlib.suppress(OSError):
        if zipfile.is_zipfile(path):
            forms.append("zip")
        if h5py.is_hdf5(path):
            forms.append("hdf5")
    named = [form for form in forms if path.suffix.lower() in _SUFFIXES[form]]
    return next(iter(named or forms), None)


def read_keras_file(path: Path) -> KerasFile:
    """Read the architecture of a file.

    Raises:
        ModelError: If there is none; says what the file is instead.
    """
    if not path.is_file():
        raise ModelError(f"There is no model file {str(path)!r}.")
    form = find_form(path)
    if form is None:
        raise ModelError(f"{str(path)!r} is not a Keras file: {_describe_beginning(path)}.")
    config, version = _read_zip(path) if form == "zip" else _read_hdf5(path)
    if not isinstance(config, dict):
        raise ModelError(f"Keras cannot load {str(path)!r}: {_describe_content(path, form)}")
    if _is_deep(config):
        raise ModelError(f"Keras cannot load {str(path)!r}: its architecture is nested too deeply.")
    return KerasFile(path, form, config, version)


@contextlib.contextmanager
def named_by_form(file: KerasFile) -> Iterator[Path]:
    """Give a file a name by which Keras recognises its form.

    Yields:
        Its own path, or that of a link in a temporary folder.
    """
    if file.path.name.endswith(_SUFFIXES[file.form]):
        yield file.path
        return
    with scratch_folder() as folder:
        link = folder / f"model{_SUFFIXES[file.form][0]}"
        try:
            link.symlink_to(file.path)
        except OSError:  # Windows may not allow it.
            shutil.copyfile(file.path, link)
        yield link


def _read_zip(path: Path) -> tuple[Any, str | None]:
    config: Any = None
    version: str | None = None
    with contextlib.suppress(*_UNREADABLE), zipfile.ZipFile(path) as archive:
        refuse_bombs(path, archive)
        config = json.loads(archive.read(CONFIG))
        if isinstance(config, dict):
            config.pop("compile_config", None)
        metadata = json.loads(archive.read(METADATA))
        found = metadata.get("keras_version") if isinstance(metadata, dict) else None
        version = found if isinstance(found, str) else None
    return config, version


def _read_hdf5(path: Path) -> tuple[Any, str | None]:
    config: Any = None
    version: Any = None
    with contextlib.suppress(*_UNREADABLE), h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version")
        version = version.decode() if isinstance(version, bytes) else version
        config = json.loads(file.attrs["model_config"])
    return config, version if isinstance(version, str) else None


def _describe_beginning(path: Path) -> str:
    """Say what a file is that is neither a zip archive nor HDF5."""
    with path.open("rb") as file:
        beginning = file.read(64).lstrip()
    for start, meaning in _BEGINNINGS.items():
        if beginning.startswith(start):
            return meaning
    return "it is neither a zip archive nor HDF5" if beginning else "it is empty"


def _describe_content(path: Path, form: Form) -> str:
    """Say what a zip archive or an HDF5 file is that has no readable architecture."""
    unreadable = (
        "it holds no readable architecture. Is it a whole model (not weights alone), written by "
        "model.save()?"
    )
    try:
        return (_describe_zip(path) if form == "zip" else _describe_hdf5(path)) or unreadable
    except _UNREADABLE:
        return unreadable


def _describe_zip(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
    inner = [name for name in names if name.endswith((".keras", ".h5", ".hdf5"))]
    if inner and not {CONFIG, WEIGHTS} & set(names):
        return f"it is an archive that holds {inner[0]!r}. Unpack it, and name that file."
    return None


def _describe_hdf5(path: Path) -> str | None:
    try:
        with h5py.File(path, "r") as file:
            is_store = str(file.attrs.get("format", "")).startswith("featx")
            is_whole = "model_config" in file.attrs
            is_weights = "layer_names" in file.attrs or "layers" in file
    except OSError:
        return f"{_BEGINNINGS[_HDF5_BEGINNING]}."
    if is_store:
        return "it is a store of features, which featx wrote, not a model."
    if is_weights and not is_whole:
        return (
            "it holds weights without an architecture, as save_weights() writes them. Build the "
            "network in Python, call load_weights() and then save(), and name that file."
        )
    return None


def _is_deep(config: Any) -> bool:
    level = [config]
    for _ in range(_DEEPEST_CONFIG):
        if not level:
            return False
        level = [
            value
            for each in level
            for value in (each.values() if isinstance(each, dict) else each)
            if isinstance(value, (dict, list))
        ]
    return bool(level)
