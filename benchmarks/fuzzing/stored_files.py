"""Stores, heads and indexes made by featx itself, and damaged copies of them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import math
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import featx
from benchmarks.fuzzing.mutations import mutate_bytes, mutate_json
from benchmarks.fuzzing.supervisor import Case, OtherValues
from featx.index.files import MAGIC
from featx.index.summary import summarize_index
from featx.sealed_json import seal
from featx.store.seal import SEAL_BYTES, compute_seal
from featx.testing import toy_model, write_images

STORE, VIEW, HEAD, INDEX = "features.h5", "view.h5", "head", "features.faiss"

Reader = Callable[[Path], object]


def make_originals(folder: Path) -> None:
    """Extract pictures, two of them damaged; fit a head and build an index."""
    photos = folder / "photos"
    write_images(30, photos, classes=("dark", "grey", "light"))
    (photos / "dark" / "empty.png").touch()
    (photos / "dark" / "text.png").write_text("not a picture")
    for store, limit in ((STORE, None), (VIEW, 0)):
        featx.extract(
            photos,
            model=toy_model(),
            layers=["map", "mean", "head/double"],
            output=folder / store,
            single_file_limit=limit,
        )
    featx.fit_head(folder / STORE, layer="mean", output=folder / HEAD)
    featx.build_index(folder / STORE, layer="mean", output=folder / INDEX)


def file_cases(originals: Path, count: int, seed: int, seconds: float) -> list[Case]:
    """Damage stores, heads and indexes; half of the cases are stores: files, views and their parts.

    JSON and the files whose SHA-256 it names are also damaged with the hashes corrected
    ("resealed"): a checksum then does not keep the damage from the parsers. Such a file may well
    be read as what it says.
    """
    weights = next((originals / HEAD).glob("*.npz")).name
    store, head, index = Path(STORE), Path(HEAD), Path(INDEX)
    kinds: list[tuple[str, Path, Reader, Callable[[bytes, random.Random], bytes], Any]] = [
        ("head.json", head / "head.json", read_head, mutate_bytes, None),
        ("head.json, resealed", head / "head.json", read_head, _mutate_sealed_json, None),
        ("head's weights", head / weights, read_head, mutate_bytes, None),
        (
            "head's weights, resealed",
            head / weights,
            read_head,
            mutate_bytes,
            (head / "head.json", "weights_sha256"),
        ),
        ("index", index, read_index, mutate_bytes, None),
        ("index, resealed", index, read_index, mutate_arrays, None),
        ("index's description", index, read_index, mutate_description, None),
    ]
    (part,) = (path.relative_to(originals) for path in (originals / f"{VIEW}.parts").glob("*.h5"))
    stores: list[tuple[str, Path, Reader, Callable[[bytes, random.Random], bytes], Any]] = [
        ("store", store, read_store, mutate_bytes, None),
        ("store, resealed", store, read_store, _mutate_sealed_store, None),
        ("view", Path(VIEW), read_view, mutate_bytes, None),
        ("part of a view", part, read_view, mutate_bytes, None),
    ]
    readers = (read_store, read_view, read_head, read_index)
    expected = {reader: reader(originals) for reader in readers}
    cases = []
    for number in range(count):
        draw = random.Random(f"{seed}/file/{number}")
        if number % 2:
            kind, file, reader, mutate, hashed = stores[number // 2 % len(stores)]
        else:
            kind, file, reader, mutate, hashed = kinds[number // 2 % len(kinds)]
        changed = {file: mutate((originals / file).read_bytes(), draw)}
        if hashed is not None:
            description, field = hashed
            text = (originals / description).read_text(encoding="utf-8")
            sha256 = hashlib.sha256(changed[file]).hexdigest()
            changed[description] = _seal(json.loads(text) | {field: sha256})
        faithful = None if "resealed" in kind else expected[reader]
        name = f"{kind.replace(' ', '-')}-{number}"
        cases.append(
            Case(
                name=name,
                kind=kind,
                run=partial(_read_damaged, originals, changed, reader, faithful),
                save=partial(copy_damaged, originals, changed),
                seconds=seconds,
            )
        )
    return cases


def copy_damaged(originals: Path, changed: dict[Path, bytes], folder: Path) -> None:
    """Put originals with damaged files among them into a folder."""
    shutil.copytree(originals, folder, dirs_exist_ok=True, copy_function=_link)
    for file, data in changed.items():
        (folder / file).unlink()
        (folder / file).write_bytes(data)


def read_view(folder: Path) -> object:
    """Return everything that a view holds."""
    return read_store(folder, VIEW)


def read_store(folder: Path, name: str = STORE) -> object:
    """Return everything that a store holds."""
    with featx.open_store(folder / name) as store:
        tables = [store.table(layer, pool="flatten") for layer in store.layers]
        return (
            store.keys,
            store.labels,
            store.classes,
            _bytes(store.content_hash),
            _bytes(store.file_size),
            _bytes(store.file_mtime_ns),
            store.failures,
            store.fingerprint,
            store.contents,
            [(asdict(table.spec), table.fingerprint, _bytes(table.values)) for table in tables],
        )


def read_head(folder: Path) -> object:
    """Return everything that a head holds, and what it predicts for one vector."""
    head = featx.load_head(folder / HEAD)
    return (
        (head.kind, head.classes, asdict(head.feature), asdict(head.model), head.report),
        {name: _bytes(values) for name, values in head.weights.items()},
        _bytes(head.fitted_on),
        _bytes(head.predict_proba(np.full((1, 3), 0.5, np.float32))),
    )


def read_index(folder: Path) -> object:
    """Return everything that an index holds, and what is like one vector."""
    index = featx.open_index(folder / INDEX)
    (matches,) = index.search(np.array([[0.5, 0.25, 0.125]], np.float32), len(index) or 1)
    # The path of the pictures depends on the folder that the index was copied to.
    found = [(match.rank, match.key, match.score, match.label) for match in matches]
    described = summarize_index(index) | {"output": None, "bytes": None}
    columns = [list(index.description.keys), list(index.description.labels)]
    return described, columns, index.content_hash().tobytes(), found


def _read_damaged(
    originals: Path, changed: dict[Path, bytes], reader: Reader, faithful: object
) -> None:
    """Read a damaged copy; what is read must be the original, unless `faithful` is None."""
    folder = _scratch(originals)
    copy_damaged(originals, changed, folder)
    value = reader(folder)
    if faithful is not None and value != faithful:
        raise OtherValues(_first_difference(faithful, value))


@functools.cache
def _scratch(originals: Path) -> Path:
    """Return a folder of this process's own: each case leaves the files of the next ones there."""
    return originals.with_name(f"case-{os.getpid()}")


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    os.link(source, target)


