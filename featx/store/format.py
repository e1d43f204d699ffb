"""The store's format, version 2: what is written where. Parts and finished stores share it.

Every byte is under a checksum: rows are chunked with Fletcher-32, text has a fixed length
(HDF5 keeps text of variable length in a heap without checksums, where one flipped byte can
make it hang), HDF5 of version 1.10 checks its metadata, and the seal covers the whole file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.errors import StoreDamaged, StoreError, StoreNotFound
from featx.images.reading import HASH_BYTES
from featx.images.sources import ImageFailure, natural_key
from featx.specs import FeatureSpec, ModelSpec
from featx.store.guarded_file import write_hdf5
from featx.store.rows import ContentsDigest, RowMap, Rows, StoreFacts, StoreHeader
from featx.store.seal import is_seal_broken, read_seal

FORMAT = "featx-store"
FORMAT_VERSION = 2

CHUNK_BYTES = 1 << 20
"""Aimed size of an HDF5 chunk. Chunks of about this size were within 10 % of the fastest,
both when written in sequence and when single rows are read."""

COLUMN_CHUNK = 4096
"""Rows in a chunk of keys, hashes, labels, sizes and times."""

READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises for damaged files: a wrong checksum, metadata that lead nowhere, no UTF-8."""


def write_store(
    path: Path,
    header: StoreHeader,
    *,
    num_rows: int,
    classes: Iterable[str],
    blocks: Iterable[Rows],
    key_bytes: int,
    splits: Iterable[str] = (),
    facts: StoreFacts | None = None,
) -> None:
    """Write a whole store or part file from blocks of rows, and seal it.

    Args:
        path: The file to create. Not atomic by itself; see `featx.atomic.replace_file`.
        header: What all rows share.
        num_rows: The total of rows in `blocks`.
        classes: Every label that occurs.
        blocks: The rows; one block is held in memory at a time. Those of a view have no features.
        key_bytes: Length of the longest key in UTF-8.
        splits: Every name of a split that occurs; where there is none, there is no such column.
        facts: Failures and the like.
    """
    facts = facts or StoreFacts()
    ordered_classes = sorted(set(classes), key=natural_key)
    class_ids: dict[str | None, int] = {name: i for i, name in enumerate(ordered_classes)}
    class_ids[None] = -1
    ordered_splits = sorted(set(splits), key=natural_key)
    split_ids: dict[str | None, int] = {name: i for i, name in enumerate(ordered_splits)}
    split_ids[None] = -1
    contents = ContentsDigest(header.fingerprint)

    def fill(file: h5py.File, check: Callable[[], None]) -> None:
        _write_header(file, header)
        file.attrs["next_part"] = facts.next_part
        _write_texts(file, "classes", ordered_classes)
        with_splits = bool(ordered_splits)
        if with_splits:
            _write_texts(file, "split_names", ordered_splits)
        _write_failures(file, facts.failures)
        if facts.copies is not None:
            group = file.create_group("copies")
            copies = _create_columns(group, len(facts.copies), key_bytes, with_splits)
            _write_columns(copies, 0, facts.copies, class_ids, split_ids)

        columns = _create_columns(file, num_rows, key_bytes, with_splits)
        missing = _create_rows(file, "missing", (num_rows,), np.bool_, COLUMN_CHUNK)
        taps = {}
        if facts.row_map is None:
            taps = _create_taps(file, header, num_rows)
        else:
            _write_view(file, header, facts.row_map)
        start = 0
        for rows in blocks:
            end = start + len(rows)
            _write_columns(columns, start, rows, class_ids, split_ids)
            if facts.missing:
                missing[start:end] = [key in facts.missing for key in rows.keys]
            for name, dataset in taps.items():
                dataset[start:end] = rows.features[name]
            contents.update(rows.keys, rows.content_hash)
            check()
            start = end
        assert start == num_rows, f"{num_rows} rows were announced, {start} came"
        _write_text_attribute(file, "contents", contents.hexdigest())

    write_hdf5(path, fill, kind="data" if facts.row_map is None else "view")


def _write_header(file: h5py.File, header: StoreHeader) -> None:
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["single_file_limit"] = header.single_file_limit
    for name, text in {
        "format": FORMAT,
        "fingerprint": header.fingerprint,
        "model": json.dumps(header.model.to_dict()),
        "dtype": header.dtype,
        "root": header.root,
        "root_relative": header.root_relative,
    }.items():
        _write_text_attribute(file, name, text)
    # Datasets, because HDF5 has no checksums for attributes of more than 64 KiB.
    _write_texts(file, "request", [json.dumps(header.request)])
    _write_texts(file, "runs", [json.dumps(run) for run in header.runs])


