"""Stores that somebody prepared: valid HDF5 files, sealed, but not as featx writes them."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.fuzzing.guard import ADDRESS, PIPE, SECRET_FILE
from benchmarks.fuzzing.mutations import mutate_json
from featx.images.roots import MEMORY
from featx.specs import FeatureSpec, ModelSpec, StorageType
from featx.store.rows import ContentsDigest, StoreHeader
from featx.store.seal import compute_seal, read_seal

Change = Callable[[h5py.File, random.Random], None]

GROUPS = ("features", "failures", "copies", "parts")
PLAIN_TYPES = ("float64", "float16", ">f4", "int8", "int64", "uint16", "bool", ">i8", "complex64")
HUGE = (10**10, 2**31, 2**40, 5000)

STORE_PATHS = (
    *(
        "../../secret.txt",
        "/etc/passwd",
        "../pipe",
        "x/../../secret.txt",
        "%b.parts/part-000000.h5",
    ),
    *("", ".", "/", "\n\x1b[31m", "con", ADDRESS, "file:///etc/passwd", "s3://b/k", "a::b://c"),
    *("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "x" * 5000, "ä" * 300),
)
"""Keys, classes, roots and parts that lead elsewhere, or mean something to other programs."""


# ---- where data are ----


def store_externally(file: h5py.File, draw: random.Random) -> None:
    """Say that the bytes of a column are in another file, or behind a pipe."""
    target = _outside(file, draw)
    name = _any_dataset(file, draw)
    external = [(target, draw.choice((0, 40)), draw.choice((h5py.h5f.UNLIMITED, 4096)))]
    _put(file, name, lambda n, shape, kind: file.create_dataset(n, shape, kind, external=external))


def link_externally(file: h5py.File, draw: random.Random) -> None:
    name = draw.choice((_any_dataset(file, draw), _any_group(file, draw)))
    del file[name]
    file[name] = h5py.ExternalLink(_outside(file, draw), draw.choice(("/x", "/", "/" + name)))


def link_softly(file: h5py.File, draw: random.Random) -> None:
    name = draw.choice((_any_dataset(file, draw), _any_group(file, draw)))
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink(draw.choice(("/elsewhere", "elsewhere", "/" + name, "/nothing")))


def link_in_a_ring(file: h5py.File, draw: random.Random) -> None:
    """Put a group into itself, or one dataset under two names."""
    name = draw.choice((_any_dataset(file, draw), _any_group(file, draw)))
    del file[name]
    file[name] = file[draw.choice(("/", _any_group(file, draw)))]


def make_virtual(file: h5py.File, draw: random.Random) -> None:
    source = draw.choice((_outside(file, draw), ".", "features.h5"))

    def make(name: str, shape: tuple[int, ...], kind: Any) -> h5py.Dataset:
        layout = h5py.VirtualLayout(shape, kind)
        layout[...] = h5py.VirtualSource(source, draw.choice(("x", name)), shape, kind)
        return file.create_virtual_dataset(name, layout)

    _put(file, _any_dataset(file, draw), make)


def make_virtual_of_any_size(file: h5py.File, draw: random.Random) -> None:
    def make(name: str, shape: tuple[int, ...], kind: Any) -> h5py.Dataset:
        most = (None, *shape[1:])
        layout = h5py.VirtualLayout(shape, kind, maxshape=most)
        source = h5py.VirtualSource(_outside(file, draw), "x", shape, kind, maxshape=most)
        layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
        return file.create_virtual_dataset(name, layout)

    _put(file, _any_dataset(file, draw), make)


# ---- what data are ----


def change_type(file: h5py.File, draw: random.Random) -> None:
    """Give a column another type, of those that NumPy has."""
    name = _any_dataset(file, draw)
    # Another order of bytes is the same type, as another machine writes it.
    native = file[name].dtype.newbyteorder("=")
    kinds = [np.dtype(kind) for kind in PLAIN_TYPES]
    kinds = [kind for kind in kinds if kind.newbyteorder("=") != native]
    kind = draw.choice([*kinds, np.dtype("S3")])
    if kind.kind == "S" and file[name].dtype.kind == "S":
        kind = np.dtype("int32")
    filled = draw.random() < 0.5

    def make(name: str, shape: tuple[int, ...], _: Any) -> h5py.Dataset:
        made = file.create_dataset(name, shape, kind, **_storage(shape, kind))
        if filled:
            made[...] = np.ones(shape).astype(kind)
        return made

    _put(file, name, make)


def make_type_of_hdf5(file: h5py.File, draw: random.Random) -> None:
    """Give a column a type of HDF5's own: of variable length, references, compounds, ..."""
    kinds = (
        h5py.string_dtype(),
        h5py.vlen_dtype(np.dtype("float32")),
        h5py.ref_dtype,
        h5py.regionref_dtype,
        np.dtype([("a", "i4"), ("b", h5py.string_dtype())]),
        np.dtype(("f4", (3,))),
        h5py.enum_dtype({"a": 1, "b": 2}, basetype="i4"),
        np.dtype("V7"),
        h5py.opaque_dtype(np.dtype("datetime64[ns]")),
    )
    kind = draw.choice(kinds)
    _put(file, _any_dataset(file, draw), lambda n, shape, _: file.create_dataset(n, shape, kind))


