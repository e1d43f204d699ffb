"""An index asked with arrays, keys and images alike, and its answers as a data frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics.pairwise import cosine_similarity

import featx
from featx.errors import AllImagesFailed, DimensionMismatch
from featx.testing import toy_model, write_images

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("find")
    write_images(12, folder / "photos", classes=("cat", "dog"))
    featx.extract(folder / "photos", model=toy_model(), layers=["mean"], output=folder / "f.h5")
    featx.build_index(folder / "f.h5", output=folder / "f.faiss")
    return folder / "f.h5"


@pytest.fixture(scope="module")
def index(store: Path) -> featx.VectorIndex:
    return featx.open_index(store.with_suffix(".faiss"))


def test_arrays_keys_and_images_have_the_same_answers(
    index: featx.VectorIndex, store: Path
) -> None:
    with featx.open_store(store) as opened:
        values, keys = opened.to_numpy("mean"), list(opened.keys)
        paths = [opened.root.location(key) for key in keys]
        whole = index.query(opened, 12)
        assert [result.query for result in whole.results] == keys
    cosines = cosine_similarity(values)
    for forms in (values, values.tolist(), paths, [Image.open(path) for path in paths]):
        found = index.query(forms, 12)
        for row, result in enumerate(found.results):
            scores = {match.key: match.score for match in result.matches}
            expected = dict(zip(keys, cosines[row], strict=True))
            assert scores == pytest.approx(expected, abs=1e-5)
    assert [result.query for result in index.query(values[:2]).results] == ["0", "1"]
    assert [result.query for result in index.query(paths[:2]).results] == paths[:2]
    assert len(index.query(values[0]).results) == 1
    for one in (keys[3], [keys[3]], np.array([keys[3]])):
        (result,) = index.query(one, 12).results
        assert (result.query, len(result.matches)) == (keys[3], 11)
        assert keys[3] not in {match.key for match in result.matches}


def test_answers_are_a_frame(index: featx.VectorIndex, store: Path) -> None:
    with featx.open_store(store) as opened:
        keys = list(opened.keys)
        labels = dict(zip(keys, opened.labels, strict=True))
    frame = index.query(keys[:2], 3).to_pandas()
    assert list(frame.columns) == ["query", "rank", "key", "score", "label", "path"]
    assert frame["query"].tolist() == [keys[0]] * 3 + [keys[1]] * 3
    assert frame["rank"].tolist() == [1, 2, 3] * 2
    assert frame["label"].tolist() == [labels[key] for key in frame["key"]]
    assert (frame.groupby("query")["score"].diff().dropna() <= 0).all()
    away = -np.ones((2, 3), np.float32)
    assert len(index.query(away, 3, threshold=0.9).to_pandas()) == 0


def test_what_cannot_be_asked_is_one_sentence(index: featx.VectorIndex, store: Path) -> None:
    with pytest.raises(DimensionMismatch, match=r"Received: shape=\(1, 5\)"):
        index.query(np.zeros(5))
    with pytest.raises(AllImagesFailed, match=r"1 image failed. The first one: gone\.png"):
        index.query(["gone.png"])
    with featx.open_store(store) as opened:
        mixed = [opened.root.location(opened.keys[0]), "gone.png"]
    report = index.query(mixed)
    assert (len(report.results), len(report.failures)) == (1, 1)