def read_header(file: h5py.File, path: Path, *, salvage: bool = False) -> StoreHeader:
    """Check that an open file is a store of this version, and read what its rows share.

    Args:
        file: The open file.
        path: Its path, for messages.
        salvage: Do without the records of commands and runs if these are damaged.

    Raises:
        StoreDamaged: If it is something else, newer than this featx, or incomplete.
    """
    try:
        form, version = text_attribute(file, "format", ""), file.attrs.get("format_version")
    except READ_ERRORS as error:
        raise StoreDamaged(f"{str(path)!r} is damaged: {error}") from error
    if form != FORMAT:
        raise StoreDamaged(
            f"{str(path)!r} is an HDF5 file, but not a feature store "
            f"(its attribute 'format' is not {FORMAT!r})."
        )
    if version != FORMAT_VERSION:
        older = isinstance(version, (int, np.integer)) and version < FORMAT_VERSION
        raise StoreDamaged(
            f"{str(path)!r} has format version {version}; this featx reads version "
            f"{FORMAT_VERSION}. "
            + (
                "Extract again with --overwrite."
                if older
                else "Update featx: pip install -U featx."
            )
        )
    try:
        datasets = [file["features"][dataset_name(i)] for i in range(len(file["features"]))]
        header = StoreHeader(
            model=ModelSpec.from_dict(json.loads(text_attribute(file, "model"))),
            features=tuple(
                FeatureSpec.from_dict(json.loads(text_attribute(d, "spec"))) for d in datasets
            ),
            dtype=text_attribute(file, "dtype"),  # type: ignore[arg-type]
            root=text_attribute(file, "root"),
            root_relative=text_attribute(file, "root_relative"),
            request=dict(*_read_records(file, "request", salvage)),
            runs=tuple(_read_records(file, "runs", salvage)),
            single_file_limit=int(file.attrs["single_file_limit"]),
        )
        num_rows = len(file["keys"])
        columns = ["content_hash", "labels", "file_size", "file_mtime_ns", "missing"]
        columns += ["row_part", "row_index"] if "parts" in file else []
        columns += ["splits"] if "splits" in file else []
        lengths = {name: len(file[name]) for name in columns}
        for spec, dataset in zip(header.features, datasets, strict=True):
            lengths[spec.name] = len(dataset)
            if dataset.shape[1:] != spec.shape:
                raise ValueError(f"rows of {spec.name!r} have the shape {dataset.shape[1:]}")
        _ = file["split_names"] if "splits" in file else None
        _ = (file["classes"], file.attrs["contents"], file.attrs["next_part"])
        _ = [file["failures"][name] for name in ("key", "reason", "size", "mtime_ns")]
        intact = text_attribute(file, "fingerprint") == header.fingerprint
    except (*READ_ERRORS, LookupError, AttributeError) as error:
        raise StoreDamaged(f"{str(path)!r} is a damaged feature store: {error}") from error
    wrong = {name: length for name, length in lengths.items() if length != num_rows}
    if wrong:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: {num_rows} keys, but {wrong} rows."
        )
    if not intact:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: its fingerprint does not belong to its "
            "model and features."
        )
    return header


