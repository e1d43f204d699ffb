"""The format of stores, version 2, which part files share.

Every byte is under a checksum: rows are chunked with Fletcher-32, text has a fixed length
(HDF5 keeps text of variable length in a heap without checksums, where one flipped byte can
make it hang), HDF5 checks its metadata from version 1.10 on, and the seal covers the whole file.
This module reads what a file says of itself; `featx.store.opening` opens files, and
`featx.store.writing` writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.errors import StoreDamaged
from featx.images.roots import Root
from featx.sealed_json import parse_json
from featx.specs import FeatureSpec, ModelSpec
from featx.store.rows import StoreHeader
from featx.store.run_records import check_run
from featx.units import format_count
from featx.wording import command, option

FORMAT = "featx-store"
FORMAT_VERSION = 2

COLUMN_CHUNK = 4096
"""Rows in a chunk of keys, hashes, labels, sizes and times."""

LARGEST_TEXT_CHUNK = 256 << 20
"""Most bytes of a chunk of text, all of which is unpacked to read one: 4,096 keys of 64 KiB."""

UNPACKED_RATIO = 200
"""Most bytes of different texts that each byte of a file may stand for: what a stranger's file
unpacks to is bounded. Texts of people compress to a third."""

LARGEST_COUNT = 2**63
"""Counts in attributes are below: they are written as 64 bits with a sign."""

READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""Errors of h5py for damaged files: wrong checksums, dangling metadata, invalid UTF-8."""


def read_header(file: h5py.File, path: Path, *, salvage: bool = False) -> StoreHeader:
    """Read the header of a store, and check that it is complete.

    Args:
        file: The open file.
        path: Its path, for messages.
        salvage: Ignore damaged records of commands and runs.

    Raises:
        StoreDamaged: If it is incomplete.
    """
    try:
        root = file["/"]  # h5py looks it up for each attribute of a file.
        layers = _layers(root)
        header = _parse_header(root, layers, salvage)
        num_rows, lengths = len(root["keys"]), _measure_columns(root, header, layers)
        _ = root["split_names"] if "splits" in root else None
        _ = (root["classes"], text_attribute(root, "contents"))
        _ = number_attribute(root, "next_part")
        failures = root["failures"]
        _ = [failures[name] for name in ("key", "reason", "size", "mtime_ns")]
        intact = text_attribute(root, "fingerprint") == header.fingerprint
    except (*READ_ERRORS, LookupError, AttributeError) as error:
        raise StoreDamaged(f"{str(path)!r} is a damaged feature store: {error}") from error
    wrong = {name: length for name, length in lengths.items() if length != num_rows}
    if wrong:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: {format_count(num_rows, 'key')}, but "
            f"{wrong} rows."
        )
    if not intact:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: its fingerprint does not belong to its "
            "model and features."
        )
    others = {layer.dtype.name for layer in layers}.difference([header.dtype])
    if others:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: it says that features are {header.dtype}, "
            f"but they are {', '.join(sorted(others))}."
        )
    return header


def check_version(file: h5py.File, path: Path) -> None:
    """Refuse files that are not stores, and other versions of the format."""
    try:
        form, version = text_attribute(file, "format", ""), file.attrs.get("format_version")
    except READ_ERRORS as error:
        raise StoreDamaged(f"{str(path)!r} is damaged: {error}") from error
    if form != FORMAT:
        raise StoreDamaged(
            f"{str(path)!r} is an HDF5 file of another program, not a feature "
            f"store: {command('extract')} writes those."
        )
    if version != FORMAT_VERSION:
        older = isinstance(version, (int, np.integer)) and version < FORMAT_VERSION
        raise StoreDamaged(
            f"{str(path)!r} has format version {version}; this featx reads version "
            f"{FORMAT_VERSION}. "
            + (
                f"Extract again with {option('overwrite', True)}."
                if older
                else "Update featx: pip install -U featx."
            )
        )


