"""Indexes that look in a part of their vectors: recall, changes, metrics, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featx.errors import IndexFileError, InvalidValue
from featx.events import Listener
from featx.index.building import build_index
from featx.index.choice import choose_kind
from featx.index.ivf import IvfSearch
from featx.index.kinds import Space
from featx.index.memory import least_memory
from featx.index.opening import open_index
from featx.index.options import IndexOptions
from featx.index.searching import search
from featx.index.vector_index import VectorIndex
from featx.index.verification import verify_index
from tests.index_files import edit_array, edit_description, read_array, split_file
from tests.store_samples import write_sample

COUNT, WIDTH = 1500, 24


def make_clusters(count: int, seed: int = 0) -> np.ndarray:
    centres = np.random.default_rng(1).normal(size=(60, WIDTH))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(0, 60, count)] + 0.4 * random.normal(size=(count, WIDTH))
    return rows.astype(np.float32)


def nearest(queries: np.ndarray, vectors: np.ndarray, count: int) -> np.ndarray:
    scaled = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, vectors)]
    return np.argsort(-(scaled[0] @ scaled[1].T), axis=1, kind="stable")[:, :count]


def recall(index: VectorIndex, queries: np.ndarray, vectors: np.ndarray) -> float:
    found = index.find(queries, 10).rows
    pairs = zip(found, nearest(queries, vectors, 10), strict=True)
    return float(np.mean([np.isin(line, exact).mean() for line, exact in pairs]))


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return make_clusters(COUNT)


@pytest.fixture(scope="module")
def store(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kinds") / "f.h5"
    write_sample(path, {"v": vectors})
    return path


@pytest.fixture(scope="module", params=["ivf", "ivf-rabitq"])
def built(store: Path, request: pytest.FixtureRequest) -> VectorIndex:
    return build_index(store, kind=request.param, output=store.with_name(f"{request.param}.faiss"))


def test_the_recall_that_is_told_is_that_of_fresh_queries(
    built: VectorIndex, vectors: np.ndarray
) -> None:
    measured = built.description.measured
    assert measured.recall >= 0.98
    assert measured.queries == COUNT // 4
    fresh = make_clusters(500, seed=7)
    assert recall(built, fresh, vectors) == pytest.approx(measured.recall, abs=0.015)


@pytest.mark.parametrize("kind", ["ivf", "ivf-rabitq"])
def test_as_many_matches_are_asked_for_as_when_recall_was_measured(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Numbers of lists to read depend on it: 48 of 49 may be in one list, and 49 in two."""
    asked, search_lists = [], IvfSearch.search

    def note_count(
        self: IvfSearch, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        asked.append(count)
        return search_lists(self, queries, count, allowed)

    monkeypatch.setattr(IvfSearch, "search", note_count)
    built = build_index(store, kind=kind, output=tmp_path / "i.faiss")
    measured = asked[-1]
    built.find(make_clusters(1, seed=7), 10)
    assert asked[-1] == measured


def test_no_more_is_looked_at_than_recall_needs(tmp_path: Path) -> None:
    scattered = np.random.default_rng(2).normal(size=(1000, 16)).astype(np.float32)
    write_sample(tmp_path / "f.h5", {"v": scattered})
    probes = []
    for goal in (0.3, 0.9):
        index = build_index(tmp_path / "f.h5", kind="ivf", min_recall=goal)
        assert goal <= index.description.measured.recall < 1
        probes.append(index.description.parameters["nprobe"])
    assert probes[0] < probes[1] < index.description.parameters["lists"]


def test_every_image_finds_itself_first(
    built: VectorIndex, store: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    found = built.find(vectors[::3], 3)
    assert found.rows[:, 0].tolist() == list(range(0, COUNT, 3))
    np.testing.assert_allclose(found.scores[:, 0], 1, atol=1e-5)
    alone = tmp_path / "alone.faiss"
    alone.write_bytes(built.path.read_bytes())
    edit_description(alone, store="gone.h5", store_relative="gone.h5")
    found = open_index(alone).find(vectors[::3], 1)  # Without the store, too.
    assert found.rows[:, 0].tolist() == list(range(0, COUNT, 3))


def test_exact_scores_where_the_store_is_here_and_a_note_where_not(
    store: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    index = build_index(store, kind="ivf-rabitq", output=tmp_path / "i.faiss")
    assert index.candidates > 0
    keys = [match.key for match in index.search_key("image_5.png", 3)]
    exact = nearest(vectors[5:6], vectors, 4)[0][1:]
    assert keys == [f"image_{row}.png" for row in exact]
    edit_description(index.path, store="gone.h5", store_relative="gone.h5")
    notes = Notes()
    report = search(keys=["image_5.png"], index=index.path, k=3, listener=notes)
    assert len(report.results[0].matches) == 3
    assert any("in the order of compressed vectors" in text for text in notes.texts)


def test_changes_are_taken_over_without_building_anew(
    vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, keys = tmp_path / "f.h5", [f"{number}.png" for number in range(COUNT)]
    write_sample(path, {"v": vectors}, keys)
    first = build_index(path, kind="ivf")
    changed = np.concatenate([vectors[100:], make_clusters(60, seed=3)])  # 100 gone, 60 new.
    names = ["renamed.png", *keys[101:], *(f"new_{number}.png" for number in range(60))]
    contents = [*keys[100:], *names[-60:]]
    write_sample(path, {"v": changed}, names, contents=contents)
    monkeypatch.setattr("featx.index.ivf.train_coder", None)
    second = build_index(path, kind="ivf", previous=first)
    assert second.description.measured.changed == 60
    assert second.description.measured.recall == first.description.measured.recall
    assert recall(second, make_clusters(200, seed=9), changed) >= 0.965
    assert second.search(changed[:1], 1)[0][0].key == "renamed.png"
    assert second.search(changed[-1:], 1)[0][0].key == "new_59.png"
    assert verify_index(second.path).is_intact
    assert len(second) == COUNT - 40


@pytest.mark.slow
def test_a_list_that_has_grown_is_trained_again_and_recall_measured(
    vectors: np.ndarray, tmp_path: Path
) -> None:
    path, notes = tmp_path / "f.h5", Notes()
    write_sample(path, {"v": vectors})
    first = build_index(path, kind="ivf")
    grown = np.concatenate([vectors, vectors[:1] + 0.2 * make_clusters(1500, seed=4)])
    write_sample(path, {"v": grown})
    second = build_index(path, kind="ivf", previous=first, listener=notes)
    assert any("had grown and were trained again" in text for text in notes.texts)
    assert second.description.parameters["lists"] > first.description.parameters["lists"]
    assert second.description.measured.changed == 0
    assert recall(second, grown[::40], grown) >= 0.97
    assert verify_index(second.path).is_intact


def test_verification_compares_with_the_store(store: Path, built: VectorIndex) -> None:
    assert verify_index(built.path).is_intact
    hashes = read_array(built.path, "vector_hashes").copy()
    other = built.path.with_name("other.faiss")
    other.write_bytes(built.path.read_bytes())
    hashes[3] += 1
    edit_array(other, "vector_hashes", hashes)
    (problem,) = verify_index(other).problems
    assert "1 of its vectors are not those of the store" in problem
    content = bytearray(other.read_bytes())
    content[split_file(other)[1]["arrays"]["lists"]["offset"] + 9] ^= 1
    other.write_bytes(content)
    assert "a block of 'lists'" in verify_index(other).problems[0]


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_other_metrics(store: Path, tmp_path: Path, kind: str, metric: str) -> None:
    with_scales = make_clusters(600) * np.linspace(0.5, 2, 600, dtype=np.float32)[:, None]
    write_sample(tmp_path / "f.h5", {"v": with_scales})
    index = build_index(tmp_path / "f.h5", kind=kind, metric=metric)  # type: ignore[arg-type]
    queries = make_clusters(20, seed=5)
    exact = queries @ with_scales.T
    if metric == "l2":
        exact = np.linalg.norm(queries[:, None] - with_scales, axis=2)
    sign = 1 if metric == "l2" else -1
    hits = 0
    for line, matches in zip(exact, index.search(queries, 5), strict=True):
        rows = [index.description.keys.index(match.key) for match in matches]
        hits += np.isin(rows, np.argsort(sign * line)[:5]).sum()
        np.testing.assert_allclose([m.score for m in matches], line[rows], rtol=0.02, atol=0.02)
    assert hits >= 0.95 * 100
    if metric == "l2":
        distances = [
            match.score for match in index.search(queries[:1], 9, threshold=exact[0].min())[0]
        ]
        assert len(distances) <= 1


def test_principal_components(vectors: np.ndarray, store: Path, tmp_path: Path) -> None:
    index = build_index(store, pca=8, whiten=True, output=tmp_path / "p.faiss")
    assert (index.width, index.description.options.pca) == (8, 8)
    projected = index.vectors(np.arange(COUNT))
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-5)
    assert index.search(vectors[7:8], 1)[0][0].key == "image_7.png"
    assert index.search_key("image_7.png", 3) == open_index(index.path).search_key("image_7.png", 3)
    with pytest.raises(InvalidValue, match="at most 24 principal components"):
        build_index(store, pca=25, output=tmp_path / "p.faiss")
    with pytest.raises(InvalidValue, match="whiten=True"):
        build_index(store, whiten=True, output=tmp_path / "p.faiss")


def test_auto_goes_by_time_and_memory() -> None:
    assert choose_kind("auto", 95_000, 1280, IndexOptions()) == "flat"
    assert choose_kind("auto", 1_000_000, 256, IndexOptions()) == "ivf"
    assert choose_kind("auto", 10_000, 256, IndexOptions(max_query_time=0.1)) == "ivf"
    assert choose_kind("auto", 10_000, 256, IndexOptions(max_memory=10**6)) == "ivf-rabitq"
    assert choose_kind("flat", 10**9, 256, IndexOptions(max_memory=1)) == "flat"


def test_the_memory_limit_bounds_what_lists_are_trained_on(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.index.memory.FEWEST_BYTES", 1)
    limit = least_memory(Space(COUNT, WIDTH)) + 2 * 20 * 4 * WIDTH  # Half is for 20 vectors.
    index = build_index(store, kind="ivf", max_memory=limit, output=tmp_path / "i.faiss")
    assert index.description.parameters["lists"] == 20
    assert index.description.measured.recall >= 0.98


def test_a_memory_limit_that_cannot_be_kept_is_said(store: Path, tmp_path: Path) -> None:
    notes = Notes()
    build_index(store, max_memory=10, output=tmp_path / "i.faiss", listener=notes)
    (note,) = notes.texts
    assert note.startswith("a search takes about 28.5 kB, building takes about 2")
    assert note.endswith("more than max_memory=10 allows")
    build_index(store, max_memory=10**9, output=tmp_path / "i.faiss", listener=notes)
    assert len(notes.texts) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("nprobe", 0), ("nprobe", 10**9), ("nprobe", "all"), ("candidates", "all")],
)
def test_parameters_that_a_stranger_wrote(
    store: Path, built: VectorIndex, tmp_path: Path, name: str, value: object
) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(built.path.read_bytes())
    edit_description(path, parameters={**built.description.parameters, name: value})
    with pytest.raises(IndexFileError, match="is damaged"):
        open_index(path)


@pytest.mark.parametrize(
    ("array", "value"),
    [("sizes", 2**31), ("centres", np.nan), ("vector_rows", 2**31), ("lists", 127)],
)
def test_numbers_that_a_stranger_wrote(
    built: VectorIndex, vectors: np.ndarray, tmp_path: Path, array: str, value: float
) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(built.path.read_bytes())
    edit_array(path, array, np.full_like(read_array(path, array), value))
    with pytest.raises(IndexFileError, match="is damaged"):
        open_index(path).find(vectors[:5], 10)


def test_equal_vectors_and_few(tmp_path: Path) -> None:
    for count in (1, 2, 40):
        write_sample(tmp_path / "f.h5", {"v": np.ones((count, 4), np.float32)})
        for kind in ("ivf", "ivf-rabitq"):
            index = build_index(tmp_path / "f.h5", kind=kind)
            found = index.find(np.ones((1, 4), np.float32), count).rows[0]
            assert sorted(found.tolist()) == list(range(count))
            assert index.description.measured.recall == 1
