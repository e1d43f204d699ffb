"""The arrays of a head mean what the documents say: NumPy alone gives the same probabilities."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.extraction import ExtractReport
from featx.heads.kinds import HEADS
from featx.testing import write_images
from tests.cli.program import Program
from tests.doc_pages import ROOT, find_blocks

PAGE = ROOT / "docs" / "reference" / "head-and-index.md"


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def affine(arrays: Any, x: np.ndarray) -> np.ndarray:
    scaled = (x - arrays["mean"]) / arrays["scale"]
    return softmax(scaled @ arrays["coefficients"].T + arrays["intercepts"])


def centroid(arrays: Any, x: np.ndarray) -> np.ndarray:
    return softmax(unit(unit(x) - arrays["mean"]) @ arrays["centroids"].T)


def knn(arrays: Any, x: np.ndarray) -> np.ndarray:
    classes, smoothing = int(arrays["classes"]), float(arrays["smoothing"])
    products = unit(x) @ arrays["examples"].T
    shares = np.zeros((len(x), classes))
    for row, values in enumerate(products):
        nearest = np.argsort(-values)[: int(arrays["neighbours"])]
        votes = arrays["counts"][nearest] * np.exp(values[nearest] / arrays["temperature"])
        for number, vote in zip(arrays["targets"][nearest], votes / votes.sum(), strict=True):
            shares[row, number] += vote
    return (shares + smoothing / classes) / (1 + smoothing)


def mlp(arrays: Any, x: np.ndarray) -> np.ndarray:
    x = (x - arrays["mean"]) / arrays["scale"]
    last = max(int(name.rpartition("_")[2]) for name in arrays if name.startswith("intercepts_"))
    for layer in range(last + 1):
        x = x @ arrays[f"coefficients_{layer}"].T + arrays[f"intercepts_{layer}"]
        x = x if layer == last else np.maximum(x, 0)
    return softmax(x)


KINDS: dict[str, Callable[[Any, np.ndarray], np.ndarray]] = {
    "linear": affine,
    "ridge": affine,
    "lda": affine,
    "centroid": centroid,
    "knn": knn,
    "mlp": mlp,
}


def test_every_kind_is_tested() -> None:
    assert set(KINDS) == {name for name in HEADS.names if HEADS.package_of(name) is None}


@pytest.fixture
def fit(run: Callable[..., ExtractReport], photos: Path, store: Path, tmp_path: Path) -> Any:
    write_images(24, photos, classes=("dark", "light", "middle"))
    run()

    def fit(kind: str) -> featx.Head:
        featx.fit_head(store, output=tmp_path / "head", kind=kind)
        return featx.load_head(tmp_path / "head")

    return fit


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_alone_gives_the_probabilities(kind: str, fit: Any, tmp_path: Path) -> None:
    head = fit(kind)
    x = np.random.default_rng(0).uniform(0, 255, (7, 3))
    described = json.loads((tmp_path / "head" / "head.json").read_text(encoding="utf-8"))
    arrays = np.load(tmp_path / "head" / described["weights"])

    powers = KINDS[kind](arrays, x) ** (1 / described["temperature"])

    expected = head.predict_proba(x)
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_info_says_what_each_array_means(
    kind: str,
    fit: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    head = fit(kind)
    program = Program(monkeypatch, capfd)

    described = json.loads(program("info", str(tmp_path / "head"), "--json").out)
    shown = program("info", str(tmp_path / "head")).out

    assert {each["name"]: tuple(each["shape"]) for each in described["arrays"]} == {
        name: values.shape for name, values in head.weights.items()
    }
    assert (described["kind"], described["dimension"]) == (kind, 3)
    for each in described["arrays"]:
        assert each["meaning"], f"{each['name']} is not explained"
        assert re.search(rf"^{each['name']} .*{re.escape(each['meaning'])}", shown, re.MULTILINE)
    assert f"{len(head.fitted_on)} images" in shown
    assert "3 classes: dark, light, middle" in shown


@pytest.mark.parametrize("kind", ["linear", "ridge", "lda"])
def test_the_lines_of_the_page_run(
    kind: str, fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = fit(kind)
    monkeypatch.chdir(tmp_path)
    (block,) = [each for each in find_blocks(PAGE) if "coefficients" in each.text]
    names: dict[str, Any] = {}

    exec(block.text, names)

    np.testing.assert_allclose(names["probabilities"], head.predict_proba(names["x"]), atol=1e-5)
