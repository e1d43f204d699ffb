"""Images in NumPy files: .npy and .npz, with labels where there are any.

A key is the number of a picture, ``00042``; in an .npz it begins with the name of its array,
``x_test/00042``. Nothing is unpickled. Arrays are mapped, not loaded; compressed ones are first
unpacked into a nameless temporary file.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
import tokenize
import zipfile
from typing import IO, Any

import numpy as np

from featx.errors import ImagesNotFound, InvalidValue
from featx.images.sources.items import Listing
from featx.images.sources.keys import is_file_with
from featx.images.sources.kinds import ImageSource
from featx.images.sources.pixels import (
    FLOATS_IN_FILES,
    array_items,
    as_pictures,
    describe_type,
    label_texts,
)
from featx.images.sources.request import SourceRequest
from featx.images.sources.splits import find_split, same_split
from featx.units import format_count

_PICTURES = re.compile(r"(?:^|(?<=_))(x|images?|data|pixels)(?=_|$)", re.IGNORECASE)
_LABELS = {
    "x": ("y", "labels", "label"),
    "image": ("label", "labels", "y"),
    "images": ("labels", "label", "y"),
    "data": ("labels", "label", "target", "targets", "y"),
    "pixels": ("labels", "label", "y"),
}
"""Word in the name of an array of pictures → the words that replace it in that of the labels."""


class ArraySource(ImageSource):
    """Files of arrays."""

    is_container = True
    has_splits = True

    def matches(self, location: str) -> bool:
        """Whether a file holds arrays, by its ending."""
        return is_file_with(location, (".npy", ".npz"))

    def list_images(self, request: SourceRequest) -> Listing:
        """List the pictures in a file of arrays."""
        path, name = request.location, os.path.basename(request.location)
        listing = Listing()
        try:
            mtime_ns = os.stat(path).st_mtime_ns
            if path.lower().endswith(".npz"):
                chosen = _read_npz(path, request.split)
            else:
                chosen = _read_npy(path, request.split, listing)
        except (OSError, zipfile.BadZipFile, EOFError, ValueError) as error:
            if isinstance(error, (ImagesNotFound, InvalidValue)):
                raise
            listing.is_complete = False
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            listing.fail(request.prefix.rstrip("/") or name, f"the arrays cannot be read: {reason}")
            return listing
        for array_name, array, labels in chosen:
            pictures, note = as_pictures(array, array_name or repr(name), _advise(array))
            if note:
                listing.notes.append(note)
            names = label_texts(labels, len(pictures), repr(array_name or name))
            prefix = f"{request.prefix}{array_name}/" if array_name else request.prefix
            split = find_split(array_name or os.path.splitext(name)[0])
            listing.items += array_items(pictures, names, request.root, prefix, mtime_ns, split)
        if request.split is not None:
            listing.is_complete = False  # The pictures of the other arrays still exist.
        return listing


SOURCE = ArraySource()


def _advise(array: np.ndarray) -> str:
    is_float = np.issubdtype(array.dtype, np.floating)
    return FLOATS_IN_FILES if is_float else describe_type(array)


_Chosen = list[tuple[str, np.ndarray, np.ndarray | None]]


def _read_npy(path: str, split: str | None, listing: Listing) -> _Chosen:
    """Map an .npy; its labels may be in another file beside it, ``y.npy`` for ``x.npy``."""
    with open(path, "rb") as file:
        array, is_whole = _map_array(file, 0, os.path.getsize(path))
    if not is_whole:
        listing.is_complete = False
        listing.fail(
            os.path.basename(path),
            f"it breaks off behind its {format_count(len(array), 'picture')}",
        )
    stem = os.path.splitext(os.path.basename(path))[0]
    if split is not None and not same_split(find_split(stem), split):
        raise ImagesNotFound(f"{path!r} is not of the split {split!r}, by its name.")
    folder = os.path.dirname(path)
    for name in _label_names(stem):
        beside = os.path.join(folder, f"{name}.npy")
        if os.path.isfile(beside):
            listing.notes.append(f"labels from {name + '.npy'!r}")
            return [("", array, np.load(beside, allow_pickle=False)[: len(array)])]
    return [("", array, None)]


def _read_npz(path: str, split: str | None) -> _Chosen:
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        shapes = {name: _peek(archive, info) for name, info in members.items()}
        pictures = [name for name in shapes if _PICTURES.search(name) and len(shapes[name]) >= 3]
        pictures = pictures or [name for name, shape in shapes.items() if len(shape) >= 3]
        if split is not None:
            pictures = [name for name in pictures if same_split(find_split(name), split)]
        if not pictures:
            of_split = "" if split is None else f" of the split {split!r}"
            held = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ImagesNotFound(
                f"{path!r} holds no array of pictures{of_split}: one of shape (N, H, W) or "
                "(N, H, W, C), named x, x_train, x_test, images or data, with labels in y, "
                f"y_train, y_test or labels. Received: {held or 'no arrays'}."
            )
        chosen: _Chosen = []
        for name in pictures:
            labels = next((n for n in _label_names(name) if n in shapes), None)
            if labels is None and len(pictures) == 1:
                flat = [n for n, s in shapes.items() if s and s[0] == shapes[name][0] and n != name]
                labels = flat[0] if len(flat) == 1 else None
            values = None
            if labels is not None:
                with archive.open(members[labels]) as stream:
                    values = np.lib.format.read_array(stream, allow_pickle=False)
            chosen.append((name, _open_member(archive, members[name], file), values))
    return chosen


def _label_names(name: str) -> list[str]:
    found = _PICTURES.search(name)
    if found is None:
        return []
    words = _LABELS[found[1].lower()]
    words += tuple(word.upper() for word in words if found[1].isupper())
    return [f"{name[: found.start()]}{word}{name[found.end() :]}" for word in words]


def _peek(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    """Return the shape of an array in an .npz; () for a member that is not an array."""
    with archive.open(info) as stream:
        try:
            return _read_header(stream)[0]
        except ValueError:
            return ()


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether the order is Fortran's, and the type."""
    version = np.lib.format.read_magic(stream)
    try:
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream)
        return np.lib.format.read_array_header_2_0(stream)
    except tokenize.TokenError as error:  # NumPy parses it as Python.
        raise ValueError(f"its header cannot be parsed: {error}") from error


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: IO[bytes]) -> np.ndarray:
    """Map an array of an .npz; unpack it first if it is compressed."""
    if info.compress_type == zipfile.ZIP_STORED:
        file.seek(info.header_offset + 26)
        offset = info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
        array, is_whole = _map_array(file, offset, offset + info.file_size)
    else:
        with tempfile.TemporaryFile(prefix="featx-") as unpacked:
            size = 0
            with archive.open(info) as stream:
                while chunk := stream.read(1 << 20):
                    size += unpacked.write(chunk)
            unpacked.flush()
            array, is_whole = _map_array(unpacked, 0, size)
    if not is_whole:
        raise ValueError(f"{info.filename!r} has less data than its header claims")
    return array


def _map_array(file: IO[bytes], offset: int, end: int) -> tuple[np.ndarray, bool]:
    """Map the array whose header is at `offset`; also return whether it is complete."""
    file.seek(offset)
    shape, is_fortran, dtype = _read_header(file)
    if dtype.hasobject:
        raise InvalidValue("It holds Python objects, and featx unpickles nothing. Save uint8.")
    if not shape:
        return np.zeros((), dtype), True
    begin = file.tell()
    row = int(np.prod(shape[1:], dtype=object)) * dtype.itemsize
    count = min(shape[0], (end - begin) // max(1, row))
    if count < shape[0] and is_fortran:
        raise ValueError("it has less data than its header claims")
    if not count or not row:
        return np.zeros((count, *shape[1:]), dtype), count == shape[0]
    array = np.memmap(
        file,
        dtype,
        "r",
        begin,
        (count, *shape[1:]),
        "F" if is_fortran else "C",
    )
    # A plain view: at each index, `np.memmap` looks whether memory is shared, which took a sixth of
    # the time of reading pictures of 8 x 8.
    return np.asarray(array), count == shape[0]
