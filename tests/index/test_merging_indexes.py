"""Indexes of several machines: trained once, filled apart, merged as if one had filled them all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from typer.testing import CliRunner

import featx
from featx.cli.app import app
from featx.errors import FeatxError, FingerprintMismatch, IndexFileError, InvalidValue
from featx.index.projection import hash_rows
from featx.index.row_finder import RowFinder
from featx.index.tuning import ExactNeighbours
from tests.index_files import edit_array, edit_description, read_array, split_file
from tests.store_samples import write_sample

COUNT, WIDTH, PARTS = 1200, 16, 3
OWN = {"seconds", "arrays", "sha256", "store", "store_relative"}
"""Fields of a description that say when and where an index was written."""


def make_clusters(count: int, seed: int = 0) -> np.ndarray:
    centres = np.random.default_rng(1).normal(size=(40, WIDTH))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(0, 40, count)] + 0.4 * random.normal(size=(count, WIDTH))
    return rows.astype(np.float32)


class Shards:
    """Stores of shards, filled at random as by a hash of keys, and their merged store.

    Args:
        folder: Where they are.
        asked: How they are trained.
    """

    def __init__(self, folder: Path, **asked: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.vectors = make_clusters(COUNT)
        self.shard = np.random.default_rng(3).integers(0, PARTS, COUNT)
        for number in range(PARTS):
            rows = np.flatnonzero(self.shard == number)
            write_sample(
                self.store(number), {"v": self.vectors[rows]}, [f"{row:05d}.png" for row in rows]
            )
        self.training = featx.train_index(self.store(0), train_for=COUNT, **asked)
        for number in range(PARTS):
            featx.build_index(self.store(number), trained_by=self.training.path)
        self.merged = folder / "all.h5"
        stores = [self.store(number) for number in range(PARTS)]
        featx.merge_stores(stores, self.merged)

    def store(self, number: int) -> Path:
        return self.folder / f"{number}.h5"

    @property
    def indexes(self) -> list[Path]:
        return [self.store(number).with_suffix(".faiss") for number in range(PARTS)]

    def merge(self, **options: Any) -> featx.VectorIndex:
        return featx.merge_indexes(self.indexes, self.folder / "all.faiss", **options)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return Shards(tmp_path_factory.mktemp("merging") / "ivf", kind="ivf")


class Notes(featx.Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def fill_alone(shards: Shards) -> featx.VectorIndex:
    """Fill an index from the merged store, on one machine."""
    output = shards.folder / "alone.faiss"
    return featx.build_index(shards.merged, trained_by=shards.training.path, output=output)


def test_a_merged_index_is_that_of_one_machine_bit_for_bit(shards: Shards) -> None:
    merged, alone = shards.merge(), fill_alone(shards)
    ours, theirs = (split_file(index.path)[1] for index in (merged, alone))
    for name in theirs.keys() - OWN:
        assert ours[name] == theirs[name], name
    for name in theirs["arrays"]:
        np.testing.assert_array_equal(*(read_array(each.path, name) for each in (merged, alone)))
    assert featx.verify_index(merged.path).is_intact


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "ivf-rabitq", "metric": "l2"},
        pytest.param({"factory": "RR12,IVF16,SQ4", "pca": 12}, marks=pytest.mark.slow),
    ],
)
def test_it_answers_so_where_codes_are_rounded_products(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    shards = Shards(tmp_path / "s", **asked)
    merged, alone = shards.merge(), fill_alone(shards)
    np.testing.assert_array_equal(*(read_array(each.path, "sizes") for each in (merged, alone)))
    queries = make_clusters(50, seed=7)
    ours, theirs = merged.find(queries, 10), alone.find(queries, 10)
    assert (ours.rows == theirs.rows).mean() >= 0.99
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-4)
    assert featx.verify_index(merged.path).is_intact


def test_recall_is_told_as_it_is_and_measured_with_what_was_not_trained_on(
    shards: Shards,
) -> None:
    merged = shards.merge()
    measured = merged.description.measured
    assert measured.recall >= 0.98
    assert measured.queries == COUNT // 4
    queries = make_clusters(400, seed=9)
    stored = shards.vectors[[int(key[:5]) for key in merged.description.keys]]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, stored)]
    exact = faiss.knn(*unit, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
    found = merged.find(queries, 10).rows
    recall = np.mean([np.isin(*pair).mean() for pair in zip(found, exact, strict=True)])
    assert recall == pytest.approx(measured.recall, abs=0.02)
    row = merged.row("00123.png")
    assert merged.find(merged.take_features(np.array([row])), 1).rows[0, 0] == row


def test_no_vector_that_was_trained_on_is_a_query_where_there_are_others(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []
    real = ExactNeighbours.__init__

    def watch(self: Any, rows: np.ndarray, vectors: np.ndarray, space: Any) -> None:
        asked.append(hash_rows(vectors))
        real(self, rows, vectors, space)

    monkeypatch.setattr(ExactNeighbours, "__init__", watch)
    shards.merge()
    featx.build_index(shards.store(0), trained_by=shards.training.path)
    for hashes in asked:
        assert len(hashes)
        assert not np.isin(hashes, shards.training.hashes).any()


def test_what_no_index_holds_is_computed_and_said(shards: Shards, tmp_path: Path) -> None:
    notes = Notes()
    whole = shards.merge()
    merged = featx.merge_indexes(
        shards.indexes[1:], tmp_path / "i.faiss", features=shards.merged, listener=notes
    )
    missing = int((shards.shard == 0).sum())
    assert any(f"{missing:,} of {COUNT:,} images are in none" in text for text in notes.texts)
    assert featx.verify_index(merged.path).is_intact
    np.testing.assert_array_equal(read_array(merged.path, "lists"), read_array(whole.path, "lists"))


def test_an_image_that_has_changed_since_goes_in_as_the_store_has_it(tmp_path: Path) -> None:
    shards, notes = Shards(tmp_path / "s", kind="ivf"), Notes()
    keys = [f"{row:05d}.png" for row in np.flatnonzero(shards.shard == 1)]
    changed = shards.vectors[shards.shard == 1]
    changed[5] *= -1  # By another engine, say: its content is the same.
    write_sample(shards.store(1), {"v": changed}, keys)
    shards.merged.unlink()
    featx.merge_stores([shards.store(number) for number in range(PARTS)], shards.merged)
    merged = shards.merge(listener=notes)
    assert any(text.startswith(f"1 of {COUNT:,} images") for text in notes.texts)
    assert featx.verify_index(merged.path).is_intact
    assert merged.search(changed[5:6], 1)[0][0].key == keys[5]


def test_a_merged_index_is_brought_up_to_date_like_any_other(
    shards: Shards, tmp_path: Path
) -> None:
    merged = shards.merge()
    keys = list(merged.description.keys)
    with featx.open_store(shards.merged) as store:
        vectors = store.to_numpy("v")
    path = tmp_path / "all.h5"
    write_sample(path, {"v": np.concatenate([vectors, make_clusters(9, 5)])}, [*keys, *"123456789"])
    again = featx.build_index(path, kind="ivf", previous=merged)
    assert len(again) == COUNT + 9
    assert featx.verify_index(again.path).is_intact


def refuse_another_training(shards: Shards) -> Any:
    other = featx.train_index(
        shards.store(1), train_for=COUNT, kind="ivf", output=shards.folder / "other.trained.faiss"
    )
    path = shards.folder / "other.faiss"
    featx.build_index(shards.store(1), trained_by=other.path, output=path)
    return [shards.indexes[0], path]


def refuse_another_metric(shards: Shards) -> Any:
    path = shards.folder / "l2.faiss"
    featx.build_index(shards.store(1), kind="ivf", metric="l2", output=path)
    return [shards.indexes[0], path]


def refuse_another_width(shards: Shards) -> Any:
    write_sample(shards.folder / "wide.h5", {"v": np.eye(300, 40, dtype=np.float32)})
    featx.build_index(shards.folder / "wide.h5", kind="ivf")
    return [shards.indexes[0], shards.folder / "wide.faiss"]


def refuse_an_exact_one(shards: Shards) -> Any:
    path = shards.folder / "flat.faiss"
    featx.build_index(shards.store(1), kind="flat", output=path)
    return [path, shards.indexes[0]]


def refuse_a_foreign_one(shards: Shards) -> Any:
    write_sample(shards.folder / "foreign.h5", {"v": make_clusters(300, seed=4)})
    featx.build_index(shards.folder / "foreign.h5", trained_by=shards.training.path)
    return [*shards.indexes, shards.folder / "foreign.faiss"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (refuse_another_training, IndexFileError, "was filled by another training than"),
        (refuse_another_metric, FingerprintMismatch, "metric: expected cosine, received l2"),
        (refuse_another_width, FingerprintMismatch, "shape: expected"),
        (refuse_an_exact_one, InvalidValue, "fill indexes that have lists"),
        (refuse_a_foreign_one, IndexFileError, "has nothing to add"),
        (lambda s: [s.indexes[0]] * 2, InvalidValue, "is named twice"),
        (lambda s: [s.indexes[0], s.training.path], IndexFileError, "holds no images"),
        (lambda s: [s.indexes[0], s.store(1)], IndexFileError, "which is none. Merge stores"),
        (lambda s: [s.folder / "no.faiss"], IndexFileError, "There is no index"),
        (lambda s: [], InvalidValue, "Nothing to merge"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_a_line(
    name: Callable[[Shards], Any], error: type[FeatxError], message: str, shards: Shards
) -> None:
    output = shards.folder / "refused.faiss"
    with pytest.raises(error, match=message) as caught:
        featx.merge_indexes(name(shards), output, features=shards.merged)
    assert "\n" not in str(caught.value)
    assert not list(shards.folder.glob("refused*"))


def test_the_merged_store_is_asked_for(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="Name the merged store with features="):
        featx.merge_indexes(shards.indexes, tmp_path / "i.faiss")


def test_lists_that_cannot_be_are_refused(shards: Shards, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.faiss"
    content = bytearray(shards.indexes[1].read_bytes())
    place = split_file(shards.indexes[1])[1]["arrays"]["lists"]["offset"]
    content[place + 40] ^= 1
    damaged.write_bytes(content)
    forged = tmp_path / "forged.faiss"
    forged.write_bytes(shards.indexes[1].read_bytes())
    lists = read_array(forged, "lists").copy()
    sizes = read_array(forged, "sizes").astype(int)
    number = int(sizes.argmax())
    begin = int((sizes[:number] * (WIDTH + 8)).sum()) + int(sizes[number]) * WIDTH
    lists[begin + 8 : begin + 16] = lists[begin : begin + 8]  # A row twice, another never.
    edit_array(forged, "lists", lists)
    for path, why in ((damaged, "is not what was written"), (forged, "names a row twice")):
        with pytest.raises(IndexFileError, match=why) as caught:
            featx.merge_indexes(
                [shards.indexes[0], path], tmp_path / "i.faiss", features=shards.merged
            )
        assert path.name in str(caught.value)


def test_the_first_index_is_checked_like_the_others(shards: Shards, tmp_path: Path) -> None:
    forged = [tmp_path / name for name in ("hashes.faiss", "centres.faiss")]
    for path in forged:
        path.write_bytes(shards.indexes[0].read_bytes())
    places = split_file(forged[0])[1]["arrays"]
    places["trained_hashes"] |= {"dtype": "|u1", "shape": [*places["trained_hashes"]["shape"], 8]}
    edit_description(forged[0], arrays=places)
    edit_array(forged[1], "centres", np.full_like(read_array(forged[1], "centres"), np.nan))
    for path, why in zip(forged, ("hashes of vectors", "NaN or infinity"), strict=True):
        with pytest.raises(IndexFileError, match=why) as caught:
            featx.merge_indexes([path], tmp_path / "i.faiss", features=shards.merged)
        assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metric": "l2"}, InvalidValue, "was trained with metric='cosine'"),
        ({"kind": "flat"}, InvalidValue, "was trained with kind='ivf'"),
        ({"pca": 4}, InvalidValue, "was trained with pca=None"),
        ({"pool": "max"}, FingerprintMismatch, "pool: expected"),
        ({"layer": "w"}, FingerprintMismatch, "layer: expected v, received w"),
    ],
)
def test_an_index_is_filled_as_it_was_trained(
    options: Any, error: type[FeatxError], message: str, shards: Shards, tmp_path: Path
) -> None:
    if "layer" in options or "pool" in options:
        maps = make_clusters(20).reshape(20, 1, 1, WIDTH)
        write_sample(tmp_path / "f.h5", {"v": maps, "w": make_clusters(20)})
    else:
        write_sample(tmp_path / "f.h5", {"v": make_clusters(20)})
    with pytest.raises(error, match=message):
        featx.build_index(tmp_path / "f.h5", trained_by=shards.training.path, **options)


def test_a_training_is_no_index_and_neither_takes_the_place_of_the_other(
    shards: Shards, tmp_path: Path
) -> None:
    path = shards.training.path
    with pytest.raises(IndexFileError, match="holds no images"):
        featx.open_index(path)
    with pytest.raises(IndexFileError, match="is an index, not a training"):
        featx.open_training(shards.indexes[0])
    with pytest.raises(IndexFileError, match="left alone"):
        featx.build_index(shards.store(0), output=path)
    with pytest.raises(IndexFileError, match="left alone"):
        featx.train_index(shards.store(0), kind="ivf", output=shards.indexes[0])
    assert featx.verify_index(path).is_intact
    cut = tmp_path / "cut.faiss"
    cut.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IndexFileError, match="is damaged"):
        featx.build_index(shards.store(0), trained_by=cut, output=tmp_path / "i.faiss")


def test_an_interrupted_merge_leaves_the_old_index(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shards.merge().path.read_bytes()
    files = set(shards.folder.iterdir())
    for name in ("index.merging.measure", "index.list_merge.CodeFile.add", "atomic.os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"featx.{name}", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                shards.merge()
        assert (shards.folder / "all.faiss").read_bytes() == before
        assert set(shards.folder.iterdir()) == files


def _interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_more_indexes_are_merged_than_files_may_be_open(tmp_path: Path) -> None:
    vectors = make_clusters(1000)
    keys = [f"{row:04d}.png" for row in range(1000)]
    write_sample(tmp_path / "all.h5", {"v": vectors}, keys)
    training = featx.train_index(tmp_path / "all.h5", kind="ivf")
    for number in range(100):
        rows = slice(10 * number, 10 * number + 10)
        write_sample(tmp_path / f"{number}.h5", {"v": vectors[rows]}, keys[rows])
        featx.build_index(tmp_path / f"{number}.h5", trained_by=training.path)
    code = (
        "import resource, sys, featx\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "featx.merge_indexes(sys.argv[1:], 'all.faiss')\n"
    )
    names = [f"{number}.faiss" for number in range(100)]
    environment = {**os.environ, "PYTHONPATH": str(Path(featx.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code, *names], check=True, cwd=tmp_path, env=environment)
    alone = featx.build_index(
        tmp_path / "all.h5", trained_by=training.path, output=tmp_path / "alone.faiss"
    )
    lists = [read_array(path, "lists") for path in (tmp_path / "all.faiss", alone.path)]
    np.testing.assert_array_equal(*lists)


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_found_by_content_and_vector_each_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    content = random.integers(0, 2, (60, 16), np.uint8) * np.arange(16).astype(np.uint8)[:, None].T
    content[:, 1:] = 0  # Many are equal.
    vectors = random.integers(0, 3, 60).astype(np.uint64)
    finder = RowFinder(content, vectors)
    left = [(bytes(c), int(v)) for c, v in zip(content, vectors, strict=True)]
    for _ in range(3):
        chosen = random.integers(0, 60, 25)
        others = random.integers(0, 4, 25).astype(np.uint64)
        rows = finder.find(content[chosen], others)
        for row, one, vector in zip(rows.tolist(), chosen.tolist(), others.tolist(), strict=True):
            wanted = (bytes(content[one]), vector)
            if row >= 0:
                assert left[row] == wanted
                left[row] = (b"", -1)
        for row, one, vector in zip(rows.tolist(), chosen.tolist(), others.tolist(), strict=True):
            assert row >= 0 or (bytes(content[one]), vector) not in left
    assert finder.num_missing == sum(vector >= 0 for _, vector in left)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["merge", "0.faiss", "1.faiss", "-o", "x.faiss", "--partial"], "are for stores"),
        (["merge", "0.h5", "1.h5", "-o", "x.h5", "--features", "all.h5"], "is for indexes"),
        (["index", "0.h5", "--train-for", "9", "--trained-by", "t.faiss"], "exclude each other"),
    ],
)
def test_options_that_do_nothing_are_refused(
    arguments: list[str], message: str, shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shards.folder)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
