"""Questions of several pictures, of parts of pictures, of folders: with a network of known output.

The toy's layer ``mean`` is the mean colour, so that every expected vector can be written down.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.errors import AllImagesFailed, ImageError, ImagesNotFound, InvalidValue
from featx.extraction import extract
from featx.images.cropping import parse_crop
from featx.index.searching import search
from tests.store_samples import write_color


@pytest.fixture
def store(toy: str, photos: Path, tmp_path: Path) -> Path:
    for name, color in {
        "red": (255, 0, 0),
        "green": (0, 255, 0),
        "blue": (0, 0, 255),
        "yellow": (255, 255, 0),
        "purple": (255, 0, 255),
    }.items():
        write_color(photos / f"{name}.png", color)
    extract(photos, model=toy, layers=["mean"], output=tmp_path / "f.h5")
    return tmp_path / "f.h5"


def best(report: object) -> list[str]:
    return [result.matches[0].key for result in report.results]  # type: ignore[attr-defined]


def test_colours_add_and_subtract(store: Path, photos: Path, tmp_path: Path) -> None:
    red = write_color(tmp_path / "r.png", (255, 0, 0))
    green = write_color(tmp_path / "g.png", (0, 255, 0))
    report = search(red, add=str(green), features=store, k=1)
    (match,) = report.results[0].matches
    assert (match.key, match.score) == ("yellow.png", pytest.approx(1))
    difference = search(photos / "yellow.png", subtract="red.png", features=store, k=9).results[0]
    assert difference.matches[0].key == "green.png"
    assert {match.key for match in difference.matches} == {"green.png", "blue.png", "purple.png"}


def test_weights_and_folders_as_terms(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    write_color(folder / "1.png", (0, 250, 0))
    write_color(folder / "2.png", (0, 0, 250))
    blue = write_color(tmp_path / "b.png", (0, 0, 250))
    (result,) = search(f"3:{blue}", add=str(folder), features=store, k=5).results
    total = 3 * np.array([0, 0, 1]) + np.array([0, 0.5, 0.5])
    scores = {match.key: match.score for match in result.matches}
    assert result.query == str(blue)
    assert scores["green.png"] == pytest.approx(0.5 / np.linalg.norm(total))


def test_a_file_named_like_a_weight_is_the_file(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_color(tmp_path / "2:b.png", (0, 0, 250))
    assert best(search(keys=["red.png"], add="2:b.png", features=store, k=1)) == ["purple.png"]


def test_terms_that_cannot_be_used_are_errors(store: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InvalidValue, match=r"bad\.png' cannot be used"):
        search(keys=["red.png"], add=str(tmp_path / "bad.png"), features=store)
    with pytest.raises(ImagesNotFound, match=r"stored image 'no\.png'.*keys of the index"):
        search(keys=["red.png"], add="no.png", features=store)
    with pytest.raises(InvalidValue, match=r"not negative; subtract='2:no\.png' subtracts"):
        search(keys=["red.png"], add="-2:no.png", features=store)


def test_a_weight_without_terms_changes_nothing(store: Path, tmp_path: Path) -> None:
    blue = write_color(tmp_path / "b.png", (0, 0, 250))
    asked = {"features": store, "k": 2}
    assert search(f"2:{blue}", **asked).results == search(str(blue), **asked).results
    weighted, plain = (search(keys=[key], **asked) for key in ("2:red.png", "red.png"))
    assert weighted.results == plain.results


def test_a_question_of_which_nothing_is_left_is_an_error(store: Path) -> None:
    with pytest.raises(InvalidValue, match=r"Nothing is left of 'red\.png' with -red\.png"):
        search(keys=["red.png"], subtract="red.png", features=store)


def test_a_part_is_of_the_picture_as_it_is_seen(store: Path, tmp_path: Path) -> None:
    """Left half red, right half blue; stored on its side, with the tag that turns it upright."""
    seen = Image.new("RGB", (40, 20), (255, 0, 0))
    seen.paste((0, 0, 255), (20, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    seen.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "q.png", exif=exif)
    for crop, key in {
        "0,0,20,20": "red.png",
        "20,0,20,20": "blue.png",
        "50%,0%,50%,100%": "blue.png",
        "0,0,100%,100%": "purple.png",
    }.items():
        assert best(search(tmp_path / "q.png", crop=crop, features=store, k=1)) == [key], crop


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16", "CMYK"])
def test_pictures_of_every_mode_are_cropped(mode: str, store: Path, tmp_path: Path) -> None:
    picture = Image.new("RGB", (10, 10), (255, 255, 0)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.full((10, 10), 40_000, np.uint16))
    path = tmp_path / ("q.tif" if mode == "CMYK" else "q.png")
    picture.save(path)
    whole, part = (
        search(path, features=store, k=5, crop=crop).results[0].matches
        for crop in (None, "10%,10%,50%,50%")
    )
    assert {m.key: m.score for m in whole} == pytest.approx({m.key: m.score for m in part})


def test_a_part_outside_of_the_picture_is_a_failure(store: Path, photos: Path) -> None:
    with pytest.raises(AllImagesFailed, match="outside of the picture, 8 x 8"):
        search(photos / "red.png", crop="8,0,4,4", features=store)


def test_a_part_of_a_stored_image(toy: str, photos: Path, tmp_path: Path) -> None:
    for name, color in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        write_color(photos / f"{name}.png", color)
    halves = Image.new("RGB", (40, 20), (255, 0, 0))
    halves.paste((0, 0, 255), (20, 0, 40, 20))
    halves.save(photos / "halves.png")
    archive = shutil.make_archive(str(tmp_path / "a"), "tar", photos)
    for images, name in ((photos, "folder"), (archive, "archive")):
        store = tmp_path / f"{name}.h5"
        extract(images, model=toy, layers=["mean"], output=store)
        report = search(keys=["halves.png"], crop="50%,0,50%,100%", features=store, k=1)
        assert best(report) == ["blue.png"]
    with pytest.raises(InvalidValue, match="outside of the picture"):
        search(keys=["halves.png"], crop="40,0,4,4", features=store)
    Path(archive).unlink()
    with pytest.raises(InvalidValue, match="cannot be read"):
        search(keys=["halves.png"], crop="50%,0,50%,100%", features=store)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "0,0,0,5", "1,2,3,-4", "0,0,101%,5", "a"])
def test_wrong_parts(text: str) -> None:
    with pytest.raises(InvalidValue, match="X,Y,W,H"):
        parse_crop(text)


def test_parts_end_at_the_edge() -> None:
    assert parse_crop("5, 6, 100, 50%").box(20, 10) == (5, 6, 20, 10)
    with pytest.raises(ImageError, match="outside"):
        parse_crop("20,0,1,1").box(20, 10)


def test_columns_and_splits_of_a_manifest_filter(toy: str, photos: Path, tmp_path: Path) -> None:
    lines = ["path,label,split,price"]
    for number in range(6):
        write_color(photos / f"{number}.png", (20 + 30 * number, 200, 50))
        split = "train" if number < 4 else "test"
        lines.append(f"{number}.png,c,{split},{'' if number == 2 else 10 * number}")
    (photos / "list.csv").write_text("\n".join(lines))
    extract(photos / "list.csv", model=toy, layers=["mean"], output=tmp_path / "g.h5")

    def found(**options: str) -> set[str]:
        (result,) = search(keys=["0.png"], features=tmp_path / "g.h5", **options).results
        return {match.key for match in result.matches}

    assert found(split="train") == {"1.png", "2.png", "3.png"}
    assert found(where_column="price < 40") == {"1.png", "3.png"}
    assert found(where_column="price >= 30", split="test") == {"4.png", "5.png"}
