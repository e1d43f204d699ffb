"""Indexes of format version 2: plain vectors in FAISS's format, all else in a file of JSON beside.

Kinds that other packages add wrote files of their own then: such an index is built again.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import AddOnError, IndexFileError, NotInstalled
from featx.files import HASH_BYTES, hash_file
from featx.index.container import MappedArray, Place, damaged
from featx.index.description import IndexDescription, check_version, read_identity
from featx.index.files import description_path
from featx.index.flat import FlatSearch, flat, flat_header
from featx.index.kinds import INDEXES
from featx.sealed_json import check_seal, check_texts, parse_json
from featx.wording import command

VERSION = 2


def open_version2(path: Path) -> tuple[FlatSearch, IndexDescription]:
    """Open such an index. Its bytes are compared with their SHA-256, which reads all of them.

    Raises:
        IndexFileError: If it is damaged, of another version, or of a kind without plain vectors.
        NotInstalled: If it is of a kind that is not installed here.
    """
    described = description_path(path)
    try:
        data = parse_json(described.read_text(encoding="utf-8"))
        check_version(str(described), data, VERSION)
        check_seal(data)
        description = _read(data)
        INDEXES.restore(description.kind, f"The index {str(path)!r}", data.get("package"))
        sha256 = str(data["faiss_sha256"])
    except (IndexFileError, NotInstalled, AddOnError):
        raise
    except Exception as error:  # Deep nesting raises RecursionError, for example.
        raise damaged(described, error) from error
    if hash_file(path) != sha256:
        raise damaged(path, f"or {described.name!r} belongs to another index")
    if INDEXES[description.kind] is not flat:
        raise IndexFileError(
            f"{str(path)!r} was written by an earlier version in the format of its kind, "
            f"{description.kind!r}. Build it again with {command('index')}."
        )
    return _map_vectors(path, description), description


def _read(data: dict[str, Any]) -> IndexDescription:
    named = [label for label in data["labels"] if label is not None]
    check_texts(named)
    hashes = np.frombuffer(bytes.fromhex(data["content_hash"]), np.uint8)
    kind = data.get("kind", "flat")  # Absent until there were several.
    description = IndexDescription(
        keys=check_texts(data["keys"]),
        labels=tuple(data["labels"]),
        content_hash=hashes.reshape(-1, HASH_BYTES),
        kind=kind,
        requested_kind=kind,
        **read_identity(data),
    )
    description.check(data["fingerprint"])
    return description


def _map_vectors(path: Path, description: IndexDescription) -> FlatSearch:
    space = description.space
    header = flat_header(space)
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    place = Place("<f4", (space.count, space.width), len(header), ())
    # All but the two numbers without meaning.
    begins = np.frombuffer(content[: len(header)].ljust(len(header)), np.uint8)
    is_meant = (begins == header)[[*range(16), *range(32, len(header))]].all()
    if not is_meant or len(content) != len(header) + place.num_bytes:
        raise damaged(path, "it holds other vectors than its description says")
    return FlatSearch(MappedArray(path, "vectors", place, content, is_checked=True), space)