def open_file(path: Path, *, salvage: bool = False) -> h5py.File:
    """Open a store or part for reading, without HDF5's own file lock.

    A file that readers can see is never modified, only replaced, so that no lock is
    needed; and locks fail on many network file systems.

    Args:
        path: The file.
        salvage: Open it although it is known to be damaged.

    Raises:
        StoreNotFound: If there is no such file.
        StoreDamaged: If it is not an HDF5 file, or not all of it.
    """
    if path.is_dir():
        raise StoreNotFound(f"{str(path)!r} is a folder. Name the feature store in it.")
    if not path.is_file():
        raise StoreNotFound(f"There is no feature store {str(path)!r}. `featx extract` makes one.")
    while True:
        seal, size = read_seal(path), path.stat().st_size
        if seal is None or seal.num_bytes == size or seal == read_seal(path):
            break  # Else a writer replaced the file between the two.
    if salvage:
        seal = None
    if seal is not None and seal.num_bytes != size:
        raise StoreDamaged(
            f"{str(path)!r} is damaged: it has {size:,} bytes and was written with "
            f"{seal.num_bytes:,}. Copy it again, or extract again with --overwrite."
        )
    # A view is small, and HDF5 keeps what it refers to in a heap without checksums.
    if seal is not None and seal.kind == "view" and is_seal_broken(path):
        raise StoreDamaged(
            f"{str(path)!r} is damaged: its bytes are not those that were written. The features "
            f"are in its parts; move it away, and the same `featx extract` makes it anew."
        )
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "locking flag" in str(error):  # HDF5 opens a file in a process in one way only.
            raise StoreError(
                f"{str(path)!r} is open in this process already, with HDF5's locks. Close it, or "
                "open it with h5py.File(..., locking=False)."
            ) from error
        raise StoreDamaged(
            f"{str(path)!r} cannot be opened as an HDF5 file: it is damaged, or no feature store "
            f"({error})."
        ) from error


def is_store(path: Path) -> bool:
    """Whether a file is a feature store, of whatever version and in whatever state."""
    try:
        if read_seal(path) is not None:
            return True
        with open_file(path) as file:
            return text_attribute(file, "format", "") == FORMAT
    except (StoreError, *READ_ERRORS):
        return False


def _read_records(file: h5py.File, name: str, salvage: bool) -> list[dict[str, Any]]:
    try:
        return [dict(json.loads(text)) for text in read_texts(file[name])]
    except READ_ERRORS:
        if salvage:
            return []
        raise


def parts_folder(path: Path) -> Path:
    """Return the folder beside a store where an extraction keeps its finished parts."""
    return path.with_name(f"{path.name}.parts")


def dataset_name(number: int) -> str:
    """Return the name of a tap's dataset below /features (endpoint names may contain ``/``)."""
    return f"f{number:03d}"


def read_texts(dataset: h5py.Dataset, rows: slice = slice(None)) -> list[str]:
    """Read UTF-8 text of fixed length, a bounded piece at a time."""
    texts: list[str] = []
    for start in range(*rows.indices(len(dataset)))[::COLUMN_CHUNK]:
        stop = min(start + COLUMN_CHUNK, rows.indices(len(dataset))[1])
        texts += [text.decode() for text in dataset[start:stop].tolist()]
    return texts


def text_attribute(owner: Any, name: str, default: str | None = None) -> str:
    """Read a text attribute, of fixed or (before version 2) variable length.

    Raises:
        KeyError: If there is none and no default.
    """
    value = owner.attrs[name] if default is None else owner.attrs.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def _write_text_attribute(owner: Any, name: str, text: str) -> None:
    data = text.encode()
    dtype = h5py.string_dtype("utf-8", max(1, len(data)))
    owner.attrs.create(name, np.array(data, dtype=dtype), dtype=dtype)


def _write_texts(parent: Any, name: str, texts: Sequence[str]) -> None:
    longest = max((len(text.encode()) for text in texts), default=1)
    dataset = _create_texts(parent, name, len(texts), longest)
    for start in range(0, len(texts), COLUMN_CHUNK):  # One long text makes all of them long.
        piece = texts[start : start + COLUMN_CHUNK]
        dataset[start : start + len(piece)] = _encode(piece, dataset)


def _create_texts(parent: Any, name: str, count: int, num_bytes: int) -> h5py.Dataset:
    dtype = h5py.string_dtype("utf-8", max(1, num_bytes))
    if count == 0:
        return parent.create_dataset(name, (0,), dtype)
    # Compressed, because one long name makes all of them long.
    return parent.create_dataset(
        name,
        (count,),
        dtype,
        chunks=(min(COLUMN_CHUNK, count),),
        fletcher32=True,
        compression="gzip",
        compression_opts=1,
    )


def _encode(texts: Sequence[str], dataset: h5py.Dataset) -> np.ndarray:
    return np.array([t.replace("\0", "\\0").encode() for t in texts], dtype=dataset.dtype)


def _create_columns(
    parent: Any, num_rows: int, key_bytes: int, with_splits: bool
) -> dict[str, h5py.Dataset]:
    def column(name: str, dtype: Any, *shape: int) -> h5py.Dataset:
        return _create_rows(parent, name, (num_rows, *shape), dtype, COLUMN_CHUNK)

    return {
        "keys": _create_texts(parent, "keys", num_rows, key_bytes),
        "content_hash": column("content_hash", np.uint8, HASH_BYTES),
        "labels": column("labels", np.int32),
        "file_size": column("file_size", np.int64),
        "file_mtime_ns": column("file_mtime_ns", np.int64),
        **({"splits": column("splits", np.int32)} if with_splits else {}),
    }


