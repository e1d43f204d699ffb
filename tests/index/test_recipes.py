"""Indexes as a factory string of FAISS says, and graphs."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from featx.errors import IndexFileError, InvalidValue
from featx.index.building import build_index
from featx.index.opening import open_index
from featx.index.summary import summarize_index
from featx.index.vector_index import VectorIndex
from featx.index.verification import verify_index
from tests.index.test_kinds import Notes, make_clusters, recall
from tests.index_files import edit_array, edit_description, read_array
from tests.store_samples import write_sample

COUNT = 800

RECIPES = (
    pytest.param("OPQ8,IVF16,PQ8", marks=pytest.mark.slow),
    "PCAR16,IVF16,PQ8x6",
    "RR24,IVF8,SQ6",
    "RaBitQ",
    "IVF16,Flat",
    "SQfp16",
    "HNSW16,SQ8",
)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return make_clusters(COUNT)


@pytest.fixture(scope="module")
def store(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "f.h5"
    write_sample(path, {"v": vectors})
    return path


@pytest.fixture(scope="module", params=RECIPES)
def built(store: Path, request: pytest.FixtureRequest) -> VectorIndex:
    return build(store, request.param)


def build(store: Path, factory: str) -> VectorIndex:
    """Return the index of a recipe, built once."""
    path = store.with_name(f"{factory.replace(',', '_')}.faiss")
    return open_index(path) if path.exists() else build_index(store, factory=factory, output=path)


def test_recall_is_reached_and_every_image_finds_itself(
    built: VectorIndex, vectors: np.ndarray
) -> None:
    assert built.description.kind == "factory"
    assert built.description.measured.recall >= 0.98
    fresh = make_clusters(300, seed=7)
    assert recall(built, fresh, vectors) == pytest.approx(
        built.description.measured.recall, abs=0.02
    )
    assert built.find(vectors[::5], 3).rows[:, 0].tolist() == list(range(0, COUNT, 5))
    assert len(set(built.find(vectors[:1], COUNT).rows[0].tolist())) >= 0.97 * COUNT
    assert verify_index(built.path).is_intact


def test_a_summary_names_the_string(store: Path) -> None:
    assert summarize_index(build(store, "IVF16,Flat"))["factory"] == "IVF16,Flat"


def test_codes_are_those_of_faiss(built: VectorIndex, vectors: np.ndarray) -> None:
    """What comes back of compressed vectors is as near as with FAISS's own index."""
    factory = built.description.options.factory
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    error = 0.0
    if factory not in ("HNSW16,SQ8", "RaBitQ"):
        own = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        if "PQ" in str(factory):
            faiss.downcast_index(own.index).do_polysemous_training = False
        own.train(scaled[: COUNT * 3 // 4])
        error = float(np.linalg.norm(own.sa_decode(own.sa_encode(scaled)) - scaled))
    received = built.vectors(np.arange(COUNT))
    allowed = 1.1 if factory == "RaBitQ" else 0.02  # Of bits, only directions come back.
    assert np.linalg.norm(received - scaled) <= 1.25 * error + allowed * np.sqrt(COUNT)


@pytest.mark.parametrize("recipe", ["PCA16,IVF16,PQ8x6", "HNSW16"])
def test_changes_are_taken_over(vectors: np.ndarray, tmp_path: Path, recipe: str) -> None:
    path, keys = tmp_path / "f.h5", [f"{number}.png" for number in range(COUNT)]
    write_sample(path, {"v": vectors}, keys)
    first = build_index(path, factory=recipe)
    changed = np.concatenate([vectors[100:], make_clusters(30, seed=3)])
    names = [*keys[100:], *(f"new_{number}.png" for number in range(30))]
    write_sample(path, {"v": changed}, names, contents=names)
    second = build_index(path, factory=recipe, previous=first)
    assert second.description.measured.changed == 30
    assert recall(second, make_clusters(200, seed=9), changed) >= 0.95
    assert second.search(changed[-1:], 1)[0][0].key == "new_29.png"
    assert verify_index(second.path).is_intact
    other = build_index(path, factory="IVF4,SQ8", previous=second)
    assert other.description.measured.changed == 0
    assert other.description.parameters["lists"] == 4


def test_a_graph_is_built_anew_when_much_was_removed(vectors: np.ndarray, tmp_path: Path) -> None:
    path, notes = tmp_path / "f.h5", Notes()
    write_sample(path, {"v": vectors[:400]})
    first = build_index(path, kind="hnsw")
    write_sample(path, {"v": vectors[:300]})
    second = build_index(path, kind="hnsw", previous=first, listener=notes)
    assert any("is built anew" in text for text in notes.texts)
    assert len(read_array(second.path, "rows")) == 300
    write_sample(path, {"v": vectors[:280]})
    third = build_index(path, kind="hnsw", previous=second)
    assert (read_array(third.path, "rows") == -1).sum() == 20
    found = third.find(vectors[:300], 28).rows
    assert found.max() < 280
    allowed = np.arange(280) % 2 == 1
    assert (third.find(vectors[:50], 20, allowed).rows % 2 == 1).all()


@pytest.mark.parametrize(
    ("array", "place", "value"),
    [
        ("links", 3, COUNT),
        ("links", 3, -2),
        ("levels", 5, 0),
        ("levels", 5, 200),
        ("graph", 0, COUNT),
        ("graph", 1, 17),
        ("rows", 2, 1),
        ("rows", 2, 2**40),
        ("rows", 2, -1),
        ("ranges", 0, np.nan),
    ],
)
def test_a_graph_that_a_stranger_wrote(
    store: Path, tmp_path: Path, array: str, place: int, value: float
) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(build(store, "HNSW16,SQ8").path.read_bytes())
    values = read_array(path, array).copy()
    values[place] = value
    edit_array(path, array, values)
    with pytest.raises(IndexFileError, match="is damaged"):
        open_index(path)


def test_links_to_lower_levels_are_refused(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(build(store, "HNSW16,SQ8").path.read_bytes())
    levels, links = read_array(path, "levels"), read_array(path, "links").copy()
    high = int(np.flatnonzero(levels > 1)[0])
    sizes = 32 + 16 * (levels.astype(int) - 1)
    links[sizes[:high].sum() + 32] = np.flatnonzero(levels == 1)[0]
    edit_array(path, "links", links)
    with pytest.raises(IndexFileError, match="lower level"):
        open_index(path)


@pytest.mark.parametrize("recipe", [None, "IVF16,SQ8", "PCAR16,IVF16,PQ4x6", "HNSW16", "IVF0,Flat"])
def test_another_recipe_than_that_of_the_arrays(store: Path, tmp_path: Path, recipe: str) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(build(store, "PCAR16,IVF16,PQ8x6").path.read_bytes())
    options = {"metric": "cosine", "factory": recipe}
    edit_description(path, options=options)
    with pytest.raises(IndexFileError, match="is damaged"):
        open_index(path)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ("IVF1024_HNSW32,Flat", "A factory string is"),
        ("no such", "A factory string is"),
        ("", "A factory string is"),
        ("IVF16,PQ0", "A factory string is"),
        ("IVF16,PQ7", "multiple of the number of subquantizers"),
        ("IVF4096,Flat", "At least 4,096 vectors are needed"),
        ("IVF4,PQ8x12", "At least 4,096 vectors are needed"),
        ("PCA25,IVF4,SQ8", "FAISS cannot compress 24 values so"),
    ],
)
def test_strings_that_cannot_be(store: Path, tmp_path: Path, recipe: str, why: str) -> None:
    with pytest.raises(InvalidValue, match=why) as caught:
        build_index(store, factory=recipe, output=tmp_path / "i.faiss")
    assert repr(recipe) in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not list(tmp_path.iterdir())


def test_a_string_is_in_place_of_a_kind(store: Path) -> None:
    with pytest.raises(InvalidValue, match="in place of a kind"):
        build_index(store, factory="SQ8", kind="ivf")
    with pytest.raises(InvalidValue, match="takes a factory string"):
        build_index(store, kind="factory")
