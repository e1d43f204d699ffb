"""`featx predict -m`: what it prints, its exit status, and options that exclude each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import Program

TOY = ("-m", "toy:colors")
"""Its last layer gives twice the mean colour: logits of the classes red, green and blue."""


@pytest.fixture
def names(photos: Path) -> Path:
    """Names for the toy's three values; the pictures in light are red, those in dark as well."""
    path = photos / "names.txt"
    path.write_text("light\ndark\nother\n")
    return path


def test_classes_of_a_model_as_json(featx: Program, photos: Path, names: Path) -> None:
    outcome = featx("predict", ".", *TOY, "--labels", names, "-k", "2", "--json")
    assert outcome.status == 0
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(lines) == 24
    assert lines[0].keys() == {"path", "rank", "class", "probability"}
    assert [line["rank"] for line in lines[:4]] == [1, 2, 1, 2]
    assert all(0 < line["probability"] < 1 for line in lines)
    first, softmax, accuracy = outcome.err.splitlines()
    assert first == "toy:colors at 8 x 8, 'unit' preprocessing → head/double, 3 classes"
    assert softmax.startswith("head/double gives logits (values outside [0, 1], or sums that")
    assert accuracy.endswith(" on the 12 labelled images")
    assert (
        float(accuracy.split()[1])
        == sum(line["rank"] == 1 and line["path"].startswith(line["class"]) for line in lines)
        / len(lines)
        * 2
    )


def test_labels_of_a_manifest_are_not_called_folders(
    featx: Program, photos: Path, names: Path
) -> None:
    (photos / "one.csv").write_text("path,label\ndark/image_0.png,dark\n")
    outcome = featx("predict", "one.csv", *TOY, "--labels", names)
    assert outcome.err.splitlines()[-1].endswith(" on the 1 labelled image")


def test_numbers_without_labels_and_status_3(featx: Program, photos: Path) -> None:
    (photos / "dark" / "broken.png").write_bytes(b"")
    outcome = featx("predict", "dark", *TOY, "--layer", "mean", "-k", "1")
    assert outcome.status == 3
    assert "probability" in outcome.out
    assert "→ mean, 3 classes" in outcome.err
    assert "classes are shown by their number, from 0: --labels names them (a file)" in outcome.err
    assert "failed: broken.png: the file is empty (0 bytes)" in outcome.err
    assert "accuracy" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TOY, "--head", "head"], "There is no head 'head'"),
        (["--labels", "imagenet"], "--labels goes with a model's own classifier: name it with -m"),
        (["--layer", "mean"], "--layer goes with a model's own classifier"),
        (["--img-size", "8"], "--img-size goes with a model's own classifier"),
        (["--preprocess", "tf"], "--preprocess goes with a model's own classifier"),
        (["--signature", "x"], "--signature goes with a model's own classifier"),
        ([*TOY, "--labels", "imagenet"], "gives 3 values for an image; ImageNet has 1,000"),
        ([*TOY, "--labels", "no.txt"], "'no.txt', which does not exist"),
        ([*TOY, "--layer", "map"], "'map' of toy:colors with shape 2×2×3"),
        ([*TOY, "--layer", "meen"], "no layer named 'meen'. Did you mean mean?"),
        (["-m", "builtin:mini"], "builtin:mini knows no classes of its own"),
    ],
)
def test_what_cannot_be_is_one_line(
    featx: Program,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(photos / "no-keras"))
    outcome = featx("predict", "dark", *arguments)
    is_usage = "goes with" in message or "--labels" in arguments
    assert (outcome.status, outcome.out) == (2 if is_usage else 1, "")
    assert message in outcome.err
    assert outcome.err.splitlines()[-1].startswith("featx: ")
