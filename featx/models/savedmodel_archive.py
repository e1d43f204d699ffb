"""SavedModels in zip archives, as Teachable Machine and file shares give them: unpacked once."""

from __future__ import annotations

import contextlib
import os.path
import shutil
import stat
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from featx.errors import ModelError, first_line, join_names
from featx.files import hash_file
from featx.models.savedmodel_folder import GRAPH_NAME, TF1_MODULE_NAME
from featx.units import format_bytes
from featx.user_cache import user_cache_folder

MAX_RATIO = 100
"""Most bytes that a byte of an archive may stand for in all; weights stand for about 1.1."""

MIN_LIMIT_BYTES = 64 << 20
"""Bytes that any archive may unpack to."""

MAX_FILES = 10_000
"""Most files of one model; large ones have some hundred, of variables and assets."""

_OWN_FILES = frozenset((GRAPH_NAME, TF1_MODULE_NAME, "fingerprint.pb", "keras_metadata.pb"))
_OWN_FOLDERS = frozenset(("variables", "assets"))
_ENCRYPTED = 1
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""Errors of zipfile for archives that are damaged or packed in a way that it does not know."""


def is_packed_savedmodel(path: str) -> bool:
    """Whether a path is a zip archive that holds a SavedModel, by its content."""
    with contextlib.suppress(OSError, *_DAMAGED):
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            if file.read(4) != b"PK\x03\x04":
                return False
        with zipfile.ZipFile(path) as archive:
            return bool(_find_folders(archive))
    return False


def unpacked(path: Path) -> Path:
    """Return the folder of a SavedModel: `path` itself, or what an archive holds, in the cache.

    Only the files of the model are unpacked, under the hash of the archive. What is in the cache
    already is compared with the archive's checksums.

    Raises:
        ModelError: If an archive is damaged, holds no SavedModel or several, or is not safe; says
            what to do.
    """
    if not path.is_file():
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            members = dict(_list_members(path, archive))
            folder = user_cache_folder() / "savedmodels" / hash_file(path)
            if not _is_whole(folder, members):
                _unpack(archive, members, folder)
            return folder
    except ModelError:  # It is a ValueError as well.
        raise
    except _DAMAGED as error:
        raise ModelError(
            f"{str(path)!r} is not a zip archive that can be read: {first_line(error)}. Download "
            "it again, or name the unpacked folder."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{str(path)!r} cannot be unpacked into the cache: {first_line(error)}. Unpack it "
            "yourself, and name the folder."
        ) from error


def _find_folders(archive: zipfile.ZipFile) -> list[str]:
    """Return the folders that hold a SavedModel: ``""``, or ``"exported/"``."""
    names = [_slashed(info.filename) for info in archive.infolist()]
    return [
        name.removesuffix(GRAPH_NAME)
        for name in names
        if name.rpartition("/")[2] == GRAPH_NAME and not name.startswith("__MACOSX/")
    ]


def _slashed(name: str) -> str:
    """Return a member's name with ``/``: some programs on Windows write backslashes."""
    return name.replace("\\", "/")


def _list_members(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield the files of the one SavedModel in an archive, by their paths in its folder.

    Raises:
        ModelError: If there is none, or several, or what is there is not safe to unpack.
    """
    folders = _find_folders(archive)
    if len(folders) != 1:
        named = [folder or "." for folder in folders[:3]]
        held = f"{len(folders)} SavedModels (in {join_names(named, conjunction='and')})"
        raise ModelError(
            f"{path.name!r} holds {held if folders else f'no SavedModel (no {GRAPH_NAME})'}. "
            "Expected: a zip archive of one. Unpack it, and name what you want."
        )
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = _slashed(info.filename)
        inside = name.removeprefix(folders[0])
        if info.is_dir() or not name.startswith(folders[0]) or not _is_own(inside):
            continue
        problem = _problem(info, inside, found)
        if problem:
            raise ModelError(
                f"{path.name!r} is refused: {info.filename!r} in it {problem}. Use a copy from "
                "somebody whom you trust."
            )
        found[inside] = info
    total = sum(info.file_size for info in found.values())
    if len(found) > MAX_FILES or total > max(MIN_LIMIT_BYTES, MAX_RATIO * path.stat().st_size):
        raise ModelError(
            f"{path.name!r} is refused: it would unpack from {format_bytes(path.stat().st_size)} "
            f"to {len(found):,} files of {format_bytes(total)}. Use a copy from somebody whom you "
            "trust."
        )
    yield from found.items()


def _is_own(name: str) -> bool:
    """Whether a path in the folder of a SavedModel is one of its own files."""
    return name in _OWN_FILES or name.partition("/")[0] in _OWN_FOLDERS


def _problem(info: zipfile.ZipInfo, name: str, found: dict[str, zipfile.ZipInfo]) -> str:
    """Say why a member cannot be unpacked; nothing if it can."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or ":" in part or "\0" in part for part in parts):
        return "leads outside of its folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return "is there twice" if name in found else ""


def _is_whole(folder: Path, members: dict[str, zipfile.ZipInfo]) -> bool:
    """Whether a folder holds these files and no others, undamaged."""
    held = {
        file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
    }
    return held.keys() == members.keys() and all(
        file.stat().st_size == members[name].file_size and _checksum(file) == members[name].CRC
        for name, file in held.items()
    )


def _checksum(file: Path) -> int:
    value = 0
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _unpack(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], folder: Path) -> None:
    """Unpack the files of a model into a folder: completely, or not at all."""
    temporary = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        for name, info in members.items():
            target = temporary / PurePosixPath(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        if not _is_whole(folder, members):  # Another process may have been faster.
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
