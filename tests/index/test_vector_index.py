"""The index against exact NumPy, its files, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from featx.errors import (
    DimensionMismatch,
    IndexFileError,
    InvalidType,
    InvalidValue,
    NotInstalled,
    StoreNotFound,
    UnknownName,
)
from featx.files import hash_file
from featx.index.building import build_index, is_current
from featx.index.container import Writer
from featx.index.opening import open_index
from featx.index.searching import search
from featx.index.vector_index import VectorIndex
from featx.sealed_json import seal
from featx.store import open_store
from tests.index_files import (
    edit_array,
    edit_description,
    join_file,
    split_file,
    write_version2,
)
from tests.store_samples import write_color, write_sample

VECTORS = np.array([[1, 0], [10, 0], [1, 1], [0, 3], [-2, 0], [0, 0]], np.float32)
"""Cosines to (1, 0): 1, 1, 0.7071, 0, -1, 0."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "f.h5"
    write_sample(
        path,
        {"map": np.arange(72, dtype=np.float32).reshape(6, 2, 2, 3), "vector": VECTORS},
        labels=["a", None, "a", "b", "b", None],
        root=tmp_path / "photos",
    )
    return path


@pytest.fixture
def index(store: Path) -> VectorIndex:
    return build_index(store)


def test_queries_may_be_lists(index: VectorIndex) -> None:
    values = VECTORS[:2]
    assert index.search(values.tolist(), 3) == index.search(values, 3)
    with pytest.raises(InvalidType, match="'queries' takes an array of numbers, or lists"):
        index.search([[1.0], [1.0, 2.0]])


def test_tables_are_equal_to_themselves(store: Path) -> None:
    with open_store(store) as opened:
        first, second = opened.table("vector"), opened.table("vector")
    assert first == first
    assert first != second
    assert len({first, first, second}) == 2


def find_store(index: VectorIndex) -> Path | None:
    return index.description.store.find(index.path.parent)


def query(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_ranks_scores_keys_labels_and_paths(index: VectorIndex, tmp_path: Path) -> None:
    (matches,) = index.search(query(5, 0), 6)
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5, 6]
    assert [match.score for match in matches] == pytest.approx([1, 1, 0.5**0.5, 0, 0, -1])
    assert {match.key for match in matches[:2]} == {"image_0.png", "image_1.png"}
    assert (matches[2].key, matches[2].label) == ("image_2.png", "a")
    assert (matches[5].key, matches[5].label) == ("image_4.png", "b")
    assert matches[2].path == str(tmp_path / "photos" / "image_2.png")
    assert len(index) == 6


def test_several_queries_and_threshold(index: VectorIndex) -> None:
    first, second = index.search(np.array([[1, 0], [0, 1]], np.float32), 3, threshold=0.5)
    assert [match.score for match in first] == pytest.approx([1, 1, 0.5**0.5])
    assert [(match.key, match.rank) for match in second] == [
        ("image_3.png", 1),
        ("image_2.png", 2),
    ]
    assert index.search(query(-1, -1), 6, threshold=0.99) == [[]]


def test_k(index: VectorIndex) -> None:
    assert [len(matches) for matches in index.search(VECTORS, 100)] == [6] * 6
    assert [len(matches) for matches in index.search(VECTORS, 1)] == [1] * 6
    for k in (0, -1):
        with pytest.raises(InvalidValue, match=f"'k' takes .* at least 1. Received: {k}"):
            index.search(VECTORS, k)
    for wrong in ("3", 3.0, None):
        with pytest.raises(InvalidType, match="'k' takes a whole number"):
            index.search(VECTORS, wrong)  # type: ignore[arg-type]


def test_zero_query_scores_zero_with_all(index: VectorIndex) -> None:
    (matches,) = index.search(query(0, 0), 10)
    assert [match.score for match in matches] == [0] * 6


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(index: VectorIndex, strange: float) -> None:
    with pytest.raises(InvalidValue, match="NaN or infinity"):
        index.search(query(1, strange), 3)


@pytest.mark.parametrize("shape", [(1, 3), (2,), (1, 2, 1)])
def test_wrong_width(index: VectorIndex, shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatch, match=r"2 values.*Received: shape="):
        index.search(np.zeros(shape, np.float32), 3)


