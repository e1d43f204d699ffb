"""Heads and indexes that somebody prepared: their hashes are right, what they hold is not."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np

import featx
from benchmarks.fuzzing.guard import ADDRESS, SECRET_FILE, VICTIM
from benchmarks.fuzzing.hostile_stores import STORE_PATHS
from benchmarks.fuzzing.mutations import mutate_json
from benchmarks.fuzzing.stored_files import (
    HEAD,
    INDEX,
    join_index,
    reseal_arrays,
    split_index,
)
from featx.sealed_json import seal
from featx.specs import FeatureSpec, ModelSpec

NOT_FINITE = (np.nan, np.inf, -np.inf)

Edit = Callable[[dict[str, Any], random.Random], None]


# ---- descriptions ----


def edit_description(path: Path, draw: random.Random, *, also: Edit | None = None) -> None:
    """Change JSON in every way, and make its fingerprint and its digest those of what it is now."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if also is not None:
        also(data, draw)
    else:
        text = mutate_json(data, draw)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            return
    write_description(path, data)


def write_description(path: Path, data: Any) -> None:
    """Write a description with the digests that belong to it."""
    try:
        feature, model = FeatureSpec.from_dict(data["feature"]), ModelSpec.from_dict(data["model"])
        data["fingerprint"] = feature.fingerprint(model)
    except Exception:  # It has none.
        pass
    try:
        data = seal(data)
    except Exception:  # Of half a surrogate pair, for example.
        pass
    path.write_bytes(json.dumps(data).encode("utf-8", "surrogatepass"))


def name_elsewhere(data: dict[str, Any], draw: random.Random) -> None:
    """Name a model, a store, pictures and files that are elsewhere."""
    hostile = draw.choice(STORE_PATHS)
    place = draw.choice(("model", "store", "root", "keys", "weights", "classes"))
    if place == "model":
        data["model"]["source"] = draw.choice(("hub", "savedmodel", "file", "keras", "onnx"))
        data["model"]["location"] = draw.choice((ADDRESS, "gs://b/m", f"../{SECRET_FILE}"))
        data["model"]["name"] = data["model"]["location"]
    elif place == "store" and isinstance(data.get("store"), dict):
        data["store"] |= {"path": hostile, "relative": f"../{SECRET_FILE}"}
    elif place == "weights" and "weights" in data:
        data["weights"] = draw.choice((f"../{SECRET_FILE}", "/dev/zero", "../pipe", "", ".", ".."))
    elif place == "keys" and "keys" in data:
        data["keys"][draw.randrange(len(data["keys"]))] = hostile
    elif place == "classes" and "classes" in data:
        data["classes"][draw.randrange(len(data["classes"]))] = hostile
    elif "root" in data:
        data["root"], data["root_relative"] = draw.choice((ADDRESS, "python:", hostile)), hostile
        data["keys"][0] = draw.choice((ADDRESS, f"../{SECRET_FILE}", hostile))


# ---- weights of a head ----