def _write_columns(
    columns: dict[str, h5py.Dataset],
    start: int,
    rows: Rows,
    class_ids: dict[str | None, int],
    split_ids: dict[str | None, int],
) -> None:
    if not len(rows):
        return
    end = start + len(rows)
    columns["keys"][start:end] = _encode(rows.keys, columns["keys"])
    columns["content_hash"][start:end] = rows.content_hash
    columns["labels"][start:end] = [class_ids[label] for label in rows.labels]
    columns["file_size"][start:end] = rows.file_size
    columns["file_mtime_ns"][start:end] = rows.file_mtime_ns
    numbers = [split_ids[split] for split in rows.splits]
    if "splits" in columns:
        columns["splits"][start:end] = numbers


def _create_rows(
    parent: Any, name: str, shape: tuple[int, ...], dtype: Any, chunk_rows: int
) -> h5py.Dataset:
    if shape[0] == 0:  # Nothing to divide into chunks, and h5py refuses to try.
        return parent.create_dataset(name, shape, dtype)
    chunks = (min(chunk_rows, shape[0]), *shape[1:])
    return parent.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True)


def _create_taps(file: h5py.File, header: StoreHeader, num_rows: int) -> dict[str, h5py.Dataset]:
    taps = {}
    for number, spec in enumerate(header.features):
        row_bytes = int(np.prod(spec.shape)) * np.dtype(header.dtype).itemsize
        rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        name = f"features/{dataset_name(number)}"
        taps[spec.name] = _create_rows(file, name, (num_rows, *spec.shape), header.dtype, rows)
        _describe_tap(taps[spec.name], spec, header)
    return taps


def _describe_tap(dataset: h5py.Dataset, spec: FeatureSpec, header: StoreHeader) -> None:
    _write_text_attribute(dataset, "name", spec.name)
    _write_text_attribute(dataset, "spec", json.dumps(spec.to_dict()))
    _write_text_attribute(dataset, "fingerprint", spec.fingerprint(header.model))


def _write_view(file: h5py.File, header: StoreHeader, row_map: RowMap) -> None:
    """Write where the rows lie: once for featx, once as virtual datasets for everyone else."""
    group = file.create_group("parts")
    _write_texts(group, "file", [part.file for part in row_map.parts])
    _write_texts(group, "sha256", [part.sha256 for part in row_map.parts])
    num_rows = len(row_map.part)
    counts = _create_rows(group, "rows", (len(row_map.parts),), np.int64, COLUMN_CHUNK)
    part = _create_rows(file, "row_part", (num_rows,), np.int32, COLUMN_CHUNK)
    index = _create_rows(file, "row_index", (num_rows,), np.int64, COLUMN_CHUNK)
    if num_rows:
        counts[:] = [part.num_rows for part in row_map.parts]
        part[:], index[:] = row_map.part, row_map.row
    for number, spec in enumerate(header.features):
        name = f"features/{dataset_name(number)}"
        layout = h5py.VirtualLayout((num_rows, *spec.shape), header.dtype)
        sources = [
            # HDF5 puts numbers in the place of a single "%b" in such a name.
            h5py.VirtualSource(
                part.file.replace("%", "%%"), name, (part.num_rows, *spec.shape), header.dtype
            )
            for part in row_map.parts
        ]
        for start, part_number, row, count in row_map.runs():
            layout[start : start + count] = sources[part_number][row : row + count]
        # Where a part is missing, HDF5 gives the fill value: it must not look like a feature.
        dataset = file.create_virtual_dataset(name, layout, fillvalue=np.nan)
        _describe_tap(dataset, spec, header)


def _write_failures(file: h5py.File, failures: Sequence[ImageFailure]) -> None:
    group = file.create_group("failures")
    _write_texts(group, "key", [f.key for f in failures])
    _write_texts(group, "reason", [f.reason for f in failures])
    for name in ("size", "mtime_ns"):
        dataset = _create_rows(group, name, (len(failures),), np.int64, COLUMN_CHUNK)
        if failures:
            dataset[:] = [getattr(failure, name) for failure in failures]
