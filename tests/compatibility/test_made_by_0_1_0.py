"""Stores, heads and indexes that version 0.1.0 wrote stay readable, for good.

The files in ``made_by_0_1_0`` were written once, by that version, from the twelve pictures beside
them, and are never written again. ``expected.json`` holds what it read from them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx

WRITTEN = Path(__file__).parent / "made_by_0_1_0"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text(encoding="utf-8"))
MODEL = {"model": "builtin:mini", "pool": "avg", "dtype": "float16", "precision": "float32"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy, as somebody who moved all of it would have it."""
    return Path(shutil.copytree(WRITTEN, tmp_path / "moved"))


@pytest.mark.parametrize("name", ["features.h5", "view.h5"])
def test_a_store_has_the_features_that_it_had(name: str, folder: Path) -> None:
    with featx.open_store(folder / name) as store:
        table = store.table("embedding")
    received = table.values.astype(np.float64)[:, :4]
    np.testing.assert_allclose(received, EXPECTED["embedding"], atol=1e-4)
    assert table.keys[0] == "dark/image_0.png"
    assert table.labels[-1] == "light"
    assert featx.verify_store(folder / name).is_intact


def test_a_head_predicts_what_it_predicted(folder: Path) -> None:
    head = featx.load_head(folder / "head")
    with featx.open_store(folder / "features.h5") as store:
        values = store.table("embedding").values.astype(np.float32)
    assert list(head.classes) == EXPECTED["classes"]
    received = head.predict_proba(values)[:, 1]
    np.testing.assert_allclose(received, EXPECTED["probability of light"], atol=1e-3)
    assert head.kind == "linear"
    report = featx.predict(folder / "images", head=folder / "head")
    assert [prediction.classes[0] for prediction in report.predictions] == [
        Path(prediction.path).parent.name for prediction in report.predictions
    ]


def test_an_index_finds_what_it_found(folder: Path) -> None:
    index = featx.open_index(folder / "features.faiss")
    expected = EXPECTED["nearest to dark/image_0.png"]
    matches = index.search_key("dark/image_0.png", len(expected))
    assert [[match.key, round(match.score, 4)] for match in matches] == expected
    report = featx.search(keys=["dark/image_0.png"], features=folder / "features.h5", k=1)
    assert report.results[0].matches[0].key == expected[0][0]


@pytest.mark.parametrize(
    ("name", "layers"), [("features.h5", ["embedding", "block4_conv3"]), ("view.h5", ["embedding"])]
)
def test_an_extraction_goes_on(name: str, layers: list[str], folder: Path) -> None:
    arguments = MODEL | {"layers": layers, "output": folder / name}
    if name == "view.h5":
        arguments["pool"] = "none"
    same = featx.extract(folder / "images", **arguments)
    assert (same.done, same.rows) == (0, 12)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "images" / "dark" / "new.png")
    more = featx.extract(folder / "images", **arguments)
    assert (more.done, more.rows) == (1, 13)
    with featx.open_store(folder / name) as store:
        assert "dark/new.png" in store.keys
