"""No option of `fit-head`, `predict` and `evaluate` does nothing without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featx
from tests.cli.program import Program
from tests.store_samples import write_sample


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The program, in a folder with the store f.h5."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    write_sample(tmp_path / "f.h5", {"v": values}, labels=["a", "b", "c"] * 10)
    return Program(monkeypatch, capsys)


ALIKE = ("--near-duplicates", "0.0001")
"""So much are images of random features alike that chains of them connect all."""


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--kind", "linear", "--hidden", "8"), 2, "--hidden goes with --kind mlp"),
        (("--kind", "knn", "--dropout", "0.5"), 2, "--dropout goes with --kind mlp"),
        (("--kind", "knn", "--test-size", "1.5"), 2, "number in [0, 1). Received: 1.5"),
        (("--kind", "knn", "--cv", "1"), 2, "1 is not in the range x>=2"),
        (("--kind", "knn", "--cv", "31"), 1, "has 10 images, or groups of them, that differ"),
        (("--near-duplicates", "-3"), 2, "a number above 0 and up to 1, 'auto' or 'off'"),
        (("--kind", "knn", *ALIKE), 0, "no images are held out: each class is a single image or"),
        (("--kind", "knn", *ALIKE, "--cv", "3"), 1, "all images belong to one group of copies"),
        (("--hidden", "8"), 0, "--hidden not used: --kind auto does not try mlp on 24 images"),
        (("--kind", "knn", "--rows", "no/r.csv"), 1, "there is no folder 'no'"),
        (("--kind", "knn", "--rows", "r.csv", "--test-size", "0"), 0, "--rows is not used"),
        (("--kind", "knn", "--learning-curve", "--test-size", "0"), 0, "--learning-curve is not"),
        (("--kind", "knn", "--cv", "3", "--test-size", "0.4"), 0, "--test-size is not used"),
        (("--kind", "knn", "--sheet", "a.png", "--test-size", "0"), 0, "--sheet is not used"),
        (("--kind", "knn", "--pool", "max"), 0, "'v' is a vector: there is nothing to pool"),
    ],
)
def test_what_has_no_effect_is_said(
    program: Program, tmp_path: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    outcome = program("fit-head", "f.h5", *options)
    assert outcome.status == status
    assert said in " ".join(outcome.err.split())
    assert (tmp_path / "head").exists() == (status == 0), "refused before anything is fitted"


def test_a_share_is_not_held_out_where_a_split_is_given(program: Program, tmp_path: Path) -> None:
    lines = [f"{row},{'abc'[row % 3]},{'train' if row < 15 else 'test'}" for row in range(30)]
    table = tmp_path / "split.csv"
    with featx.open_store("f.h5") as store:
        named = [
            f"{key}{line[line.index(',') :]}" for key, line in zip(store.keys, lines, strict=True)
        ]
    table.write_text("\n".join(["path,label,split", *named]))
    options = ("--kind", "centroid", "--labels", table, "--test-size", "0.4")
    outcome = program("fit-head", "f.h5", *options)
    assert outcome.status == 0
    assert "--test-size is not used: the given split says" in " ".join(outcome.err.split())
    assert "--test-size" not in program("fit-head", "f.h5", *options, "--ignore-split").err


def test_an_index_and_what_is_no_head_are_named(program: Program) -> None:
    assert program("index", "f.h5").status == 0
    outcome = program("verify", "f.faiss")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("f.faiss: intact (30 images")
    assert "'f.h5' is not a head" in program("predict", "f.h5", "--head", "f.h5").err
    assert "--whiten scales" in program("index", "f.h5", "--whiten").err
    assert "Received: --pca 99" in program("index", "f.h5", "--pca", "99").err
    assert "--min-recall is above 0" in program("index", "f.h5", "--min-recall", "2").err


def test_options_of_files_need_their_file(program: Program) -> None:
    assert program("fit-head", "f.h5", "--kind", "centroid").status == 0
    for options, said in (
        (("predict", "f.h5", "--overwrite"), "goes with -o"),
        (("predict", "f.h5", "-o", "a.csv", "--json"), "take --json away"),
        (("evaluate", "f.h5", "--retrieval", "--report", "a.html"), "take --retrieval away"),
        (("evaluate", "f.h5", "--retrieval", "--split", "test"), "such as --split"),
        (("evaluate", "f.h5", "--retrieval", "--batch-size", "3"), "runs no network"),
        (("evaluate", "f.h5", "--retrieval", "--head", "other"), "go without --retrieval"),
    ):
        outcome = program(*options)
        assert outcome.status == 2
        assert said in " ".join(outcome.err.split())


def test_rows_that_are_not_finite_have_a_status_of_their_own(program: Program) -> None:
    assert program("fit-head", "f.h5", "--kind", "centroid").status == 0
    values = np.ones((3, 3), np.float32)
    values[1] = np.nan
    write_sample(Path("n.h5"), {"v": values}, ["x", "y", "z"], labels=["a", "b", "c"])
    outcome = program("evaluate", "n.h5")
    assert outcome.status == 3
    assert "1 image with features that are NaN, infinite" in " ".join(outcome.out.split())


def test_options_of_networks_are_not_used_for_a_store(program: Program) -> None:
    assert program("fit-head", "f.h5", "--kind", "centroid").status == 0
    write_sample(Path("n.h5"), {"v": np.ones((2, 3), np.float32)}, ["x", "y"], labels=["a", "b"])
    for command in ("predict", "evaluate"):
        said = " ".join(
            program(command, "n.h5", "--engine", "tensorflow", "--workers", "2").err.split()
        )
        assert "--workers and --engine not used: no network is run for a store" in said
        assert "not used" not in program(command, "n.h5").err


def test_a_cross_validation_says_once_which_kind_is_best(program: Program) -> None:
    outcome = program("fit-head", "f.h5", "--cv", "3")
    assert outcome.status == 0
    assert outcome.err.count("has the least loss") == 1


def test_rows_without_features_are_not_called_unlabelled(program: Program, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    values[:4] = np.nan
    labels = [None, *["a", "b", "c"] * 9, "a", "b"]
    write_sample(tmp_path / "n.h5", {"v": values}, labels=labels)
    outcome = program("fit-head", "n.h5", "--kind", "centroid")
    assert "; 1 without label; 3 with features that are NaN, infinite or" in " ".join(
        outcome.out.split()
    )


@pytest.mark.parametrize(
    ("column", "options", "said"),
    [
        ([7] * 30, ("--target", "price"), "all 30 images have '7' in price"),
        (["a|b"] * 30, ("--label-columns", "price"), "all 30 images have 'a|b' in price"),
        (["x"] * 30, ("--target", "price"), "Classes are learned without it"),
        ([1, 2, 3] * 10, ("--target", "price", "--labels", "nan"), "30 labelled images are NaN"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    program: Program, tmp_path: Path, column: list[object], options: tuple[str, ...], said: str
) -> None:
    lines = [f"{key},{value}\n" for key, value in zip(_keys("f.h5"), column, strict=True)]
    (tmp_path / "t.csv").write_text("path,price\n" + "".join(lines))
    store = "f.h5"
    if options[-1] == "nan":
        store, options = "n.h5", options[:-2]
        write_sample(tmp_path / store, {"v": np.full((30, 3), np.nan, np.float32)}, _keys("f.h5"))
    outcome = program("fit-head", store, *options, "--labels", "t.csv")
    assert outcome.status == 1
    assert said in " ".join(outcome.err.split())
    assert not (tmp_path / "head").exists()


def test_constant_features_are_pointed_out(program: Program, tmp_path: Path) -> None:
    write_sample(tmp_path / "n.h5", {"v": np.ones((30, 3), np.float32)}, labels=["a", "b"] * 15)
    outcome = program("fit-head", "n.h5", "--kind", "ridge")
    assert outcome.status == 0
    assert "all images have the same features" in outcome.err


def _keys(store: str) -> list[str]:
    with featx.open_store(store) as opened:
        return list(opened.keys)