def test_values_beyond_float32_squares(tmp_path: Path) -> None:
    values = np.array([[1e30, 1e30], [1e-30, 0]], np.float32)
    write_sample(tmp_path / "f.h5", {"v": values})
    (matches,) = build_index(tmp_path / "f.h5").search(query(0, 1e25), 2)
    assert [(match.key, match.score) for match in matches] == [
        ("image_0.png", pytest.approx(0.5**0.5)),
        ("image_1.png", pytest.approx(0)),
    ]


def cosine(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Exact cosines in float64, (Q, N); 0 for vectors of zeros."""
    scaled = []
    for rows in (queries.astype(np.float64), vectors.astype(np.float64)):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        scaled.append(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))
    return scaled[0] @ scaled[1].T


COARSE = st.integers(-3, 3).map(float)  # Draws are frequent.
FINE = st.floats(-1000, 1000, width=32)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.integers(1, 15))
def test_search_is_exact(
    data: st.DataObject, count: int, width: int, num_queries: int, k: int
) -> None:
    elements = data.draw(st.sampled_from([COARSE, FINE]))
    vectors = data.draw(npst.arrays(np.float32, (count, width), elements=elements))
    queries = data.draw(npst.arrays(np.float32, (num_queries, width), elements=elements))
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder) / "f.h5", {"v": vectors})
        built = build_index(Path(folder) / "f.h5")
        results = built.search(queries, k)
        assert open_index(Path(folder) / "f.faiss").search(queries, k) == results
    exact = cosine(queries, vectors)
    for line, matches in zip(exact, results, strict=True):
        rows = [built.description.keys.index(match.key) for match in matches]
        assert len(set(rows)) == len(rows) == min(k, count)
        scores = [match.score for match in matches]
        # Which of several equal vectors comes first is free; that each has its score is not.
        np.testing.assert_allclose(scores, np.sort(line)[::-1][: len(rows)], atol=2e-6)
        np.testing.assert_allclose(scores, line[rows], atol=2e-6)
        assert scores == sorted(scores, reverse=True)


def test_search_key_leaves_the_image_itself_out(index: VectorIndex) -> None:
    matches = index.search_key("image_0.png", 2)
    assert [(match.rank, match.key) for match in matches] == [
        (1, "image_1.png"),
        (2, "image_2.png"),
    ]
    assert [match.score for match in matches] == pytest.approx([1, 0.5**0.5])
    assert len(index.search_key("image_0.png", 100)) == 5
    assert [m.key for m in index.search_key("image_0.png", 9, threshold=0.5)] == [
        "image_1.png",
        "image_2.png",
    ]
    with pytest.raises(UnknownName, match="no image in the index named 'image_9.png'"):
        index.search_key("image_9.png")


def test_search_key_among_many_equal_images(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.ones((20, 3), np.float32)})
    index = build_index(tmp_path / "f.h5")
    for number in (0, 10, 19):
        keys = [match.key for match in index.search_key(f"image_{number}.png", 5)]
        assert len(set(keys)) == 5
        assert f"image_{number}.png" not in keys


# Building and files


def test_maps_are_pooled(store: Path, tmp_path: Path) -> None:
    maps = np.arange(72, dtype=np.float32).reshape(6, 2, 2, 3)
    for pool, vectors in [
        ("avg", maps.mean(axis=(1, 2))),
        ("max", maps.max(axis=(1, 2))),
        ("flatten", maps.reshape(6, 12)),
    ]:
        index = build_index(store, layer="map", pool=pool, output=tmp_path / f"{pool}.faiss")
        assert index.description.feature.pool == pool
        (matches,) = index.search(vectors[3:4], 6)
        expected = np.sort(cosine(vectors[3:4], vectors)[0])[::-1]
        np.testing.assert_allclose([match.score for match in matches], expected, atol=1e-6)
        assert open_index(tmp_path / f"{pool}.faiss").search(vectors[3:4], 6) == [matches]


@pytest.mark.parametrize(
    ("metric", "threshold", "reason"),
    [
        ("cosine", 1.5, "cosine similarity is from -1 to 1"),
        ("l2", -0.1, "compares by distance, which is 0 or more"),
    ],
)
def test_a_threshold_that_nothing_reaches_is_refused(
    store: Path, tmp_path: Path, metric: str, threshold: float, reason: str
) -> None:
    index = build_index(store, metric=metric, output=tmp_path / "i.faiss")
    for ask in (
        lambda: index.search(query(1, 0), threshold=threshold),
        lambda: index.search_key("image_0.png", threshold=threshold),
        lambda: search(keys=["image_0.png"], index=index.path, threshold=threshold),
    ):
        with pytest.raises(InvalidValue, match=rf"{reason}.*threshold={threshold}"):
            ask()


def test_keys_and_labels_are_sequences(index: VectorIndex) -> None:
    keys, labels = index.description.keys, index.description.labels
    assert (len(keys), keys[0], keys[-1], keys[2:4]) == (
        *(6, "image_0.png", "image_5.png"),
        ("image_2.png", "image_3.png"),
    )
    assert [keys.index(key) for key in keys] == list(range(6))
    assert ("image_3.png" in keys, "image_3" in keys, "" in keys, 3 in keys) == (
        *(True, False, False, False),
    )
    with pytest.raises(ValueError, match="not in the list"):
        keys.index("mage_3.png")
    with pytest.raises(IndexError):
        keys[6]
    assert (labels[1], labels[-2], labels[:3]) == (None, "b", ("a", None, "a"))


def test_keys_of_any_text_are_found(tmp_path: Path) -> None:
    keys = ["ü/ß.png", "a", "aa", "a b", "日本.png", "a\nb"]
    write_sample(tmp_path / "f.h5", {"v": np.eye(6, dtype=np.float32)}, keys)
    index = build_index(tmp_path / "f.h5")
    assert [index.row(key) for key in keys] == list(range(6))
    assert list(open_index(tmp_path / "f.faiss").description.keys) == keys


def test_default_path_and_description(store: Path, index: VectorIndex) -> None:
    assert index.path == store.with_name("f.faiss")
    _, data = split_file(index.path)
    assert data["format"] == "featx-index"
    assert data["metric"] == "cosine"
    assert list(index.description.keys) == [f"image_{number}.png" for number in range(6)]
    assert list(index.description.labels) == ["a", None, "a", "b", "b", None]
    assert data["fingerprint"] == index.description.fingerprint
    assert (data["store"], data["store_relative"]) == (str(store), "f.h5")
    assert data["root_relative"] == "photos"


def test_faiss_alone_reads_the_vectors(store: Path, index: VectorIndex) -> None:
    import faiss

    plain = faiss.read_index(str(store.with_name("f.faiss")))
    assert (plain.ntotal, plain.d) == (6, 2)
    np.testing.assert_allclose(
        plain.reconstruct_n(0, 6),
        [[1, 0], [1, 0], [0.5**0.5, 0.5**0.5], [0, 1], [-1, 0], [0, 0]],
        atol=1e-6,
    )


def test_is_current(store: Path, index: VectorIndex) -> None:
    assert is_current(index, store)
    write_sample(store, {"vector": VECTORS}, [f"other_{number}.png" for number in range(6)])
    assert not is_current(index, store)


def test_empty_store(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.zeros((0, 2), np.float32)})
    with pytest.raises(IndexFileError, match="holds no features"):
        build_index(tmp_path / "f.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_missing_store_layer_and_folder(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        build_index(tmp_path / "no.h5")
    with pytest.raises(UnknownName, match="map or vector"):
        build_index(store, layer="vectr")
    with pytest.raises(IndexFileError, match="there is no folder"):
        build_index(store, output=tmp_path / "no" / "f.faiss")


def test_nothing_else_is_overwritten(store: Path, tmp_path: Path) -> None:
    before = store.read_bytes()
    with pytest.raises(IndexFileError, match="is not an index; it is left alone"):
        build_index(store, output=store)
    store_named_faiss = shutil.copy(store, tmp_path / "g.faiss")
    with pytest.raises(IndexFileError, match="is not an index"):
        build_index(store_named_faiss)
    with pytest.raises(IndexFileError, match="is not an index"):
        build_index(store, output=store_named_faiss)
    assert store.read_bytes() == before == (tmp_path / "g.faiss").read_bytes()
    picture = write_color(tmp_path / "a.png", (1, 1, 1))
    with pytest.raises(IndexFileError, match="is not an index"):
        build_index(store, output=picture)


def test_old_indexes_are_replaced_even_damaged_ones(store: Path, index: VectorIndex) -> None:
    path = store.with_name("f.faiss")
    build_index(store, layer="map")
    assert open_index(path).description.feature.name == "map"
    content = path.read_bytes()
    for damaged in (b"", content[:60], content[:-1]):
        path.write_bytes(damaged)
        build_index(store)
    assert len(open_index(path)) == 6


def test_an_older_index_is_replaced_with_its_second_file(store: Path) -> None:
    path = write_version2(store)
    build_index(store)
    assert not Path(f"{path}.json").exists()
    write_version2(store)
    path.with_name("f.faiss.json").unlink()
    build_index(store)
    path.write_bytes(b"")
    build_index(store)
    assert len(open_index(path)) == 6


def test_failed_write_leaves_the_old_index(
    store: Path, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(writer: Writer, description: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Writer, "finish", full)
    with pytest.raises(IndexFileError, match=r"f\.faiss' cannot be written: No space left"):
        build_index(store, layer="map")
    assert open_index(store.with_name("f.faiss")).description.feature.name == "vector"
    assert len(list(store.parent.iterdir())) == 2


def test_missing_index(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="There is no index.*`featx.build_index` makes one"):
        open_index(tmp_path / "no.faiss")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def flip_vector(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def swap(path: Path) -> None:
    """Put the vectors of another store of the same size under these keys."""
    other = path.with_name("other.h5")
    write_sample(other, {"vector": VECTORS[::-1].copy()})
    write_version2(other).rename(path)


def edit(*, sealed: bool = True, **changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        description = path.with_name(f"{path.name}.json")
        data = json.loads(description.read_text(encoding="utf-8")) | changes
        data = seal(data) if sealed else data
        description.write_text(json.dumps(data), encoding="utf-8")

    return change


def edit_vectors(offset: int, value: bytes) -> Callable[[Path], None]:
    """Change FAISS's file, and the checksums with it."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[offset : offset + len(value)] = value
        path.write_bytes(data)
        edit(faiss_sha256=hash_file(path))(path)

    return change


def write_other_kind(path: Path) -> None:
    index = faiss.IndexFlatL2(2)
    index.add(VECTORS)
    faiss.write_index(index, str(path))
    edit(faiss_sha256=hash_file(path))(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "damaged"),
        (flip_vector, "damaged"),
        (swap, "belongs to another index"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_text("not an index"), "damaged"),
        (lambda path: path.with_name("f.faiss.json").unlink(), "'f.faiss.json' is beside it"),
        (lambda path: path.with_name("f.faiss.json").write_text("{"), "damaged"),
        (lambda path: path.with_name("f.faiss.json").write_text("{}"), "damaged"),
        (lambda path: path.with_name("f.faiss.json").write_bytes(b"\xff"), "damaged"),
        (edit(format="other"), "does not describe a featx index"),
        (edit(format_version=3), "version 3; this featx reads version 2. Update"),
        (edit(format_version=1), "version 1; this featx reads version 2. Build it again"),
        (edit(fingerprint="0"), "damaged"),
        (edit(keys=["a"], labels=[None]), "damaged"),
        (edit(labels=[]), "damaged"),
        (edit(model={}), "damaged"),
        (edit(labels=["b", None, "a", "b", "b", None], sealed=False), "not what was written"),
        (edit(sha256=None, sealed=False), "not what was written"),
        (edit(keys=[1, 2, 3, 4, 5, 6]), "damaged"),
        (edit(keys="abcdef"), "damaged"),
        (edit(labels=[1, None, 2, 3, 4, None]), "damaged"),
        (edit(root=None), "damaged"),
        (edit(kind=[]), "damaged"),
        (lambda path: path.with_name("f.faiss.json").write_text("[" * 100_000), "damaged"),
        (edit_vectors(4, (2**31 - 1).to_bytes(4, "little")), "holds other vectors"),
        (edit_vectors(8, (2**40).to_bytes(8, "little")), "holds other vectors"),
        (edit_vectors(37, (2**40).to_bytes(8, "little")), "holds other vectors"),
        (write_other_kind, "holds other vectors"),
    ],
)
def test_damaged_index_of_version_2(
    store: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(write_version2(store))
    with pytest.raises(IndexFileError, match=message):
        open_index(store.with_name("f.faiss"))


def test_an_index_of_version_2_finds_the_same(store: Path, index: VectorIndex) -> None:
    old = open_index(write_version2(store))
    assert old.search(VECTORS, 4) == index.search(VECTORS, 4)
    assert old.search_key("image_2.png", 3) == index.search_key("image_2.png", 3)


def shorten(name: str) -> Callable[[Path], None]:
    """Leave out the last row of an array."""

    def change(path: Path) -> None:
        arrays = split_file(path)[1]["arrays"]
        arrays[name]["shape"][0] -= 1
        edit_description(path, arrays=arrays)

    return change


def place(name: str, **changes: object) -> Callable[[Path], None]:
    """Change what the description says of an array."""

    def change(path: Path) -> None:
        arrays = split_file(path)[1]["arrays"]
        edit_description(path, arrays=arrays | {name: arrays[name] | changes})

    return change


def replace_text(text: str) -> Callable[[Path], None]:
    return lambda path: join_file(path, split_file(path)[0], text)


def edit_end(**changes: object) -> Callable[[Path], None]:
    return lambda path: edit_description(path, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_text("not an index"), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[-24:]), "no description"),
        (replace_text("{"), "damaged"),
        (replace_text("{}"), "damaged"),
        (replace_text("[" * 100_000), "damaged"),
        (edit_end(format="other"), "does not describe a featx index"),
        (edit_end(format_version=4), "version 4; this featx reads version 3. Update"),
        (edit_end(fingerprint="0"), "damaged"),
        (edit_end(model={}), "damaged"),
        (edit_end(sealed=False, metric="l2"), "not what was written"),
        (edit_end(root=None), "damaged"),
        (edit_end(kind=[]), "damaged"),
        (edit_end(recall=2), "recall is a number"),
        (edit_end(recall="1e999"), "recall is a number"),
        (edit_end(parameters=[]), "damaged"),
        (edit_end(options={"metric": "l3"}), "damaged"),
        (edit_end(options={"pca": 2}), "damaged"),
        (edit_end(arrays={}), "damaged"),
        (shorten("keys_starts"), "damaged"),
        (shorten("labels"), "damaged"),
        (shorten("content_hash"), "damaged"),
        (shorten("vectors"), "damaged"),
        (place("vectors", offset=2**50), "behind the end"),
        (place("vectors", offset=-1), "damaged"),
        (place("vectors", shape=[2**40, 2**40]), "behind the end"),
        (place("vectors", shape=[6, 2, 1]), "type or shape"),
        (place("vectors", dtype="<f8"), "type or shape"),
        (place("vectors", dtype="|O"), "type or shape"),
        (place("vectors", crc32=[]), "checksums"),
        (place("keys", dtype="<f4", shape=[1]), "damaged"),
        (place("labels", dtype="<f4", shape=[3]), "damaged"),
    ],
)
def test_damaged_index(index: VectorIndex, damage: Callable[[Path], object], message: str) -> None:
    damage(index.path)
    with pytest.raises(IndexFileError, match=message):
        open_index(index.path)


