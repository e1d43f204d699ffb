"""Writing a store or part file, as `featx.store.format` describes it, block by block."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.files import HASH_BYTES
from featx.images.sources import ImageFailure, natural_key
from featx.specs import FeatureSpec
from featx.store.column_datasets import COPIES, GROUP, NAMES, ColumnWriter
from featx.store.datasets import create_rows, create_texts, encode_texts, write_texts
from featx.store.format import COLUMN_CHUNK, FORMAT, FORMAT_VERSION, dataset_name
from featx.store.guarded_file import write_hdf5
from featx.store.rows import Announced, ContentsDigest, RowMap, Rows, StoreFacts, StoreHeader

CHUNK_BYTES = 1 << 20
"""Approximate size of an HDF5 chunk. Chunks of this size were within 10 % of the fastest, both when
written in sequence and when single rows are read."""


def write_store(
    path: Path,
    header: StoreHeader,
    blocks: Iterable[Rows],
    announced: Announced,
    facts: StoreFacts | None = None,
) -> None:
    """Write a whole store or part file from blocks of rows, and seal it.

    Args:
        path: The file to create. Not atomic by itself; see `featx.atomic.replace_file`.
        header: What all rows share.
        blocks: The rows; one block is held in memory at a time. Those of a view have no features.
        announced: What is known of the rows.
        facts: Failures and the like.
    """
    facts = facts or StoreFacts()
    numbering = _Numbering(announced)

    def fill(file: h5py.File, check: Callable[[], None]) -> None:
        _write_header(file, header)
        _write_facts(file, facts, announced, numbering)
        columns = _create_columns(file, announced.num_rows, announced)
        columns["missing"] = create_rows(
            file, "missing", (announced.num_rows,), np.bool_, COLUMN_CHUNK
        )
        further = ColumnWriter(file, GROUP, announced.num_rows, announced.columns)
        layers = {}
        if facts.row_map is None:
            layers = _create_layers(file, header, announced.num_rows)
        else:
            _write_view(file, header, facts.row_map)
        contents = ContentsDigest(header.fingerprint)
        start = 0
        for rows in blocks:
            _write_columns(columns, start, rows, numbering)
            further.write(start, rows.columns, len(rows))
            end = start + len(rows)
            if facts.missing:
                columns["missing"][start:end] = [key in facts.missing for key in rows.keys]
            for name, dataset in layers.items():
                dataset[start:end] = rows.features[name]
            contents.update(rows.keys, rows.content_hash)
            check()
            start = end
        num_rows = announced.num_rows
        assert start == num_rows, f"{num_rows} rows were announced, {start} came"
        _write_text_attribute(file, "contents", contents.hexdigest())

    write_hdf5(path, fill, kind="data" if facts.row_map is None else "view")


def _write_facts(
    file: h5py.File, facts: StoreFacts, announced: Announced, numbering: _Numbering
) -> None:
    """Write what the file holds besides its rows."""
    file.attrs["next_part"] = facts.next_part
    write_texts(file, "classes", numbering.classes)
    if numbering.splits:
        write_texts(file, "split_names", numbering.splits)
    if announced.columns:
        write_texts(file, NAMES, list(announced.columns))
    _write_failures(file, facts.failures)
    if facts.copies is not None:
        group = file.create_group("copies")
        copies = _create_columns(group, len(facts.copies), announced)
        _write_columns(copies, 0, facts.copies, numbering)
        further = ColumnWriter(file, COPIES, len(facts.copies), announced.columns)
        further.write(0, facts.copies.columns, len(facts.copies))


class _Numbering:
    """Classes and splits in natural order, and the numbers that stand for them in columns."""

    def __init__(self, announced: Announced) -> None:
        self.classes = sorted(set(announced.classes), key=natural_key)
        self.splits = sorted(set(announced.splits), key=natural_key)
        self.class_ids = _number(self.classes)
        self.split_ids = _number(self.splits)


def _number(names: Sequence[str]) -> dict[str | None, int]:
    return {None: -1, **{name: number for number, name in enumerate(names)}}


def _write_header(file: h5py.File, header: StoreHeader) -> None:
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["single_file_limit"] = header.single_file_limit
    for name, text in {
        "format": FORMAT,
        "fingerprint": header.fingerprint,
        "model": _to_json(header.model.to_dict()),
        "dtype": header.dtype,
        "root": header.root.text,
        "root_relative": header.root_relative,
    }.items():
        _write_text_attribute(file, name, text)
    # Datasets, because HDF5 has no checksums for attributes of more than 64 KiB.
    write_texts(file, "request", [_to_json(header.request)])
    write_texts(file, "runs", [_to_json(run) for run in header.runs])


def _to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)


def _write_text_attribute(owner: Any, name: str, text: str) -> None:
    data = text.encode()
    dtype = h5py.string_dtype("utf-8", max(1, len(data)))
    owner.attrs.create(name, np.array(data, dtype=dtype), dtype=dtype)


def _create_columns(parent: Any, num_rows: int, announced: Announced) -> dict[str, h5py.Dataset]:
    def column(name: str, dtype: Any, *shape: int) -> h5py.Dataset:
        return create_rows(parent, name, (num_rows, *shape), dtype, COLUMN_CHUNK)

    return {
        "keys": create_texts(parent, "keys", num_rows, announced.key_bytes),
        "content_hash": column("content_hash", np.uint8, HASH_BYTES),
        "labels": column("labels", np.int32),
        "file_size": column("file_size", np.int64),
        "file_mtime_ns": column("file_mtime_ns", np.int64),
        **({"splits": column("splits", np.int32)} if announced.splits else {}),
    }


def _write_columns(
    columns: dict[str, h5py.Dataset], start: int, rows: Rows, numbering: _Numbering
) -> None:
    if not len(rows):
        return
    end = start + len(rows)
    columns["keys"][start:end] = encode_texts(rows.keys, columns["keys"])
    columns["content_hash"][start:end] = rows.content_hash
    columns["labels"][start:end] = [numbering.class_ids[label] for label in rows.labels]
    columns["file_size"][start:end] = rows.file_size
    columns["file_mtime_ns"][start:end] = rows.file_mtime_ns
    numbers = [numbering.split_ids[split] for split in rows.splits]
    if "splits" in columns:
        columns["splits"][start:end] = numbers


def _create_layers(file: h5py.File, header: StoreHeader, num_rows: int) -> dict[str, h5py.Dataset]:
    layers = {}
    for number, spec in enumerate(header.features):
        row_bytes = int(np.prod(spec.shape)) * np.dtype(header.dtype).itemsize
        rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        name = f"features/{dataset_name(number)}"
        layers[spec.name] = create_rows(file, name, (num_rows, *spec.shape), header.dtype, rows)
        _describe_layer(layers[spec.name], spec, header)
    return layers


def _describe_layer(dataset: h5py.Dataset, spec: FeatureSpec, header: StoreHeader) -> None:
    _write_text_attribute(dataset, "name", spec.name)
    _write_text_attribute(dataset, "spec", _to_json(spec.to_dict()))
    _write_text_attribute(dataset, "fingerprint", spec.fingerprint(header.model))


def _write_view(file: h5py.File, header: StoreHeader, row_map: RowMap) -> None:
    """Write which part holds each row: for featx, and as virtual datasets for everyone else."""
    group = file.create_group("parts")
    write_texts(group, "file", [part.file for part in row_map.parts])
    write_texts(group, "sha256", [part.sha256 for part in row_map.parts])
    num_rows = len(row_map.part)
    counts = create_rows(group, "rows", (len(row_map.parts),), np.int64, COLUMN_CHUNK)
    part = create_rows(file, "row_part", (num_rows,), np.int32, COLUMN_CHUNK)
    index = create_rows(file, "row_index", (num_rows,), np.int64, COLUMN_CHUNK)
    if num_rows:
        counts[:] = [part.num_rows for part in row_map.parts]
        part[:], index[:] = row_map.part, row_map.row
    for number, spec in enumerate(header.features):
        name = f"features/{dataset_name(number)}"
        layout = h5py.VirtualLayout((num_rows, *spec.shape), header.dtype)
        sources = [
            # HDF5 replaces a single "%b" in such a name by a number.
            h5py.VirtualSource(
                part.file.replace("%", "%%"), name, (part.num_rows, *spec.shape), header.dtype
            )
            for part in row_map.parts
        ]
        for start, part_number, row, count in row_map.runs():
            layout[start : start + count] = sources[part_number][row : row + count]
        # HDF5 returns the fill value for a missing part: it must not look like a feature.
        dataset = file.create_virtual_dataset(name, layout, fillvalue=np.nan)
        _describe_layer(dataset, spec, header)


def _write_failures(file: h5py.File, failures: Sequence[ImageFailure]) -> None:
    group = file.create_group("failures")
    write_texts(group, "key", [f.key for f in failures])
    write_texts(group, "reason", [f.reason for f in failures])
    for name in ("size", "mtime_ns"):
        dataset = create_rows(group, name, (len(failures),), np.int64, COLUMN_CHUNK)
        if failures:
            dataset[:] = [getattr(failure, name) for failure in failures]