def make_named_type(file: h5py.File, draw: random.Random) -> None:
    name = _any_dataset(file, draw)
    file["a type"] = file[name].dtype
    storage = _storage(file[name].shape, file[name].dtype)
    _put(file, name, lambda n, shape, _: file.create_dataset(n, shape, file["a type"], **storage))
    if draw.random() < 0.5:
        del file["a type"]


def change_storage(file: h5py.File, draw: random.Random) -> None:
    """Store the same values with other filters, or in other chunks."""
    name = _any_dataset(file, draw)
    shape = file[name].shape
    options = draw.choice(
        (
            {"compression": "lzf"},
            {"compression": "gzip", "shuffle": True, "fletcher32": True},
            {"shuffle": True},
            {},
            {"maxshape": (None, *shape[1:]), "fletcher32": True},
            {"chunks": tuple(max(1, side // 2) for side in shape), "fletcher32": False},
            {"scaleoffset": 2} if file[name].dtype.kind in "iu" else {"track_times": True},
        )
    )
    values = file[name][()]
    _put(file, name, lambda n, *_: file.create_dataset(n, data=values, **options))


def change_shape(file: h5py.File, draw: random.Random) -> None:
    """Give a column more or fewer axes, or none."""
    name = _any_dataset(file, draw)
    shape, kind = file[name].shape, file[name].dtype
    other = draw.choice(
        ((), shape[:-1], (*shape, 1), (1, *shape), shape[::-1], (0, *shape[1:]), (1,) * 32, (0,))
    )
    if other == shape:
        other = (*shape, 2)
    empty = draw.random() < 0.2

    def make(name: str, *_: Any) -> h5py.Dataset:
        if empty:
            return file.create_dataset(name, data=h5py.Empty(kind))
        return file.create_dataset(name, other, kind, **_storage(other, kind))

    _put(file, name, make)


def claim_too_much(file: h5py.File, draw: random.Random) -> None:
    """Claim rows of which next to nothing is stored; in one column, or in all of them."""
    names = [_any_dataset(file, draw)] if draw.random() < 0.5 else _datasets(file)
    rows = draw.choice(HUGE)
    for name in names:
        shape, kind = file[name].shape, file[name].dtype
        width = shape[1:] if draw.random() < 0.8 else tuple(10**6 for _ in shape[1:])
        filters: dict[str, Any] = {"fletcher32": True}
        if kind.kind == "S":
            filters |= {"compression": "gzip", "compression_opts": 1}
        chunk = (draw.choice((1, min(4096, rows))), *width)
        with contextlib.suppress(ValueError):  # A chunk may not have 4 GiB.
            _put(
                file,
                name,
                lambda n, *_, w=width, k=kind, c=chunk, f=filters: file.create_dataset(
                    n, (rows, *w), k, chunks=c, **f
                ),
            )


def unpack_without_end(file: h5py.File, draw: random.Random) -> None:
    """Store text that is a thousand times as long as its bytes in the file."""
    name = draw.choice([name for name in _datasets(file) if file[name].dtype.kind == "S"])
    count = file[name].shape[0] if draw.random() < 0.5 else 2**22
    kind = np.dtype(f"S{draw.choice((1, 1000, 10**6))}")
    if count * kind.itemsize > 2**26:
        count = max(1, 2**26 // kind.itemsize)
    storage = {"chunks": (count,), "compression": "gzip", "fletcher32": True}

    def make(name: str, *_: Any) -> h5py.Dataset:
        made = file.create_dataset(name, (count,), kind, **storage)
        made[:1] = b"x"
        return made

    _put(file, name, make)


def swap_objects(file: h5py.File, draw: random.Random) -> None:
    """Put a group where data belong, data where a group belongs, or leave something out."""
    name = draw.choice((_any_dataset(file, draw), _any_group(file, draw)))
    is_group = isinstance(file[name], h5py.Group)
    other = _any_dataset(file, draw)
    way = draw.randrange(4)
    if way == 0:
        del file[name]
    elif way == 1 and name != other and not other.startswith(f"{name}/"):
        file.move(name, "first")
        file.move(other, name)
        file.move("first", other)
    else:
        del file[name]
        if is_group:
            file.create_dataset(name, (3,), "f4")
        else:
            file.create_group(f"{name}/{name}/deep")


# ---- what is said of data ----


def change_attribute(file: h5py.File, draw: random.Random) -> None:
    """Give an attribute another type or value, or leave it out."""
    owner = file[draw.choice(("/", _any_dataset(file, draw), _any_group(file, draw)))]
    names = [*owner.attrs, "more"]
    name = draw.choice(names)
    values = (
        *(1.5, np.nan, [1, 2], "text", b"\xff\xfe", np.zeros(3, "S4"), h5py.Empty("f4"), file.ref),
        *(np.zeros((2, 2), h5py.ref_dtype), -1, 2**62, np.bool_(True), np.array(b"x" * 65000)),
        *(np.array([(1, 2)], [("a", "i4"), ("b", "i4")]), "", np.array(b"\xff")),
    )
    owner.attrs.pop(name, None)
    if draw.random() < 0.8:
        with contextlib.suppress(OSError, RuntimeError, TypeError):
            owner.attrs[name] = draw.choice(values)


def change_description(file: h5py.File, draw: random.Random) -> None:
    """Put JSON of other types into every field of what describes model, layers and runs."""
    places = [(file, "model")]
    places += [(file[name], "spec") for name in _datasets(file) if "spec" in file[name].attrs]
    owner, name = draw.choice(places)
    if draw.random() < 0.3:
        column = draw.choice(("request", "runs"))
        text = mutate_json(json.loads(file[column][0]), draw)
        write_texts(file, column, [text.encode("utf-8", "surrogatepass")[: 10**6]])
        return
    text = mutate_json(json.loads(owner.attrs[name]), draw).encode("utf-8", "surrogatepass")
    set_text(owner, name, text[:60_000])


def lead_elsewhere(file: h5py.File, draw: random.Random) -> None:
    """Name models, pictures, keys, classes and parts that are elsewhere."""
    place = draw.choice(("root", "root_relative", "keys", "classes", "model", "parts", "failures"))
    hostile = draw.choice(STORE_PATHS).encode()
    if place in ("root", "root_relative"):
        set_text(file, "root", draw.choice((hostile, ADDRESS.encode(), MEMORY.text.encode())))
        set_text(file, "root_relative", hostile)
    elif place == "model":
        model = json.loads(file.attrs["model"])
        model["source"] = draw.choice(("hub", "savedmodel", "file", "keras", "onnx", "graphdef"))
        model["location"] = draw.choice((ADDRESS, "gs://bucket/model", "../secret.txt", "imagenet"))
        model["name"] = draw.choice((model["location"], "MobileNetV2", "../secret.txt"))
        set_text(file, "model", json.dumps(model).encode())
    else:
        names = {"failures": ("failures/key", "failures/reason"), "parts": ("parts/file",)}
        column = draw.choice(names.get(place, (place,)))
        if column not in file or not len(file[column]):
            column = "keys"
        texts = [bytes(text) for text in file[column][:]]
        texts[draw.randrange(len(texts))] = hostile or b"x"
        write_texts(file, column, texts)


def change_values(file: h5py.File, draw: random.Random) -> None:
    """Put values out of their range, or NaN, into a column; texts that are none."""
    name = _any_dataset(file, draw)
    if not len(file[name]) or file[name].is_virtual:
        return
    values, row = file[name][()], draw.randrange(len(file[name]))
    with np.errstate(all="ignore"):
        if values.dtype.kind == "S":
            values[row] = draw.choice((b"", b"\xff\xfe", values[0], b"\0x", b"\xed\xa0\x80", b"\n"))
        elif values.dtype.kind == "f":
            values[row] = draw.choice((np.nan, np.inf, -np.inf, 1e38, 1e-45))
        else:
            choices = (-1, -(2**31), 2**31 - 1, 2**62, 0, 255)
            values[row] = np.array(draw.choice(choices)).astype(values.dtype)
    file[name][...] = values


def change_numbers(file: h5py.File, draw: random.Random) -> None:
    """Change the numbers of the header."""
    name = draw.choice(("format_version", "single_file_limit", "next_part"))
    file.attrs[name] = draw.choice((-1, 0, 1, 3, 2**62, -(2**62), np.uint64(2**64 - 1), np.int8(2)))


MUST_BE_REFUSED: dict[str, Change] = {
    "external storage": store_externally,
    "external link": link_externally,
    "soft link": link_softly,
    "ring of links": link_in_a_ring,
    "virtual dataset": make_virtual,
    "virtual dataset of any size": make_virtual_of_any_size,
    "other type": change_type,
    "type of HDF5's own": make_type_of_hdf5,
    "named type": make_named_type,
    "claim": claim_too_much,
}
"""What featx never writes, wherever in a store."""

MAY_BE_READ: dict[str, Change] = {
    "other filters and chunks": change_storage,
    "other shape": change_shape,
    "text without end": unpack_without_end,
    "objects swapped": swap_objects,
    "attribute": change_attribute,
    "description": change_description,
    "addresses": lead_elsewhere,
    "values": change_values,
    "numbers": change_numbers,
}
"""What may be harmless, or the same as before."""


def prepare_store(path: Path, change: Change, draw: random.Random) -> None:
    """Change a store, and make its fingerprints and its seal those of what it is now."""
    seal = read_seal(path)
    assert seal is not None
    with h5py.File(path, "r+", locking=False) as file:
        change(file, draw)
        if change in MAY_BE_READ.values():  # Reading the others here would follow their links.
            with contextlib.suppress(Exception):  # What it is now may have none.
                _correct_fingerprints(file)
    with path.open("r+b") as raw:
        made = compute_seal(raw, seal.kind).to_bytes()
        raw.seek(0)
        raw.write(made)


def _correct_fingerprints(file: h5py.File) -> None:
    model = ModelSpec.from_dict(json.loads(file.attrs["model"]))
    layers = [file["features"][name] for name in sorted(file["features"])]
    specs = [FeatureSpec.from_dict(json.loads(layer.attrs["spec"])) for layer in layers]
    dtype: StorageType = file.attrs["dtype"].decode()
    header = StoreHeader(model, tuple(specs), dtype, MEMORY, "")
    set_text(file, "fingerprint", header.fingerprint.encode())
    for layer, spec in zip(layers, specs, strict=True):
        set_text(layer, "fingerprint", spec.fingerprint(model).encode())
    digest = ContentsDigest(header.fingerprint)
    if len(file["keys"]) < 10**5:
        digest.update([key.decode() for key in file["keys"][:].tolist()], file["content_hash"][:])
        set_text(file, "contents", digest.hexdigest().encode())


def set_text(owner: Any, name: str, text: bytes) -> None:
    """Write a text attribute of fixed length."""
    kind = h5py.string_dtype("utf-8", max(1, len(text)))
    owner.attrs.create(name, np.array(text, kind), dtype=kind)


def write_texts(file: h5py.File, name: str, texts: list[bytes]) -> None:
    """Replace a column of texts, stored as featx stores it."""
    kind = h5py.string_dtype("utf-8", max(1, *map(len, texts)))
    attributes = dict(file[name].attrs)
    del file[name]
    data = np.array(texts, kind)
    made = file.create_dataset(name, data=data, dtype=kind, **_storage(data.shape, data.dtype))
    made.attrs.update(attributes)


def _storage(shape: tuple[int, ...], kind: np.dtype) -> dict[str, Any]:
    """Return how featx would store rows of a shape and type."""
    if not shape or 0 in shape or kind.kind in "OV":
        return {}
    packed = {"compression": "gzip", "compression_opts": 1} if kind.kind == "S" else {}
    return {"chunks": tuple(min(4096, side) for side in shape), "fletcher32": True, **packed}


def _put(file: h5py.File, name: str, make: Callable[..., h5py.Dataset]) -> None:
    """Put another dataset in the place of one, with its attributes."""
    old = file[name]
    attributes, shape, kind = dict(old.attrs), old.shape, old.dtype
    del file[name]
    made = make(name, shape, kind)
    for key, value in attributes.items():
        made.attrs[key] = value


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
    return found


def _any_dataset(file: h5py.File, draw: random.Random) -> str:
    return draw.choice(_datasets(file))


def _any_group(file: h5py.File, draw: random.Random) -> str:
    return draw.choice([name for name in GROUPS if name in file])


def _outside(file: h5py.File, draw: random.Random) -> str:
    folder = Path(file.filename).parent.parent
    names = (str(folder / SECRET_FILE), f"../{SECRET_FILE}", str(folder / PIPE), f"../{PIPE}")
    return draw.choice((*names, str(folder / "none.h5"), "/dev/zero"))