def test_a_flipped_byte_is_found_where_it_is_read(store: Path, index: VectorIndex) -> None:
    content = index.path.read_bytes()
    arrays = split_file(index.path)[1]["arrays"]
    readers: dict[str, Callable[[VectorIndex], object]] = {
        "vectors": lambda opened: opened.search(query(1, 0)),
        "keys": lambda opened: opened.row("image_3.png"),
        "keys_starts": lambda opened: opened.description.keys[2],
        "labels": lambda opened: opened.description.labels[0],
        "classes": lambda opened: opened.description.labels[0],
        "content_hash": lambda opened: build_index(store, output="x.faiss", previous=opened),
    }
    for name, read in readers.items():
        damaged = bytearray(content)
        damaged[arrays[name]["offset"] + 1] ^= 1
        index.path.write_bytes(damaged)
        opened = open_index(index.path)
        with pytest.raises(IndexFileError, match=f"a block of '{name}' is not what was written"):
            read(opened)
        with pytest.raises(IndexFileError, match=f"a block of '{name}' is not what was written"):
            open_index(index.path).verify()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("keys_starts", [1, 2**31, 3, 4, 5, 6, 7]),
        ("keys_starts", [9, 8, 7, 6, 5, 4, 3]),
        ("keys_starts", [0] * 7),
        ("labels", [9] * 6),
    ],
)
def test_names_that_a_stranger_wrote_are_refused_when_they_are_read(
    index: VectorIndex, name: str, values: list[int]
) -> None:
    edit_array(index.path, name, np.array(values))
    opened = open_index(index.path)
    with pytest.raises(IndexFileError, match="is damaged"):
        opened.search(query(1, 0))


