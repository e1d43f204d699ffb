"""Weights of classes and of images: as scikit-learn counts them, and only in the fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from featx.errors import HeadError
from featx.heads.example_weights import weigh_examples
from featx.heads.fitting import fit_head
from featx.heads.head import load_head
from tests.store_samples import write_sample

TARGETS = np.array([0] * 60 + [1] * 12)
CLASSES = ("many", "few")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Overlapping classes, one of them rare."""
    path = tmp_path_factory.mktemp("weighted") / "f.h5"
    write_sample(path, {"v": make_values()}, labels=[CLASSES[target] for target in TARGETS])
    return path


def make_values() -> np.ndarray:
    random = np.random.default_rng(0)
    values = random.normal(size=(len(TARGETS), 5)).astype(np.float32)
    values[:, 0] += TARGETS
    return values


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    ours = weigh_examples(TARGETS, CLASSES, "balanced", None)
    assert ours is not None
    np.testing.assert_allclose(ours, compute_sample_weight("balanced", TARGETS))
    column = np.where(np.arange(72) % 2, 3.0, np.nan)
    both = weigh_examples(TARGETS, CLASSES, {"many": 1, "few": 5}, column)
    expected = compute_sample_weight({0: 1, 1: 5}, TARGETS) * np.where(np.arange(72) % 2, 3, 1)
    np.testing.assert_allclose(both, expected / expected.mean())
    assert weigh_examples(TARGETS, CLASSES, None, None) is None


def test_a_weighted_fit_is_that_of_scikit_learn(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "weights.csv"
    table.write_text("Class;Weight\nmany;1\nfew;8\n")
    options = {"kind": "linear", "test_size": 0, "output": tmp_path / "h"}
    report = fit_head(store, class_weight=table, **options)
    values = make_values()
    weights = compute_sample_weight({0: 1, 1: 8}, TARGETS)
    scaler = StandardScaler().fit(values, sample_weight=weights)
    reference = LogisticRegression(C=report.settings["C"], max_iter=1000, tol=1e-8)
    order = [report.classes.index(name) for name in CLASSES]
    reference.fit(scaler.transform(values), TARGETS, sample_weight=weights / weights.mean())
    expected = reference.predict_proba(scaler.transform(values))
    ours = load_head(tmp_path / "h").predict_proba(values)[:, order]
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    plain = fit_head(store, **options)
    assert plain.settings["C"] > 0
    rare = TARGETS == 1
    unweighted = load_head(tmp_path / "h").predict_proba(values)[:, order]
    assert ours[rare, 1].mean() > unweighted[rare, 1].mean() + 0.1


def test_weights_of_a_column_of_the_labels_table(store: Path, tmp_path: Path) -> None:
    lines = [f"image_{n}.png,{CLASSES[TARGETS[n]]},{1 + 7 * TARGETS[n]}" for n in range(72)]
    table = tmp_path / "labels.csv"
    table.write_text("path,label,trust\n" + "\n".join(lines))
    options = {"kind": "linear", "test_size": 0}
    fit_head(store, labels=table, sample_weight="trust", output=tmp_path / "a", **options)
    fit_head(store, class_weight={"many": 1, "few": 8}, output=tmp_path / "b", **options)
    one, other = load_head(tmp_path / "a").weights, load_head(tmp_path / "b").weights
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], rtol=1e-4, atol=1e-5)
    table.write_text(table.read_text().replace(",8", ",0"))
    with pytest.raises(HeadError, match=r"sample_weight= names a column of numbers above 0.*: 0"):
        fit_head(store, labels=table, sample_weight="trust", output=tmp_path / "c")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"many": 1}, r"a weight for each class. Received none for 1 class: few"),
        ({"many": 1, "few": -2}, r"a number above 0. Received: -2 for 'few'"),
        ("no-such.csv", r"'balanced' or a CSV file.*no-such.csv', which does not exist"),
    ],
)
def test_bad_weights(store: Path, tmp_path: Path, weights: object, message: str) -> None:
    with pytest.raises(HeadError, match=message):
        fit_head(store, class_weight=weights, output=tmp_path / "h")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("few", "message"),
    [
        ("few,-2", r"above 0\. Received: '-2' for 'few'"),
        ("few,some", r"above 0\. Received: 'some' for 'few'"),
        ("few,2\nfew,3", r"one weight\. Received: 2 and 3 for 'few' in"),
    ],
)
def test_bad_files_of_weights(store: Path, tmp_path: Path, few: str, message: str) -> None:
    table = tmp_path / "weights.csv"
    table.write_text(f"class,weight\nmany,1\n{few}\n")
    with pytest.raises(HeadError, match=message):
        fit_head(store, class_weight=table, output=tmp_path / "h")


def test_a_file_may_say_the_same_weight_twice(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "weights.csv"
    table.write_text("class,weight\nmany,1\nfew,2\nfew,2.0\n")
    report = fit_head(store, class_weight=table, kind="ridge", output=tmp_path / "h")
    assert report.classes == ("few", "many")


def test_a_file_of_weights_that_is_no_text(store: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"a CSV file\. '.*' cannot be read: it holds zero bytes"):
        fit_head(store, class_weight=store, output=tmp_path / "h")
