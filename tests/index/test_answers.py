"""Matches within filters, without copies, diverse, in pages; against all pairs in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import IndexFileError, InvalidValue, UnknownName
from featx.events import Listener
from featx.index.building import build_index
from featx.index.opening import open_index
from featx.index.searching import search
from tests.store_samples import write_color, write_sample

COUNT, WIDTH = 600, 24


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Clustered vectors, of which row 1 is a near-copy of row 0 and row 2 another file like it."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(12, WIDTH))
    made = centres[np.arange(COUNT) % 12] + 0.4 * random.normal(size=(COUNT, WIDTH))
    made[1] = made[0] + 0.001 * random.normal(size=WIDTH)
    made[2] = made[0]
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def store(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "f.h5"
    write_sample(
        path,
        {"v": vectors},
        [f"{'ab'[row % 2]}/{row}.png" for row in range(COUNT)],
        labels=[f"class {row % 12}" if row % 5 else None for row in range(COUNT)],
        contents=["0" if row == 2 else str(row) for row in range(COUNT)],
    )
    return path


@pytest.fixture(scope="module", params=["flat", "ivf", "ivf-rabitq"])
def index(request: pytest.FixtureRequest, store: Path) -> Path:
    path = store.with_name(f"{request.param}.faiss")
    build_index(store, kind=request.param, output=path)
    return path


def cosines(vectors: np.ndarray) -> np.ndarray:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(units @ units.T)


def rows_found(index: Path, rows: list[int], **options: Any) -> list[list[int]]:
    keys = [f"{'ab'[row % 2]}/{row}.png" for row in rows]
    report = search(keys=keys, index=index, **options)
    return [[int(m.key[2:-4]) for m in result.matches] for result in report.results]


FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "label": ({"label": "class 7"}, lambda row: row % 12 == 7 and row % 5),
    "labels": ({"label": ["class 7", "class 3"]}, lambda row: row % 12 in (3, 7) and row % 5),
    "folder": ({"path": "a"}, lambda row: row % 2 == 0),
    "glob": ({"path": "b/1*.png"}, lambda row: row % 2 and str(row)[0] == "1"),
    "condition": (
        {"where_column": "label is None and key > 'b'"},
        lambda row: row % 5 == 0 and row % 2,
    ),
    "all": (
        {"label": "class 7", "path": "*7.png"},
        lambda row: row % 12 == 7 and row % 5 and row % 10 == 7,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_brute_force_among_the_images_they_leave(
    name: str, index: Path, vectors: np.ndarray
) -> None:
    options, holds = FILTERS[name]
    allowed = [row for row in range(COUNT) if holds(row)]
    similar = cosines(vectors)
    asked = [5, 0, 7, 244]
    for row, found in zip(asked, rows_found(index, asked, k=10, **options), strict=True):
        others = [other for other in allowed if other != row]
        expected = sorted(others, key=lambda other: -similar[row, other])[:10]
        scores = [similar[row, other] for other in found]
        assert scores == pytest.approx([similar[row, other] for other in expected], abs=1e-5)
        assert set(found) <= set(others)


def test_filters_of_many_images_find_as_many_as_are_asked_for(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.index.answering.EXACT_ROWS", 4)
    for options in ({"label": "class 7"}, {"path": "a"}):
        (found,) = rows_found(index, [5], k=30, **options)
        assert len(set(found)) == 30


@pytest.mark.parametrize("path", ["a", "b/1*.png", "[a]"])
def test_globs_leave_the_same_of_many_images(
    index: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    few = rows_found(index, [5], k=30, path=path)
    monkeypatch.setattr("featx.index.filtering.MANY", 1)
    assert len(few[0]) == 30
    assert rows_found(index, [5], k=30, path=path) == few


def test_filters_that_leave_nothing_or_do_not_exist(index: Path) -> None:
    notes = Notes()
    assert rows_found(index, [5], path="no such", listener=notes) == [[]]
    assert notes.texts == ["the filters leave 0 of 600 images"]
    with pytest.raises(UnknownName, match="no class in the index named 'class 77'"):
        rows_found(index, [5], label="class 77")
    with pytest.raises(UnknownName, match="no split in the store"):
        rows_found(index, [5], split="train")
    with pytest.raises(InvalidValue, match="cannot be read"):
        rows_found(index, [5], where_column="label = 3")


def test_columns_need_the_store_as_it_was(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "f.h5"
    copy.write_bytes(store.read_bytes())
    build_index(copy, output=tmp_path / "f.faiss")
    copy.unlink()
    assert rows_found(tmp_path / "f.faiss", [5], k=1, label="class 7")[0]
    with pytest.raises(IndexFileError, match="are in the store"):
        rows_found(tmp_path / "f.faiss", [5], where_column="label is None")


def test_pages_are_the_list_in_pieces(index: Path) -> None:
    (whole,) = rows_found(index, [5], k=30)
    pages = [rows_found(index, [5], k=10, skip=start)[0] for start in (0, 10, 20)]
    assert [row for page in pages for row in page] == whole
    (result,) = search(keys=["b/5.png"], index=index, k=2, skip=10).results
    assert [match.rank for match in result.matches] == [11, 12]
    assert rows_found(index, [5], k=10, skip=COUNT) == [[]]


def test_unique_leaves_out_near_copies_and_groups_identical_files(index: Path) -> None:
    query = "a/12.png"
    plain = search(keys=[query], index=index, k=60).results[0].matches
    assert {"a/0.png", "b/1.png", "a/2.png"} <= {match.key for match in plain}
    unique = search(keys=[query], index=index, k=60, unique=True).results[0].matches
    kept = {match.key for match in unique} & {"a/0.png", "b/1.png", "a/2.png"}
    assert len(kept) == 1
    assert len(unique) == 60
    identical = search(keys=[query], index=index, k=60, unique=True, path="a").results[0]
    (group,) = [m for m in identical.matches if m.key in ("a/0.png", "a/2.png")]
    assert {group.key, *group.copies} == {"a/0.png", "a/2.png"}


def test_diverse_is_maximal_marginal_relevance(store: Path, vectors: np.ndarray) -> None:
    """The definition of Carbonell and Goldstein (1998), candidate by candidate."""
    similar = cosines(vectors)
    path = store.with_name("diverse.faiss")
    build_index(store, kind="flat", output=path)
    pool = sorted((row for row in range(COUNT) if row != 5), key=lambda row: -similar[5, row])[:20]
    chosen: list[int] = []
    for _ in range(4):
        best = max(
            (row for row in pool if row not in chosen),
            key=lambda row: (
                0.5 * similar[5, row]
                - 0.5 * max((similar[row, other] for other in chosen), default=0)
            ),
        )
        chosen.append(best)
    assert rows_found(path, [5], k=4, diverse=True) == [chosen]


def test_sums_of_keys_are_sums_of_unit_vectors(store: Path, vectors: np.ndarray) -> None:
    path = store.with_name("sums.faiss")
    build_index(store, kind="flat", output=path)
    report = search(keys=["b/5.png"], add=["2:a/8.png"], subtract="b/11.png", index=path, k=5)
    (result,) = report.results
    assert result.terms == ("+2:a/8.png", "-b/11.png")
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    total = units[5] + 2 * units[8] - units[11]
    scores = units @ total / np.linalg.norm(total)
    order = [row for row in np.argsort(-scores) if row not in (5, 8, 11)][:5]
    assert [int(match.key[2:-4]) for match in result.matches] == order
    assert [m.score for m in result.matches] == pytest.approx(scores[order].tolist(), abs=1e-5)


def test_an_index_without_its_store_adds_its_own_vectors(store: Path, tmp_path: Path) -> None:
    build_index(store, output=tmp_path / "plain.faiss", kind="flat")
    build_index(store, output=tmp_path / "pca.faiss", pca=8)
    for name in ("plain", "pca"):
        assert len(open_index(tmp_path / f"{name}.faiss")) == COUNT
        found = search(
            keys=["b/5.png"], add="a/8.png", index=tmp_path / f"{name}.faiss", k=3
        ).results[0]
        assert len(found.matches) == 3


def test_keywords_of_search_are_groups(index: Path) -> None:
    match = featx.MatchOptions(skip=1)
    one = search(keys=["b/5.png"], index=index, k=2, match=match)
    assert one == search(keys=["b/5.png"], index=index, k=2, skip=1)


@pytest.fixture
def priced(toy: str, photos: Path, tmp_path: Path) -> Path:
    """Fifty pictures with a split and columns, of which some values are missing."""
    lines = ["path,label,split,price,maker's name"]
    for row in range(50):
        write_color(photos / f"{row}.png", (5 * row, 250 - 3 * row, (77 * row) % 256))
        price = "" if row % 7 == 0 else str(row / 2)
        lines.append(f"{row}.png,{'abc'[row % 3]},{['train', 'test'][row % 2]},{price},o'{row % 4}")
    (photos / "m.csv").write_text("\n".join(lines))
    featx.extract(photos / "m.csv", model=toy, layers=["mean"], output=tmp_path / "f.h5")
    return tmp_path / "f.h5"


def test_an_unknown_class_is_answered_with_those_that_there_are(priced: Path) -> None:
    with pytest.raises(UnknownName, match=r"named 'nope'\. What there is: a, b and c\."):
        search(keys=["8.png"], features=priced, label="nope")
    with pytest.raises(UnknownName, match=r"named 'nope'\. What there is: test and train\."):
        search(keys=["8.png"], features=priced, split="nope")


@pytest.mark.parametrize("kind", ["flat", "ivf", "ivf-rabitq"])
def test_splits_columns_and_labels_together(kind: str, priced: Path) -> None:
    path = priced.with_name(f"{kind}.faiss")
    build_index(priced, kind=kind, output=path)
    with featx.open_store(priced) as opened:
        similar = cosines(opened.to_numpy())
        places = [int(key[:-4]) for key in opened.keys]
    options = {
        "split": "test",
        "label": ["a", "b"],
        "where_column": 'price < 20 and `maker\'s name` in ("o\'1", "o\'3")',
        "path": "[1-3]*.png",
    }
    (result,) = search(keys=["8.png"], index=path, k=50, **options).results
    allowed = [
        row
        for row in range(50)
        if row % 2 and row % 3 < 2 and row % 7 and row / 2 < 20 and str(row)[0] in "123"
    ]
    me = places.index(8)
    expected = sorted(allowed, key=lambda row: -similar[me, places.index(row)])
    assert [int(match.key[:-4]) for match in result.matches] == expected
