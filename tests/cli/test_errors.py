"""Exit statuses and messages: what was expected, what came, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Program

TOY = ("-m", "toy:colors")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["extract", "--weights", "w.h5"], 2, "name it with -m, for example -m keras:"),
        (["extract", "nowhere", *TOY], 1, "There is no file or folder 'nowhere'"),
        (["extract", "-m", "VGG91"], 1, "no model named 'VGG91'. Did you mean VGG19"),
        (["extract", *TOY, "--layer", "meen"], 1, "no layer named 'meen'. Did you mean mean?"),
        (["extract", *TOY, "--layer", "z*"], 1, "The pattern matches none of the 3 layers"),
        (["extract", *TOY, "--layer", "7"], 1, "numbered 0 to 1"),
        (["extract", *TOY, "--img-size", "big"], 2, "Received: 'big'. For example: --img-size 224"),
        (["extract", *TOY, "-o", "no/such/f.h5"], 1, "there is no folder 'no/such'. Make it"),
        (["extract", *TOY, "--pool", "median"], 2, "for '--pool': 'median' is not one of 'none', "),
        (["extract", *TOY, "--engine", "tensrt"], 2, "for '--engine': 'tensrt' is not one of "),
        (["extract", *TOY, "-b", "0"], 2, "0 is not in the range x>=1"),
        (["extract", "--no-such-option"], 2, "No such option"),
        (["no-such-command"], 2, "No such command"),
        (["serach"], 2, "No such command 'serach'. Did you mean search"),
        (["extract", "--modle", "x"], 2, "No such option: --modle. Did you mean --model"),
        (["fit-head", "--zzzz"], 2, "No such option: --zzzz."),
        (["extract", "--pool", "median"], 2, "'mean'. Add-ons may bring others: the package"),
        (["search"], 2, "name a picture"),
        (["search", "dark/image_0.png"], 1, "There is no feature store 'features.h5'"),
        (["search", "dark/image_0.png", "--index", "x.faiss"], 1, "There is no index 'x.faiss'"),
        (["fit-head"], 1, "There is no feature store 'features.h5'. `featx extract` makes one"),
        (["predict", "dark"], 1, "There is no head 'head'. `featx fit-head` makes one."),
        (["info", "dark/image_0.png"], 1, "cannot be opened as an HDF5 file"),
        (["index"], 1, "There is no feature store"),
    ],
)
def test_errors_are_one_line_with_a_remedy(
    featx: Program, photos: Path, arguments: list[str], status: int, message: str
) -> None:
    outcome = featx(*arguments)
    assert outcome.status == status
    assert message in " ".join(outcome.err.replace("│", " ").split())
    assert outcome.out == ""
    if status == 1:
        assert outcome.err.splitlines()[-1].startswith("featx: ")
        assert "Traceback" not in outcome.err
    assert not (photos / "features.h5.parts").exists(), "nothing is left behind"


def test_debug_shows_the_traceback_wherever_it_stands(featx: Program, photos: Path) -> None:
    from featx.errors import FeatxError

    with pytest.raises(FeatxError):
        featx("info", "none.h5", "--debug")
    with pytest.raises(FeatxError):
        featx("--debug", "info", "none.h5")


def test_another_model_or_preprocessing_is_refused_by_field(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "mean")
    other = featx("extract", "-m", "toy:colors,weights=2", "--layer", "mean")
    assert other.status == 1
    assert "weights_sha256: expected" in other.err
    scaled = featx("extract", *TOY, "--layer", "mean", "--preprocess", "tf", "--resize", "crop")
    assert "input.scaling: expected unit, received tf" in scaled.err
    assert "input.resize: expected stretch, received crop" in scaled.err
    assert "--overwrite" in scaled.err
    assert featx("extract", *TOY, "--layer", "map", "--overwrite").status == 0


def test_an_index_of_another_store_is_refused(featx: Program, photos: Path) -> None:
    featx("extract", *TOY, "--layer", "mean", "-o", "a.h5")
    featx("extract", *TOY, "--layer", "map", "-o", "b.h5")
    featx("index", "a.h5")
    outcome = featx("search", "dark/image_0.png", "--index", "a.faiss", "--features", "b.h5")
    assert outcome.status == 1
    assert "does not belong to 'b.h5'" in outcome.err
    assert "layer: expected mean, received map" in outcome.err


def test_an_empty_store_is_said_to_be_empty(featx: Program, photos: Path) -> None:
    (photos / "bad").mkdir()
    (photos / "bad" / "a.jpg").write_bytes(b"")
    outcome = featx("extract", "bad", *TOY, "--layer", "mean")
    assert outcome.status == 3
    assert "None of the images could be used: 1 image failed. The first one: " in outcome.err
    assert "0 rows (0 computed, 0 already there, 1 failed)" in outcome.out
    for arguments in (["index"], ["search", "dark/image_0.png"]):
        outcome = featx(*arguments)
        assert outcome.status == 1
        assert "holds no features: none of its images could be used" in outcome.err
    outcome = featx("fit-head")
    assert outcome.status == 1
    assert "at least two classes" in outcome.err


def test_strict_and_max_failures_stop(featx: Program, photos: Path) -> None:
    (photos / "dark" / "image_2.png").write_bytes(b"")
    strict = featx("extract", *TOY, "--layer", "mean", "--strict")
    assert strict.status == 1
    assert "1 image failed; the limit is 0" in strict.err
    assert featx("extract", *TOY, "--layer", "mean", "--max-failures", "1").status == 3


def test_interruption_is_said_and_keeps_the_work(
    featx: Program, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.testing import ToyBackbone

    original, calls = ToyBackbone.__call__, []

    def interrupted(self: ToyBackbone, images: object, names: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, images, names)  # type: ignore[arg-type]

    monkeypatch.setattr(ToyBackbone, "__call__", interrupted)
    outcome = featx("extract", *TOY, "--layer", "mean", "-b", "2")
    assert outcome.status == 130
    assert "the same command goes on from there" in outcome.err
    assert "not finished" in featx("info").err
    rest = featx("extract", *TOY, "--layer", "mean", "-b", "2")
    assert "12 rows (8 computed, 4 already there)" in rest.out
