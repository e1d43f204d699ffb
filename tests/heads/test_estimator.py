"""A fitted head as a classifier of scikit-learn: on arrays, stores and images."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, get_scorer, log_loss
from sklearn.model_selection import cross_val_score
from sklearn.utils.validation import check_is_fitted

import featx
from featx.errors import DimensionMismatch, FingerprintMismatch, ImageError, InvalidValue
from featx.testing import toy_model, write_images


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimator")
    write_images(20, folder / "photos", classes=("cat", "dog"))
    photos = folder / "photos"
    featx.extract(photos, model=toy_model(), layers=["map", "mean"], output=folder / "f.h5")
    featx.fit_head(folder / "f.h5", layer="mean", output=folder / "head")
    return folder / "f.h5"


@pytest.fixture(scope="module")
def head(store: Path) -> featx.Head:
    return featx.load_head(store.parent / "head")


def test_arrays_stores_tables_and_images_give_the_same(head: featx.Head, store: Path) -> None:
    with featx.open_store(store) as opened:
        table = opened.table("mean")
        expected = head.predict_proba(table.values)
        paths = [opened.root.location(key) for key in opened.keys]
        for given in (
            opened,
            store,
            str(store),
            table,
            opened["mean"],
            opened.to_arrow(features=False),
        ):
            if given is not opened and hasattr(given, "column_names"):
                given = given.rename_columns({"key": "path"}).set_column(
                    0, "path", [paths]
                )  # fmt: skip
            np.testing.assert_allclose(head.predict_proba(given), expected, atol=1e-6)
        assert head.score(opened) == head.score(table) == head.score(store)
        labels = opened.labels
    np.testing.assert_allclose(head.predict_proba(paths[::-1]), expected[::-1], atol=1e-6)
    np.testing.assert_allclose(head.predict_proba(paths[3]), expected[[3]], atol=1e-6)
    predicted = head.predict(paths)
    assert predicted.tolist() == [head.classes[n] for n in expected.argmax(axis=1)]
    accuracy = accuracy_score(labels, predicted)
    assert head.score(paths, labels) == head.score(table.values, labels) == accuracy
    assert head.score(table.values, [None, *labels[1:]]) == accuracy_score(
        labels[1:], predicted[1:]
    )


def test_it_works_in_scikit_learn(head: featx.Head, store: Path) -> None:
    with featx.open_store(store) as opened:
        values, labels = opened.to_numpy("mean"), np.array(opened.labels)
    assert is_classifier(head)
    assert clone(head) is head
    check_is_fitted(head)
    assert head.fit(values, labels) is head
    assert head.classes_.tolist() == ["cat", "dog"]
    scores = cross_val_score(head, values, labels, cv=4)
    assert scores.mean() == pytest.approx(head.score(values, labels))
    assert get_scorer("accuracy")(head, values, labels) == head.score(values, labels)
    losses = -get_scorer("neg_log_loss")(head, values, labels)
    assert losses == pytest.approx(log_loss(labels, head.predict_proba(values)), rel=1e-3)
    found = permutation_importance(head, values, labels, n_repeats=2, random_state=0)
    assert found.importances_mean.shape == (3,)
    same = pickle.loads(pickle.dumps(head))
    np.testing.assert_array_equal(same.predict(values), head.predict(values))


def test_what_does_not_fit_is_one_sentence(head: featx.Head, store: Path, tmp_path: Path) -> None:
    featx.extract(
        store.parent / "photos", model=toy_model(), layers=["mean"], interpolation="nearest",
        output=tmp_path / "other.h5",
    )  # fmt: skip
    with featx.open_store(tmp_path / "other.h5") as other:
        for given in (other, other.table("mean")):
            with pytest.raises(FingerprintMismatch, match=r"input\.interpolation"):
                head.predict(given)
    with pytest.raises(DimensionMismatch, match=r"Received: shape=\(2, 5\)"):
        head.predict(np.zeros((2, 5)))
    with pytest.raises(ImageError, match=r"gone\.png' cannot be used: No such file"):
        head.predict([str(next((store.parent / "photos").rglob("*.png"))), "gone.png"])
    with pytest.raises(InvalidValue, match="needs labels"):
        head.score(np.zeros((2, 3)))
    with pytest.raises(InvalidValue, match="Received: 1 for 2 images"):
        head.score(np.zeros((2, 3)), ["cat"])
    with pytest.raises(InvalidValue, match="None of the images has a label"):
        head.score(np.zeros((2, 3)), [None, None])
    with pytest.raises(InvalidValue, match="has no parameters. Received: C"):
        head.set_params(C=1)
