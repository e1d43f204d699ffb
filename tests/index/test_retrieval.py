"""Measures of retrieval: against their definitions in plain loops, and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from featx.errors import FingerprintMismatch, InvalidValue, UnknownName
from featx.index.building import build_index
from featx.index.retrieval import evaluate_retrieval
from tests.store_samples import write_sample

COUNT, K = 90, 7


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    random = np.random.default_rng(5)
    centres = random.normal(size=(5, 12))
    return (centres[np.arange(COUNT) % 5] + random.normal(size=(COUNT, 12))).astype(np.float32)


LABELS = [None if row % 11 == 0 else f"c{row % 5}" for row in range(COUNT - 1)] + ["alone"]
CONTENTS = ["1" if row == 6 else str(row) for row in range(COUNT)]
"""Rows 1 and 6 are identical files of one class."""


@pytest.fixture(scope="module")
def store(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("retrieval") / "f.h5"
    maps = vectors.reshape(COUNT, 2, 2, 3)
    write_sample(path, {"maps": maps, "v": vectors}, labels=LABELS, contents=CONTENTS)
    return path


def measure_by_loops(vectors: np.ndarray) -> dict[str, list[float]]:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    measured: dict[str, list[float]] = {
        name: [] for name in ("nearest", "precision", "recall", "ndcg", "average_precision")
    }
    for query in range(COUNT):
        others = [
            row
            for row in range(COUNT)
            if LABELS[row] is not None and CONTENTS[row] != CONTENTS[query]
        ]
        if LABELS[query] is None or LABELS[query] not in [LABELS[row] for row in others]:
            continue
        scores = np.array([units[query] @ units[row] for row in others])
        right = np.array([LABELS[row] == LABELS[query] for row in others])
        best = np.argsort(-scores)[:K]
        measured["nearest"].append(float(right[best[0]]))
        measured["precision"].append(right[best].mean())
        measured["recall"].append(right[best].sum() / right.sum())
        measured["ndcg"].append(ndcg_score([right.astype(float)], [scores], k=K))
        measured["average_precision"].append(average_precision_score(right, scores))
    return measured


def test_measures_are_those_of_sklearn_and_of_loops(store: Path, vectors: np.ndarray) -> None:
    report = evaluate_retrieval(store, layers=["v"], k=K)
    (trial,) = report.trials
    expected = measure_by_loops(vectors)
    assert trial.total.queries == len(expected["nearest"])
    for name, values in expected.items():
        assert getattr(trial.total, name) == pytest.approx(np.mean(values), abs=1e-6), name
    assert (report.images, report.left_out, report.single) == (81, 9, 1)
    assert sum(one.queries for one in trial.classes) == trial.total.queries
    weighted = sum(one.queries * one.precision for one in trial.classes) / trial.total.queries
    assert weighted == pytest.approx(trial.total.precision)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_finds_the_same_neighbours(store: Path, kind: str) -> None:
    index = build_index(store, layer="v", output=store.with_name(f"{kind}.faiss"), kind=kind)
    exact = evaluate_retrieval(store, layers=["v"], k=K).trials[0].total
    found = evaluate_retrieval(store, index=index.path, k=K).trials[0].total
    assert found.average_precision is None
    for name in ("queries", "nearest", "precision", "recall", "ndcg"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), abs=0.02), name


def test_layers_poolings_and_components_are_compared(store: Path) -> None:
    report = evaluate_retrieval(store, pool=["avg", "flatten"], pca=3, k=3)
    names = [(trial.layer, trial.pool, trial.projection) for trial in report.trials]
    projections = ["", "PCA 3", "PCA 3, whitened"]
    assert names == [
        (layer, pool, projection)
        for layer, pool in (("maps", "avg"), ("maps", "flatten"), ("v", "none"))
        for projection in projections
    ]
    flattened, stored = report.trials[3].total, report.trials[6].total
    assert flattened.average_precision == pytest.approx(stored.average_precision)
    assert report.best.total.average_precision == max(
        trial.total.average_precision or 0 for trial in report.trials
    )


def test_globs_of_layers_and_several_numbers_of_components(store: Path) -> None:
    report = evaluate_retrieval(store, layers=["m*", "v", "v"], pca=[2, 3, 1000], k=3)
    projections = ["", *(f"PCA {n}{w}" for n in (2, 3) for w in ("", ", whitened"))]
    assert [(trial.layer, trial.projection) for trial in report.trials] == [
        (layer, projection) for layer in ("maps", "v") for projection in projections
    ]
    with pytest.raises(UnknownName, match="x\\*"):
        evaluate_retrieval(store, layers=["x*"])


def test_wrong_stores_and_indexes(store: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.eye(4, dtype=np.float32)})
    with pytest.raises(InvalidValue, match="no two images"):
        evaluate_retrieval(tmp_path / "f.h5")
    other = build_index(tmp_path / "f.h5")
    with pytest.raises(FingerprintMismatch):
        evaluate_retrieval(store, index=other.path)
    with pytest.raises(UnknownName):
        evaluate_retrieval(store, layers=["w"])
    with pytest.raises(UnknownName):
        evaluate_retrieval(store, pool=["none"])
    with pytest.raises(InvalidValue, match=r"Take away layers= and pca="):
        evaluate_retrieval(store, index=other.path, layers=["v"], pca=2)