@pytest.mark.parametrize(
    ("package", "remedy"),
    [("featx-tree", "pip install featx-tree"), (None, "It comes from a newer featx")],
)
def test_a_kind_of_index_that_is_not_installed_is_named(
    store: Path, index: VectorIndex, package: str | None, remedy: str
) -> None:
    edit_description(index.path, kind="tree", package=package)
    with pytest.raises(NotInstalled, match=rf"f\.faiss' needs the kind of index 'tree'.*{remedy}"):
        open_index(store.with_name("f.faiss"))
    with pytest.raises(NotInstalled, match=remedy):  # It is not replaced by one of another kind.
        search(keys=["image_0.png"], features=store)


def test_a_description_without_a_kind_is_that_of_a_flat_index(store: Path) -> None:
    write_version2(store)
    path = store.with_name("f.faiss.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data.pop("kind"), data.pop("package")) == ("flat", None)
    path.write_text(json.dumps(seal(data)), encoding="utf-8")
    opened = open_index(store.with_name("f.faiss"))
    assert (opened.description.kind, opened.summary) == ("flat", "exact")


def test_an_unknown_kind_is_refused(store: Path) -> None:
    with pytest.raises(UnknownName, match="no kind of index named 'tree'"):
        build_index(store, kind="tree")


@pytest.mark.parametrize("name", ["x" * 10_000, "a\0b"])
def test_locations_that_no_disk_can_hold(store: Path, index: VectorIndex, name: str) -> None:
    path = store.with_name("f.faiss")
    edit_description(path, root_relative=name, store=name, store_relative=name)
    opened = open_index(path)
    assert opened.root == index.root
    assert find_store(opened) is None
    assert len(opened.search(query(1, 0), 2)[0]) == 2


def test_moved_together(tmp_path: Path) -> None:
    old = tmp_path / "old"
    write_color(old / "photos" / "a.png", (1, 2, 3))
    values = {"v": np.ones((1, 2), np.float32)}
    write_sample(old / "f.h5", values, ["a.png"], root=old / "photos")
    build_index(old / "f.h5")
    shutil.copytree(old, tmp_path / "copy")
    index = open_index(tmp_path / "copy" / "f.faiss")  # Both exist: the nearer one counts.
    assert index.search(query(1, 1))[0][0].path == str(tmp_path / "copy" / "photos" / "a.png")
    assert find_store(index) == tmp_path / "copy" / "f.h5"
    shutil.rmtree(old)
    assert index.root.path == tmp_path / "copy" / "photos"


def test_index_moved_alone_finds_images_and_store(tmp_path: Path) -> None:
    write_color(tmp_path / "photos" / "a.png", (1, 2, 3))
    values = {"v": np.ones((1, 2), np.float32)}
    write_sample(tmp_path / "f.h5", values, ["a.png"], root=tmp_path / "photos")
    build_index(tmp_path / "f.h5")
    (tmp_path / "away").mkdir()
    (tmp_path / "f.faiss").rename(tmp_path / "away" / "f.faiss")
    index = open_index(tmp_path / "away" / "f.faiss")
    assert index.root.path == tmp_path / "photos"
    assert find_store(index) == tmp_path / "f.h5"
    (tmp_path / "f.h5").unlink()
    assert find_store(index) is None


@pytest.mark.parametrize("order", ["faiss h5py sklearn", "sklearn h5py faiss"])
def test_import_order_does_not_matter_and_tensorflow_stays_out(tmp_path: Path, order: str) -> None:
    # Two OpenMP runtimes in one process have crashed people's programs.
    script = textwrap.dedent(
        """
        import importlib, sys
        for name in sys.argv[2].split():
            importlib.import_module({"sklearn": "sklearn.linear_model"}.get(name, name))
        import featx
        featx.fit_head(sys.argv[1] + "/f.h5", kind="linear", output=sys.argv[1] + "/head")
        index = featx.build_index(sys.argv[1] + "/f.h5")
        print(index.search_key("image_0.png", 1)[0].key)
        print(featx.search(keys=["image_0.png"], features=sys.argv[1] + "/f.h5").index_size)
        print(sorted({"tensorflow", "keras"} & set(sys.modules)))
        """
    )
    random = np.random.default_rng(0)
    values = random.normal(size=(40, 8)).astype(np.float32)
    values[1] = values[0]
    write_sample(tmp_path / "f.h5", {"v": values}, labels=["a", "b"] * 20)
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), order],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["image_1.png", "40", "[]"]


def test_where_an_index_cannot_be_written_another_place_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.eye(3, dtype=np.float32)})

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("featx.index.making.replace_file", refuse)
    with pytest.raises(
        IndexFileError, match="Permission denied. Make room, or name another place: .*index="
    ):
        build_index(tmp_path / "f.h5")
    monkeypatch.undo()
    assert len(build_index(tmp_path / "f.h5", output=tmp_path / "other.faiss")) == 3