def _arrays(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    file = next((folder / HEAD).glob("*.npz"))
    with np.load(file) as arrays:
        return file, dict(arrays)


def _write_weights(folder: Path, content: bytes) -> None:
    """Write a file of weights, with its hash in the description."""
    (next((folder / HEAD).glob("*.npz"))).write_bytes(content)
    path = folder / HEAD / "head.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    write_description(path, data | {"weights_sha256": hashlib.sha256(content).hexdigest()})


def _save(folder: Path, arrays: Mapping[str, Any], **options: Any) -> None:
    content = io.BytesIO()
    np.savez(content, allow_pickle=True, **arrays)
    _write_weights(folder, content.getvalue())


def put_no_numbers(folder: Path, draw: random.Random) -> None:
    """Put NaN or infinity into the weights."""
    _, arrays = _arrays(folder)
    name = draw.choice([name for name, values in arrays.items() if values.dtype.kind == "f"])
    arrays[name].flat[draw.randrange(arrays[name].size)] = draw.choice(NOT_FINITE)
    _save(folder, arrays)


def put_extremes(folder: Path, draw: random.Random) -> None:
    """Put numbers into the weights of which sums are infinite, or divide by zero."""
    _, arrays = _arrays(folder)
    name = draw.choice([name for name, values in arrays.items() if values.dtype.kind == "f"])
    arrays[name][...] = draw.choice((3e38, -3e38, 0, 1e-45, -1))
    _save(folder, arrays)


def put_objects(folder: Path, draw: random.Random) -> None:
    """Put Python objects into the weights, which NumPy would unpickle."""
    _, arrays = _arrays(folder)
    victim = str(folder.parent / VICTIM / "written")
    arrays[draw.choice(list(arrays))] = np.array([_Writes(victim), 1], object)
    _save(folder, arrays)


class _Writes:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (self._path, "w")


def change_arrays(folder: Path, draw: random.Random) -> None:
    """Change types and shapes of the weights, leave some out, add others."""
    _, arrays = _arrays(folder)
    name = draw.choice(list(arrays))
    values = arrays[name]
    kinds = ("float64", "float16", ">f4", "int8", "complex64", "U4", "S4", "bool", "datetime64[s]")
    way = draw.randrange(5)
    if way == 0:
        with np.errstate(all="ignore"):
            arrays[name] = values.astype(draw.choice(kinds))
    elif way == 1:
        shapes = ((-1,), (1, *values.shape), values.shape[::-1], (*values.shape, 1))
        arrays[name] = values.reshape(draw.choice(shapes))
    elif way == 2:
        arrays[name] = draw.choice((values[:1], values[:0], np.array(1.0), np.zeros((2,) * 20)))
    elif way == 3:
        del arrays[name]
    else:
        arrays[draw.choice(("more", "file", "../x", "fitted_on"))] = np.zeros(3)
    _save(folder, {key.replace("file", "file2"): value for key, value in arrays.items()})


def change_members(folder: Path, draw: random.Random) -> None:
    """Change the zip file: compressed or encrypted members, other names and sizes, two of one."""
    _, arrays = _arrays(folder)
    content = io.BytesIO()
    way = draw.choice(("compressed", "name", "twice", "header", "bomb", "sizes"))
    with zipfile.ZipFile(content, "w") as archive:
        for name, values in arrays.items():
            data = io.BytesIO()
            np.save(data, values)
            member = zipfile.ZipInfo(f"{name}.npy")
            raw = data.getvalue()
            if way == "compressed":
                member.compress_type = draw.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            elif way == "name" and draw.random() < 0.5:
                member.filename = draw.choice((f"../{name}.npy", f"/{name}.npy", name, "x\\y.npy"))
            elif way == "header":
                raw = _other_header(raw, draw)
            elif way == "bomb":
                member.compress_type = zipfile.ZIP_DEFLATED
                raw = raw + bytes(2**23)
            archive.writestr(member, raw)
            if way == "twice":
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), raw[:-4] + b"\0\0\xc0\x7f")
    raw = content.getvalue()
    if way == "sizes":
        at = raw.rfind(b"PK\x01\x02")
        size = struct.pack("<I", draw.choice((0, 2**31, 2**32 - 1)))
        raw = raw[: at + 20] + size + size + raw[at + 28 :]
    _write_weights(folder, raw)


def _other_header(raw: bytes, draw: random.Random) -> bytes:
    """Return an array as NumPy writes it, with another header of the same length."""
    end = raw.index(b"\n")
    length = end - 10
    headers = (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000,), }",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        b"{'descr': [('a', '<f4')], 'fortran_order': True, 'shape': (), }",
        b"{'descr': '<f4', 'fortran_order': 3, 'shape': [3], }",
        b"(" * 60 + b")" * 60,
        b"__import__('os').system('true')",
    )
    return raw[:10] + draw.choice(headers)[:length].ljust(length) + raw[end:]


# ---- arrays of an index ----


def change_vectors(folder: Path, draw: random.Random) -> None:
    """Put NaN, infinity or huge numbers among the vectors."""
    arrays, data = split_index((folder / INDEX).read_bytes())
    place, content = data["arrays"]["vectors"], bytearray(arrays)
    at = place["offset"] + 4 * draw.randrange(place["shape"][0] * place["shape"][1])
    content[at : at + 4] = struct.pack("<f", draw.choice((*NOT_FINITE, 3e38, -3e38)))
    (folder / INDEX).write_bytes(reseal_arrays(bytes(content), data))


