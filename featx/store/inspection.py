"""What an HDF5 file may hold to be read as a store: checked before anything of it is read.

HDF5 can refer to bytes in other files (external storage, external links, virtual datasets), and
the shapes that a file claims cost memory before its data are looked at. The seal does not help:
whoever prepares a file can seal it. So everything that featx reads must be a hard link to data
inside the file, of the types, layout and filters that `featx.store.writing` writes, and no larger
than what is stored. Objects of other names are never read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import h5py
from h5py import h5a, h5d, h5l, h5o, h5t, h5z

from featx.errors import StoreDamaged
from featx.files import HASH_BYTES
from featx.store.format import (
    COLUMN_CHUNK,
    LARGEST_TEXT_CHUNK,
    READ_ERRORS,
    dataset_name,
    read_texts,
)
from featx.wording import option

TEXT = "text"
FLOAT = "float"
COLUMN = "text, int64, float64 or bool"

COLUMNS = {
    "keys": TEXT,
    "content_hash": "uint8",
    "labels": "int32",
    "file_size": "int64",
    "file_mtime_ns": "int64",
    "splits": "int32",
}
"""Types of the columns of rows and copies."""

TYPES = {
    **COLUMNS,
    **{f"copies/{name}": type_name for name, type_name in COLUMNS.items()},
    **dict.fromkeys(["classes", "split_names", "request", "runs", "column_names"], TEXT),
    "missing": "bool",
    "row_part": "int32",
    "row_index": "int64",
    "failures/key": TEXT,
    "failures/reason": TEXT,
    "failures/size": "int64",
    "failures/mtime_ns": "int64",
    "parts/file": TEXT,
    "parts/sha256": TEXT,
    "parts/rows": "int64",
}
"""The type of every dataset but the layers."""

NUMBER = "whole number"

ATTRIBUTES = {
    **dict.fromkeys([b"format_version", b"single_file_limit", b"next_part"], NUMBER),
    **dict.fromkeys([b"format", b"fingerprint", b"model", b"dtype", b"root"], TEXT),
    **dict.fromkeys([b"root_relative", b"contents", b"name", b"spec"], TEXT),
}
"""What the attributes of a store and of its layers are."""

FURTHER = re.compile(r"(columns|copies)/(c|m)[0-9]{3,}")
"""The datasets of further columns: values, and marks where they are missing."""

GROUPS = ("columns", "copies", "failures", "parts", "features")
"""The groups of a store. There are none in them."""

PART_NAME = re.compile(r"[^/\0]+\.parts/(part|rows)-[0-9]{6,}\.h5")
"""A part as a view names it: a file in a parts folder beside the view. The folder has another
name than the view if that was renamed."""

DEFLATE_RATIO = 1032
"""Most bytes that one byte of a deflate stream can stand for (zlib's technical details,
https://zlib.net/zlib_tech.html)."""

CHECKSUM_BYTES = 4
"""Fletcher-32 behind each chunk."""


def inspect_file(file: h5py.File, path: Path, *, salvage: bool = False) -> None:
    """Refuse a file that holds anything that featx does not write.

    Args:
        file: The open file.
        path: Its path.
        salvage: Accept datasets that cannot be opened: they cannot be read either.

    Raises:
        StoreDamaged: Says which object, what it is, and what was expected.
    """
    _Inspection(file, path, salvage).run()


class _Inspection:
    """The inspection of one file, without HDF5 reading data or opening other files."""

    def __init__(self, file: h5py.File, path: Path, salvage: bool) -> None:
        self._file = file
        self._path = path
        self._salvage = salvage
        self._num_bytes = file.id.get_filesize()  # Another file may be at `path` by now.
        self._is_view = file.id.links.exists(b"parts")  # Follows no link.
        self._part_names: set[str] = set()
        self._stored = 0  # Bytes of all chunks so far.

    def run(self) -> None:
        """Check every object."""
        self._check_attributes("/", self._file.id)
        lengths: dict[str, dict[str, int]] = {name: {} for name in ("copies", "failures", "parts")}
        for name, opened in self._objects():
            created = self._check_storage(name, opened)
            self._check_attributes(name, opened)
            length = self._check_shape(name, opened, created)
            lengths.get(name.partition("/")[0], {})[name] = length
        for group in lengths.values():
            if len(set(group.values())) > 1:
                self._refuse(min(group), f"one of columns of {group} rows", "as many in each")

    def _objects(self) -> Iterator[tuple[str, Any]]:
        """Yield the path of each dataset, and the dataset; layers last, as views need parts."""
        for name in sorted(self._links("", self._file.id), key="features".__eq__):
            if name == "features" and self._is_view:
                self._check_part_names()
            opened = self._open(self._file.id, name)
            if opened is not None and name in GROUPS:
                if not isinstance(opened, h5py.h5g.GroupID):
                    self._refuse(name, "not a group", "a group")
                self._check_attributes(name, opened)
                for child in self._links(f"{name}/", opened):
                    inner = self._open(opened, child)
                    if inner is not None:
                        yield f"{name}/{child}", inner
            elif opened is not None:
                yield name, opened

    def _open(self, group: Any, name: str) -> Any:
        try:
            return h5o.open(group, name.encode("utf-8", "surrogateescape"))
        except READ_ERRORS:
            if self._salvage:
                return None
            raise

    def _links(self, prefix: str, group: Any) -> Iterator[str]:
        """Yield the names below a group that featx reads, each a hard link.

        They are looked up, not listed: HDF5 ends the process where it lists a damaged group. What
        has another name is never read.
        """
        for name in self._names(prefix, group):
            raw = name.encode()
            try:
                if not group.links.exists(raw):
                    continue
                kind = group.links.get_info(raw).type
            except READ_ERRORS:
                if self._salvage:
                    continue
                raise
            if kind != h5l.TYPE_HARD:
                names = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link"}
                received = names.get(kind, "a link of an unknown kind")
                self._refuse(prefix + name, received, "data inside the file")
            yield name

    def _names(self, prefix: str, group: Any) -> list[str]:
        """Return the names that a store may have below a group."""
        if prefix == "features/":  # The reader counts the links, too.
            count = min(group.get_num_objs(), self._num_bytes // 8)  # A link takes more bytes.
            return [dataset_name(number) for number in range(count)]
        further: list[str] = []
        if prefix in ("columns/", "copies/"):
            count = min(group.get_num_objs(), self._num_bytes // 8)
            further = [f"{kind}{number:03d}" for kind in "cm" for number in range(count)]
        known = [name.removeprefix(prefix) for name in TYPES if name.startswith(prefix)]
        groups = [] if prefix else GROUPS
        return sorted({*(name for name in known if "/" not in name), *further, *groups})

    def _check_storage(self, name: str, opened: Any) -> Any:
        """Refuse data outside of the file; return how the dataset was created.

        Its shape may not be asked before: HDF5 may open other files to know it.
        """
        if not isinstance(opened, h5d.DatasetID):
            self._refuse(name, "a group or a type", "a dataset")
        created = opened.get_create_plist()
        if created.get_external_count():
            self._refuse(name, "stored in another file", "data inside the file")
        in_view = name.startswith("features/") and self._is_view
        if created.get_layout() == h5d.VIRTUAL and not in_view:
            self._refuse(name, "a virtual dataset", "data inside the file")
        if created.get_layout() == h5d.VIRTUAL:
            self._check_sources(name, created)
        return created

    def _check_shape(self, name: str, dataset: Any, created: Any) -> int:
        """Check type, shape and chunks of a dataset; return its length."""
        is_layer = name.startswith("features/")
        further = FURTHER.fullmatch(name)
        expected = ("bool" if further[2] == "m" else COLUMN) if further else TYPES.get(name)
        self._check_type(name, dataset.get_type(), FLOAT if is_layer else expected)
        shape, layout = tuple(dataset.shape), created.get_layout()
        trailing = (HASH_BYTES,) if name.endswith("content_hash") else ()
        if not shape or ((further or name in TYPES) and shape[1:] != trailing):
            self._refuse(name, f"of shape {shape}", f"rows of shape {trailing}")
        if layout == h5d.VIRTUAL:
            return int(shape[0])
        if is_layer and self._is_view and shape[0]:
            self._refuse(name, "stored in a view", "features in part files")
        if shape[0] == 0 and layout == h5d.CONTIGUOUS and not dataset.get_storage_size():
            return 0
        if layout != h5d.CHUNKED:
            self._refuse(name, "stored in one piece", "chunks")
        self._check_chunks(name, dataset, created)
        return int(shape[0])

    def _check_type(self, name: str, stored: Any, expected: str | None) -> None:
        """Check the type of a dataset; None is any that has a fixed size."""
        classes = {
            TEXT: (h5t.STRING,),
            FLOAT: (h5t.FLOAT,),
            "bool": (h5t.ENUM,),
            COLUMN: (h5t.STRING, h5t.INTEGER, h5t.FLOAT, h5t.ENUM),
            "": (h5t.STRING, h5t.INTEGER, h5t.FLOAT, h5t.ENUM),
        }.get(expected or "", (h5t.INTEGER,))
        if stored.get_class() not in classes or stored.committed():
            self._refuse(name, "of a type that no store has", expected or "numbers or text")
        if stored.get_class() == h5t.STRING:
            if stored.is_variable_str():
                self._refuse(name, "text of variable length", "text of fixed length")
            return
        received = str(stored.dtype.newbyteorder("="))
        choices = {FLOAT: ("float16", "float32"), COLUMN: ("int64", "float64", "bool")}
        allowed = choices.get(expected or "", (expected or received,))
        if received not in allowed:
            self._refuse(name, f"of type {received}", " or ".join(allowed))

    def _check_chunks(self, name: str, dataset: Any, created: Any) -> None:
        """Compare the shape that a dataset claims with what is stored of it."""
        stored_type, shape = dataset.get_type(), tuple(dataset.shape)
        is_text = stored_type.get_class() == h5t.STRING
        filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
        written = [h5z.FILTER_DEFLATE] * is_text + [h5z.FILTER_FLETCHER32]
        if filters != written:
            self._refuse(name, f"stored with the HDF5 filters {filters}", str(written))
        chunk = tuple(created.get_chunk())
        if chunk[1:] != shape[1:] or not 0 < chunk[0] <= shape[0]:
            self._refuse(name, f"of shape {shape} in chunks of {chunk}", "chunks of whole rows")
        if dataset.get_space().get_simple_extent_dims(True) != shape:
            self._refuse(name, "of a size that can grow", "a fixed size")
        num_chunks = -(-shape[0] // chunk[0])
        chunk_bytes = math.prod(chunk) * stored_type.get_size()
        ratio = DEFLATE_RATIO if is_text else 1
        claimed = f"of shape {shape}, which is {num_chunks * chunk_bytes:,} bytes"
        # Before HDF5 visits each chunk. `missing` is not stored where no image is missing.
        most = self._num_bytes * ratio
        if shape[0] > self._num_bytes or num_chunks * chunk_bytes > most:
            self._refuse(name, claimed, f"what a file of {self._num_bytes:,} bytes can hold")
        if is_text and chunk[0] > COLUMN_CHUNK:  # Each piece that is read would unpack all of it.
            received = f"text in chunks of {chunk[0]:,} rows"
            self._refuse(name, received, f"at most {COLUMN_CHUNK:,} rows in a chunk")
        if is_text and chunk_bytes > LARGEST_TEXT_CHUNK:
            received = f"text in chunks of {chunk_bytes:,} bytes"
            self._refuse(name, received, f"at most {LARGEST_TEXT_CHUNK:,} bytes in a chunk")
        try:
            stored, chunks = dataset.get_storage_size(), dataset.get_num_chunks()
        except READ_ERRORS:
            if self._salvage:
                return  # The index of the chunks is damaged: none of them can be read.
            raise
        if stored == 0 and name == "missing":
            return
        self._stored += stored
        whole = num_chunks * (chunk_bytes + CHECKSUM_BYTES)
        enough = stored * ratio >= num_chunks * chunk_bytes if is_text else stored == whole
        if chunks != num_chunks or not enough or self._stored > self._num_bytes:
            self._refuse(name, claimed, f"what is stored: {stored:,} bytes in {chunks:,} chunks")

    def _check_attributes(self, name: str, owner: Any) -> None:
        for number in range(h5a.get_num_attrs(owner)):
            try:
                attribute = h5a.open(owner, index=number)
            except READ_ERRORS:
                if self._salvage:
                    return
                raise
            stored, label = attribute.get_type(), f"attribute {attribute.name!r} of {name}"
            kind = stored.get_class()
            if kind not in (h5t.STRING, h5t.INTEGER) or stored.committed() or attribute.shape:
                self._refuse(label, "of a type that no store has", "one text or whole number")
            expected = ATTRIBUTES.get(attribute.name)
            if expected is not None and (kind == h5t.STRING) != (expected == TEXT):
                self._refuse(label, "of another type", f"one {expected}")
            if kind == h5t.STRING and stored.is_variable_str():
                self._refuse(label, "text of variable length", "text of fixed length")
            if stored.get_size() > self._num_bytes:
                self._refuse(label, f"{stored.get_size():,} bytes", "less than the file has")

    def _check_sources(self, name: str, created: Any) -> None:
        """Refuse a virtual dataset that has any size, or is of anything but part files."""
        # HDF5 replaces a single "%b" in such a name by a number.
        named = {file.replace("%", "%%") for file in self._part_names}
        for number in range(created.get_virtual_count()):
            source = created.get_virtual_filename(number)
            if source not in named:
                self._refuse(name, f"a view of {source!r}", "a view of the store's parts")
            try:
                created.get_virtual_vspace(number).get_select_npoints()
            except RuntimeError:  # HDF5 has no number: it would ask the files.
                self._refuse(name, "a virtual dataset of any size", "a fixed size")

    def _check_part_names(self) -> None:
        """Check that a view names only part files beside it."""
        files = read_texts(self._file["parts/file"])
        for file in files:
            if not PART_NAME.fullmatch(file):
                self._refuse("parts/file", repr(file), "files in the parts folder of the store")
        self._part_names.update(files)

    def _refuse(self, name: str, received: str, expected: str) -> NoReturn:
        raise StoreDamaged(
            f"{str(self._path)!r} is refused, because it is not as featx writes it: {name!r} is "
            f"{received}; expected: {expected}. Use a copy from somebody whom you trust, or "
            f"extract again with {option('overwrite', True)}."
        )