FOOTER = struct.Struct("<QI4x8s")
"""The end of an index: length of its description, CRC-32 of that, magic."""

BLOCK = 256 << 10
"""Bytes of an array of an index under one checksum."""


def split_index(content: bytes) -> tuple[bytes, Any]:
    """Return the arrays of an index, and its description."""
    length, _, _ = FOOTER.unpack(content[-FOOTER.size :])
    end = len(content) - FOOTER.size - length
    return content[:end], json.loads(content[end : -FOOTER.size])


def join_index(arrays: bytes, description: bytes) -> bytes:
    """Return an index of arrays and of a description that is JSON, or not."""
    return arrays + description + FOOTER.pack(len(description), zlib.crc32(description), MAGIC)


def reseal_arrays(arrays: bytes, data: Any) -> bytes:
    """Return an index with the checksums that changed arrays have."""
    for place in data["arrays"].values():
        count = math.prod(place["shape"]) * np.dtype(place["dtype"]).itemsize
        content = arrays[place["offset"] : place["offset"] + count]
        place["crc32"] = [
            zlib.crc32(content[start : start + BLOCK]) for start in range(0, count, BLOCK)
        ]
    return join_index(arrays, json.dumps(seal(data)).encode())


def mutate_arrays(content: bytes, draw: random.Random) -> bytes:
    """Change bytes of the arrays of an index, and correct their checksums."""
    arrays, data = split_index(content)
    return reseal_arrays(mutate_bytes(arrays, draw), data)


def mutate_description(content: bytes, draw: random.Random) -> bytes:
    """Change the structure of the description of an index, and correct its checksums."""
    arrays, data = split_index(content)
    return join_index(arrays, _mutate_sealed_json(json.dumps(data).encode(), draw))


def _mutate_sealed_json(data: bytes, draw: random.Random) -> bytes:
    """Change the structure of a description, and correct its own checksum if it has one."""
    text = mutate_json(json.loads(data), draw)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text.encode("utf-8", "surrogatepass")
    return _seal(value)


def _mutate_sealed_store(data: bytes, draw: random.Random) -> bytes:
    """Damage a store behind its seal, and seal it again."""
    damaged = bytes(SEAL_BYTES) + mutate_bytes(data[SEAL_BYTES:], draw)
    seal = compute_seal(io.BytesIO(damaged), "data").to_bytes()
    return seal + damaged[SEAL_BYTES:]


def _seal(description: Any) -> bytes:
    if isinstance(description, dict):
        # Half a surrogate pair and NaN have no digest; no file of featx's holds one.
        with contextlib.suppress(ValueError):
            description = seal(description)
    return json.dumps(description).encode()


def _bytes(values: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return str(values.dtype), values.shape, values.tobytes()


def _first_difference(expected: Any, received: Any) -> str:
    """Describe the first difference of two values."""
    if isinstance(expected, dict) and isinstance(received, dict):
        expected, received = list(expected.items()), list(received.items())
    if isinstance(expected, (list, tuple)) and isinstance(received, (list, tuple)):
        for left, right in zip(expected, received, strict=False):
            if left != right:
                return _first_difference(left, right)
    return f"{str(expected)[:200]} was read as {str(received)[:200]}"