def change_numbers(folder: Path, draw: random.Random) -> None:
    """Put numbers in the place of others: where names begin, which class an image has."""
    arrays, data = split_index((folder / INDEX).read_bytes())
    place = data["arrays"][draw.choice(("keys_starts", "labels", "classes_starts"))]
    dtype, content = np.dtype(place["dtype"]), bytearray(arrays)
    at = place["offset"] + dtype.itemsize * draw.randrange(max(1, place["shape"][0]))
    most = np.iinfo(dtype).max
    number = draw.choice((0, 1, 2, 7, 255, most // 2, most - 1, most))
    content[at : at + dtype.itemsize] = dtype.type(number).tobytes()
    (folder / INDEX).write_bytes(reseal_arrays(bytes(content), data))


def change_places(folder: Path, draw: random.Random) -> None:
    """Say something else of an array: its type, shape, place or checksums."""
    arrays, data = split_index((folder / INDEX).read_bytes())
    place = data["arrays"][draw.choice(sorted(data["arrays"]))]
    place[draw.choice(("offset", "shape", "dtype", "crc32"))] = draw.choice(
        (0, -1, 2**40, 2**63, [], [0], [2**40, 2**40], [1, 1, 1], "<f4", "|u1", "|O", "<u8", None)
    )
    (folder / INDEX).write_bytes(join_index(arrays, json.dumps(seal(data)).encode()))


def put_version2(folder: Path, draw: random.Random) -> None:
    """Put an index of FAISS of any kind in the place of one of format version 2."""
    arrays, data = split_index((folder / INDEX).read_bytes())
    place = data["arrays"]["vectors"]
    vectors = np.frombuffer(arrays, np.float32, place["shape"][0] * 3, place["offset"])
    vectors = vectors.reshape(-1, 3)
    index_kind = draw.choice(("Flat", "HNSW4", "IVF2,Flat", "PCA2,Flat", "LSH", "SQ8"))
    metric = draw.choice((faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT))
    index = faiss.index_factory(3, index_kind, faiss.METRIC_L2 if index_kind == "LSH" else metric)
    faiss.omp_set_num_threads(1)
    index.train(vectors)
    index.add(vectors)
    content = bytearray(faiss.serialize_index(index).tobytes())
    if draw.random() < 0.5:  # What its header claims: width, count, metric, length.
        at = draw.choice((0, 4, 8, 32, 33, 37))
        content[at : at + 4] = draw.choice((0, 1, 23, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
    opened = featx.open_index(folder / INDEX)
    columns = {
        "format_version": 2,
        "keys": list(opened.description.keys),
        "labels": list(opened.description.labels),
        "content_hash": opened.content_hash().tobytes().hex(),
        "faiss_sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / INDEX).unlink()
    (folder / INDEX).write_bytes(content)
    write_description(folder / f"{INDEX}.json", data | columns)


def change_head_description(folder: Path, draw: random.Random) -> None:
    edit_description(folder / HEAD / "head.json", draw)


def lead_head_elsewhere(folder: Path, draw: random.Random) -> None:
    edit_description(folder / HEAD / "head.json", draw, also=name_elsewhere)


def change_index_description(folder: Path, draw: random.Random) -> None:
    _edit_index(folder, draw, None)


def lead_index_elsewhere(folder: Path, draw: random.Random) -> None:
    _edit_index(folder, draw, name_elsewhere)


def _edit_index(folder: Path, draw: random.Random, also: Edit | None) -> None:
    """Change the description of an index as if it were a file of its own."""
    arrays, data = split_index((folder / INDEX).read_bytes())
    path = folder / "description.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    edit_description(path, draw, also=also)
    (folder / INDEX).write_bytes(join_index(arrays, path.read_bytes()))
    path.unlink()


Change = Callable[[Path, random.Random], None]

HEAD_CHANGES: dict[str, tuple[Change, bool]] = {
    "NaN in weights": (put_no_numbers, True),
    "extreme weights": (put_extremes, False),
    "Python objects": (put_objects, True),
    "other arrays": (change_arrays, False),
    "zip members": (change_members, False),
    "description": (change_head_description, False),
    "addresses": (lead_head_elsewhere, False),
}
"""What is changed in a head, and whether it must be refused."""

INDEX_CHANGES: dict[str, tuple[Change, bool]] = {
    "vectors": (change_vectors, False),
    "numbers": (change_numbers, False),
    "places": (change_places, False),
    "version 2": (put_version2, False),
    "description": (change_index_description, False),
    "addresses": (lead_index_elsewhere, False),
}
"""What is changed in an index, and whether it must be refused."""