def _parse_header(file: h5py.Group, layers: list[h5py.Dataset], salvage: bool) -> StoreHeader:
    return StoreHeader(
        model=ModelSpec.from_dict(parse_json(text_attribute(file, "model"))),
        features=tuple(
            FeatureSpec.from_dict(parse_json(text_attribute(dataset, "spec"))) for dataset in layers
        ),
        dtype=text_attribute(file, "dtype"),  # type: ignore[arg-type]
        root=Root.parse(text_attribute(file, "root")),
        root_relative=text_attribute(file, "root_relative"),
        request=dict(*_read_records(file, "request", salvage)),
        runs=tuple(_read_records(file, "runs", salvage, check_run)),
        single_file_limit=number_attribute(file, "single_file_limit"),
    )


def _layers(file: h5py.Group) -> list[h5py.Dataset]:
    group = file["features"]
    return [group[dataset_name(number)] for number in range(len(group))]


def _measure_columns(
    file: h5py.Group, header: StoreHeader, layers: list[h5py.Dataset]
) -> dict[str, int]:
    """Return the number of rows of each column and layer.

    Raises:
        ValueError: If the rows of a layer have another shape than its description says.
    """
    columns = ["content_hash", "labels", "file_size", "file_mtime_ns", "missing"]
    columns += ["row_part", "row_index"] if "parts" in file else []
    columns += ["splits"] if "splits" in file else []
    columns += further_datasets(file, "columns")
    lengths = {name: len(file[name]) for name in columns}
    for spec, dataset in zip(header.features, layers, strict=True):
        lengths[spec.name] = len(dataset)
        if dataset.shape[1:] != spec.shape:
            raise ValueError(f"rows of {spec.name!r} have the shape {dataset.shape[1:]}")
    return lengths


def further_datasets(file: h5py.Group, group: str) -> list[str]:
    """Return the paths of the datasets of further columns; see `featx.store.column_datasets`."""
    count = len(file["column_names"]) if "column_names" in file else 0
    values = [f"{group}/c{number:03d}" for number in range(count)]
    masks = [f"{group}/m{number:03d}" for number in range(count)]
    return [*values, *(name for name in masks if name in file)]


def _read_records(
    file: h5py.Group,
    name: str,
    salvage: bool,
    check: Callable[[Any], dict[str, Any]] = dict,
) -> list[dict[str, Any]]:
    try:
        return [check(parse_json(text)) for text in read_texts(file[name])]
    except READ_ERRORS:
        if salvage:
            return []
        raise


def parts_folder(path: Path) -> Path:
    """Return the folder beside a store that holds its finished parts."""
    return path.with_name(f"{path.name}.parts")


def dataset_name(number: int) -> str:
    """Return the name of a layer's dataset below /features (endpoint names may contain ``/``)."""
    return f"f{number:03d}"


def read_texts(dataset: h5py.Dataset, rows: slice = slice(None)) -> list[str]:
    """Read UTF-8 text of fixed length, a bounded piece at a time.

    Raises:
        ValueError: If it is not UTF-8, or far longer than the file that it is packed in.
    """
    texts: list[str] = []
    known: dict[bytes, str] = {}  # Where texts repeat, equal ones are one object.
    left = UNPACKED_RATIO * dataset.file.id.get_filesize()
    for start in range(*rows.indices(len(dataset)))[::COLUMN_CHUNK]:
        stop = min(start + COLUMN_CHUNK, rows.indices(len(dataset))[1])
        block = dataset[start:stop].tolist()
        distinct = set(block)
        differ = 2 * len(distinct) > len(block)  # As keys do: then they are not looked up.
        new = block if differ else distinct.difference(known)
        left -= sum(map(len, new))
        if left < 0:
            raise ValueError(f"its texts are more than {UNPACKED_RATIO} times as long as the file")
        if differ:
            texts += [data.decode() for data in block]
        else:
            known |= {data: data.decode() for data in new}
            texts += map(known.__getitem__, block)
    return texts


def text_attribute(owner: Any, name: str, default: str | None = None) -> str:
    """Read a text attribute, of fixed or (before version 2) variable length.

    Raises:
        KeyError: If there is none and no default.
    """
    value = owner.attrs[name] if default is None else owner.attrs.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def number_attribute(owner: Any, name: str) -> int:
    """Read an attribute that counts something.

    Raises:
        KeyError: If there is none.
        ValueError: If no count is like that.
    """
    number = int(owner.attrs[name])
    if not 0 <= number < LARGEST_COUNT:
        raise ValueError(f"{name!r} is {number}")
    return number
