"""Methods of stores, heads and indexes: whatever is passed, no error comes from inside."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import FeatxError, InvalidType
from tests.store_samples import write_sample

WRONG = (
    None, 3, -1, True, float("nan"), 10**30, "", "\0", b"", [], {}, (1, "a"), ["x", 3],
    [[1], [2, 3]], object(), Path("no-such"), np.zeros(2), np.zeros((2, 3, 4)), len,
)  # fmt: skip

GOOD: dict[str, Any] = {
    "key": "a/0.jpg",
    "keys": ["a/0.jpg"],
    "queries": np.eye(1, 4, dtype=np.float32),
    "values": np.eye(4, dtype=np.float32),
    "labels": ["a", "b", "a", "b"],
    "rows": np.array([0]),
    "layer": "v",
    "pool": "avg",
}

METHODS = {
    "store": ("rows", "spec", "features", "iter_features", "iter_vectors", "vectors",
              "vectors_unchecked", "table", "batches", "to_numpy", "to_arrow", "to_pandas", "join",
              "images", "__getitem__"),
    "layer": ("__getitem__",),
    "head": ("predict", "predict_proba", "score", "save"),
    "index": ("search", "query", "vectors", "row", "search_key", "take", "take_features"),
}  # fmt: skip


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("methods")
    labels = ["a", "b", "a", "b"]
    write_sample(folder / "f.h5", {"v": np.eye(4, dtype=np.float32)}, labels=labels)
    featx.fit_head(folder / "f.h5", output=folder / "head", kind="centroid")
    featx.build_index(folder / "f.h5", output=folder / "f.idx")
    with featx.open_store(folder / "f.h5") as store:
        GOOD["key"], GOOD["keys"] = store.keys[0], list(store.keys[:1])
        yield {
            "store": store,
            "layer": store["v"],
            "head": featx.load_head(folder / "head"),
            "index": featx.open_index(folder / "f.idx"),
        }


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in METHODS.items() for name in names]
)
def test_no_value_leads_to_an_error_from_inside(
    objects: dict[str, Any], kind: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    method = getattr(objects[kind], name)
    parameters = inspect.signature(method).parameters
    needed = {p: GOOD.get(p) for p, each in parameters.items() if each.default is each.empty}
    for word in parameters:
        for value in WRONG:
            try:
                result = method(**{**needed, word: value})
                if inspect.isgenerator(result):
                    next(result, None)
            except FeatxError:
                continue
            except IndexError:  # As of any sequence, behind its end.
                assert name == "__getitem__"
                assert np.asarray(value).dtype.kind in "iub"


def test_rows_are_whole_numbers(objects: dict[str, Any]) -> None:
    for rows in ([True, False], [0.5], "0"):
        with pytest.raises(InvalidType, match="'rows' takes the numbers of rows"):
            objects["index"].vectors(rows)
    assert objects["index"].vectors([0, 1]).shape == objects["index"].vectors(range(2)).shape


def test_an_argument_is_given_once(objects: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="multiple values"):
        objects["index"].search(GOOD["queries"], 1, k=2)


def test_a_head_is_saved_under_a_text(objects: dict[str, Any], tmp_path: Path) -> None:
    objects["head"].save(str(tmp_path / "copy"))
    assert featx.load_head(tmp_path / "copy").classes == ("a", "b")
