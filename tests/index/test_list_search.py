"""Many queries at once, list by list: they find what each finds alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from featx.errors import IndexFileError
from featx.index.building import build_index
from featx.index.list_search import SHARED
from featx.index.lists import CodeFile
from featx.index.opening import open_index
from featx.index.vector_index import VectorIndex
from tests.index.test_kinds import Notes
from tests.index_files import edit_array, read_array
from tests.store_samples import write_sample

COUNT, WIDTH = 2000, 16


@dataclass(frozen=True)
class Case:
    """An index, and queries of which several look into each list."""

    index: VectorIndex
    queries: np.ndarray


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("lists") / "f.h5"
    write_sample(path, {"v": random.normal(size=(COUNT, WIDTH)).astype(np.float32)})
    return path


@pytest.fixture(scope="module", params=["SQ8", "RR12,SQ6", "Flat"])
def case(request: pytest.FixtureRequest, store: Path) -> Case:
    *transforms, code = request.param.split(",")
    asked = {"factory": ",".join([*transforms, "IVF20", code]), "min_recall": 0.6}
    index = build_index(store, output=store.with_name(f"{code}.faiss"), **asked)
    random = np.random.default_rng(6)
    queries = random.normal(size=(SHARED * 20, WIDTH)).astype(np.float32)
    return Case(index, queries)


@pytest.mark.parametrize("share", [None, 0.3])
def test_many_queries_find_what_each_finds_alone(case: Case, share: float | None) -> None:
    allowed = None if share is None else np.random.default_rng(4).random(COUNT) < share
    scores, rows = case.index.find(case.queries, 25, allowed)
    assert allowed is None or allowed[rows[rows >= 0]].all()
    some = range(0, len(case.queries), 40)
    alone = [case.index.find(case.queries[line : line + 1], 25, allowed) for line in some]
    assert np.mean(rows[some] == np.concatenate([one.rows for one in alone])) > 0.999
    expected = np.concatenate([one.scores for one in alone])
    np.testing.assert_allclose(scores[some], expected, atol=1e-5)


def test_searches_at_once_leave_threads_as_they_were(store: Path, tmp_path: Path) -> None:
    index = build_index(store, factory="IVF20,SQ8", output=tmp_path / "i.faiss")
    queries = np.random.default_rng(7).normal(size=(SHARED * 20, WIDTH))
    before = [pool["num_threads"] for pool in threadpool_info()]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: index.find(queries, 5).rows.tolist(), range(8)))
    assert found == [found[0]] * 8
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_that_many_vectors_are_looked_at_is_said(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"kind": "ivf", "output": tmp_path / "i.faiss"}
    notes = Notes()
    build_index(store, **asked, listener=notes)
    assert notes.texts == [], "of few images"
    monkeypatch.setattr("featx.index.making.FEW", COUNT)
    index = build_index(store, **asked, listener=notes)
    lists, probes = (index.description.parameters[name] for name in ("lists", "nprobe"))
    (note,) = notes.texts
    assert note.startswith(f"a query looks at {probes / lists:.0%} of the vectors")
    assert note.endswith(f"factory='IVF{4 * lists},SQ8'")


def test_a_list_that_names_no_row_is_damage(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(case.index.path.read_bytes())
    lists = read_array(path, "lists").copy()
    lists[:] = 255  # Row numbers of -1; the checksums are made again.
    edit_array(path, "lists", lists)
    with pytest.raises(IndexFileError, match="is damaged"):
        open_index(path).find(case.queries, 5)


def test_codes_come_out_by_list_in_the_order_in_which_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.index.lists.GATHERED", 1000)  # Several parts.
    random = np.random.default_rng(5)
    codes = random.integers(0, 256, (300, 7), np.uint8)
    lists = random.integers(0, 23, 300)
    file = CodeFile(tmp_path, 7, 23, 300)
    for rows in np.split(np.arange(300), 10):
        file.add(codes[rows], lists[rows], rows)
    assert file.sizes.tolist() == np.bincount(lists, minlength=23).tolist()
    for number in [*range(23), 4, 0]:
        taken, rows = file.take(number)
        assert rows.tolist() == np.flatnonzero(lists == number).tolist()
        assert (taken == codes[rows]).all()
