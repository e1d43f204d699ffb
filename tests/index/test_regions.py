"""Which region of a match is like the query: objects that were pasted at known places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.errors import InvalidValue
from featx.images.conversion import fit
from featx.images.orientation import turn_box
from featx.images.placement import place
from featx.images.preprocess import scale_pixels
from featx.index.regions import find_region
from featx.index.searching import search
from featx.input_spec import InputSpec
from featx.models import SOURCES
from featx.models.backbone import Layer, ModelRequest
from featx.models.sources import ModelSource
from featx.specs import ModelSpec
from featx.testing import ToyBackbone
from tests.cli.program import Program
from tests.real_data import REAL_DATA, needs_real_data

CELLS = 8
Box = tuple[int, int, int, int]


class Cells(ToyBackbone):
    """The mean colour of 8 x 8 cells, and of all of them."""

    def features(self) -> Sequence[Layer]:
        return (Layer("cells", "layer", "Cells", 0, (CELLS, CELLS, 3)), Layer("m", "", "", 1, (3,)))

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        scaled = scale_pixels(images, self.spec.input)
        count, height, width, _ = scaled.shape
        cells = scaled.reshape(count, CELLS, height // CELLS, CELLS, width // CELLS, 3)
        maps = cells.mean(axis=(2, 4), dtype=np.float32)
        results: Mapping[str, np.ndarray] = {"cells": maps, "m": maps.mean(axis=(1, 2))}
        return {name: results[name] for name in names}


class CellSource(ModelSource):
    spellings = ("cells:NAME",)

    def load(self, request: ModelRequest) -> Cells:
        contract = request.overrides.apply(InputSpec(32, 32, scaling="unit"))
        spec = ModelSpec(
            source="cells",
            name=request.name,
            location=request.name,
            arguments=(),
            weights_sha256="0" * 64,
            input=contract,
        )
        return Cells(spec)


@pytest.fixture
def cells() -> Iterator[str]:
    SOURCES.add("cells", CellSource())
    yield "cells:any"
    SOURCES.remove("cells")


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union."""
    across = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / (sum(areas) - across * down)


def compose(folder: Path, count: int = 12) -> dict[str, Box]:
    """Green and blue photographs of any shape, with a red object; return where it is."""
    random = np.random.default_rng(5)
    truth = {}
    for number in range(count):
        width, height = random.integers(90, 200, 2).tolist()
        pixels = random.integers(40, 200, (height, width, 3))
        pixels[..., 0] = 20
        across, down = (int(side * random.uniform(0.3, 0.6)) for side in (width, height))
        left, top = random.integers(0, width - across), random.integers(0, height - down)
        pixels[top : top + down, left : left + across] = 230, 30, 40
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        truth[f"{number}.png"] = (int(left), int(top), int(left + across), int(top + down))
    return truth


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)


@pytest.fixture
def query(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 40), (230, 30, 40)).save(tmp_path / "query.png")
    return tmp_path / "query.png"


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_pasted_object_is_found(
    resize: str, cells: str, photos: Path, query: Path, tmp_path: Path
) -> None:
    truth = compose(photos)
    if resize == "crop":  # Which sees the middle alone.
        for key in truth:
            with Image.open(photos / key) as image:
                left, top, right, bottom = place(image.size, InputSpec(32, 32, resize="crop")).seen
            x1, y1, x2, y2 = truth[key]
            truth[key] = (max(x1, left), max(y1, top), min(x2, right), min(y2, bottom))
    store = tmp_path / "f.h5"
    featx.extract(photos, model=cells, layers=["cells"], pool="none", output=store, resize=resize)
    (result,) = search(query, features=store, k=99, where=True).results
    plain = search(query, features=store, k=99).results[0]
    assert [m.key for m in result.matches] == [m.key for m in plain.matches]
    shares = [
        overlap(match.box or (0, 0, 0, 0), truth[match.key])
        for match in result.matches
        if truth[match.key][0] < truth[match.key][2] and truth[match.key][1] < truth[match.key][3]
    ]
    assert np.median(shares) > 0.75
    assert min(shares) > 0.4
    for match in result.matches:
        with Image.open(match.path) as image:
            assert match.size == image.size


def test_a_region_is_matched_against_regions(
    cells: str, photos: Path, tmp_path: Path, program: Program
) -> None:
    """A picture that is pink all over is nearer as a whole than a small red object is."""
    truth = compose(photos)
    Image.new("RGB", (50, 50), (200, 120, 120)).save(photos / "pink.png")
    store = tmp_path / "f.h5"
    featx.extract(photos, model=cells, layers=["cells"], pool="none", output=store)
    left, top, right, bottom = truth["3.png"]
    crop = f"{left},{top},{right - left},{bottom - top}"
    whole = search(keys=["3.png"], features=store, k=12, crop=crop).results[0].matches
    found = search(keys=["3.png"], features=store, k=12, crop=crop, where=True).results[0].matches
    assert whole[0].key == "pink.png"
    assert found[-1].key == "pink.png"
    assert "3.png" not in [match.key for match in found]
    assert len(found) == 12
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)
    assert found[0].score > 0.99
    pages = [
        search(keys=["3.png"], features=store, k=5, skip=skip, crop=crop, where=True)
        for skip in (0, 5, 10)
    ]
    assert [m.key for page in pages for m in page.results[0].matches] == [m.key for m in found]
    done = program(
        *("search", "--key", "3.png", "--features", str(store), "--where", "--crop", crop, "--json")
    )
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["key"], line["box"]) for line in lines] == [
        (match.key, list(match.box or ())) for match in found[: len(lines)]
    ]


@pytest.mark.parametrize("exif", ["apply", "ignore"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_boxes_are_of_the_picture_as_it_is_seen(
    orientation: int, exif: str, cells: str, photos: Path, query: Path, tmp_path: Path
) -> None:
    seen = Image.new("RGB", (160, 80), (20, 120, 90))
    seen.paste((230, 30, 40), (80, 20, 120, 60))
    tag = Image.Exif()
    tag[0x0112] = orientation
    back = {3: "ROTATE_180", 5: "TRANSPOSE", 6: "ROTATE_90", 8: "ROTATE_270"}[orientation]
    seen.transpose(Image.Transpose[back]).save(photos / "a.png", exif=tag)
    seen.transpose(Image.Transpose[back]).save(photos / "b.tif", exif=tag)
    store = tmp_path / "f.h5"
    featx.extract(photos, model=cells, layers=["cells"], pool="none", output=store, exif=exif)
    for match in search(query, features=store, where=True).results[0].matches:
        assert match.size == (160, 80)
        assert overlap(match.box or (0, 0, 0, 0), (80, 20, 120, 60)) > 0.8, (match.key, match.box)


def test_maps_beside_their_mean_are_used(
    cells: str, photos: Path, query: Path, tmp_path: Path
) -> None:
    truth = compose(photos, 4)
    store = tmp_path / "f.h5"
    featx.extract(
        photos, model=cells, layers=["m", "cells"], pool="none", output=store, precision="float32"
    )
    for index in ("flat", "ivf"):
        path = tmp_path / f"{index}.faiss"
        featx.build_index(store, layer="m", kind=index, pca=2, output=path)
        for options in ({"queries": query}, {"keys": ["0.png"]}):
            (result,) = search(index=path, where=True, **options).results
            assert all(match.box is not None for match in result.matches)
    (result,) = search(query, index=path, where=True).results
    assert all(overlap(m.box or (0, 0, 0, 0), truth[m.key]) > 0.5 for m in result.matches)


def test_without_maps_one_line_says_what_to_do(
    cells: str, photos: Path, query: Path, tmp_path: Path
) -> None:
    compose(photos, 2)
    store = tmp_path / "f.h5"
    featx.extract(photos, model=cells, layers=["cells"], pool="max", output=store)
    with pytest.raises(InvalidValue, match="pool='none'"):
        search(query, features=store, where=True)
    featx.extract(photos, model=cells, layers=["cells"], pool="none", output=tmp_path / "n.h5")
    featx.build_index(tmp_path / "n.h5", pool="flatten", output=tmp_path / "n.faiss")
    with pytest.raises(InvalidValue, match="pool='avg'"):
        search(query, features=tmp_path / "n.h5", where=True)


def test_pictures_that_are_gone_or_changed_have_no_box(
    cells: str, photos: Path, query: Path, tmp_path: Path, program: Program
) -> None:
    compose(photos, 3)
    store = tmp_path / "f.h5"
    featx.extract(photos, model=cells, layers=["cells"], pool="none", output=store)
    (photos / "0.png").unlink()
    Image.new("RGB", (9, 9)).save(photos / "1.png")
    done = program("search", str(query), "--features", str(store), "--where", "--json")
    boxes = {line["key"]: line["box"] for line in map(json.loads, done.out.splitlines())}
    assert [boxes["0.png"], boxes["1.png"]] == [None, None]
    assert len(boxes["2.png"]) == 4
    assert "2 matches without a box" in done.err
    done = program("search", str(query), "--features", str(store), "--where", "--csv")
    assert done.out.splitlines()[0].endswith(",path,left,top,right,bottom")


def test_of_a_copy_the_region_is_all() -> None:
    maps = np.random.default_rng(0).random((6, 8, 12))
    assert find_region(maps, maps.mean(axis=(0, 1))) == (0, 0, 1, 1)
    assert find_region(maps, maps[2, 3]) != (0, 0, 1, 1)


def test_where_all_is_alike_the_region_is_all() -> None:
    assert find_region(np.ones((5, 7, 3)), np.ones(3)) == (0, 0, 1, 1)
    assert find_region(np.zeros((1, 1, 3)), np.ones(3)) == (0, 0, 1, 1)
    assert find_region(np.zeros((4, 4, 3)), np.zeros(3)) == (0, 0, 1, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pixels_do(orientation: int) -> None:
    pixels = np.zeros((6, 9), np.uint8)
    pixels[1:3, 4:8] = 255
    stored = Image.fromarray(pixels)
    turns = [
        None,
        *("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270"),
        *("TRANSVERSE", "ROTATE_90"),
    ]
    name = turns[orientation - 1]
    seen = stored if name is None else stored.transpose(Image.Transpose[name])
    assert seen.getbbox() == turn_box((4, 1, 8, 3), (9, 6), orientation)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(90, 40), (40, 90), (64, 64), (1, 50)])
def test_boxes_come_back_from_the_input(resize: Any, size: tuple[int, int]) -> None:
    """What is white in the input lies where the picture is white."""
    contract = InputSpec(64, 48, resize=resize, background=(0, 0, 0))
    placement = place(size, contract)
    pixels = fit(Image.new("RGB", size, (255, 255, 255)), contract)
    assert Image.fromarray(pixels).getbbox() == placement.inside
    assert placement.to_picture(*placement.inside) == placement.seen
    left, top, right, bottom = placement.to_picture(20.0, 20.0, 20.1, 20.1)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


@needs_real_data
@pytest.mark.slow
def test_real_objects_in_real_photographs(tmp_path: Path) -> None:
    """Photographs pasted into others; the built-in network, half of a picture's side in a cell."""
    random = np.random.default_rng(3)
    backgrounds = sorted((REAL_DATA / "images" / "unlabelled").rglob("*.jpg"))
    objects = sorted((REAL_DATA / "images" / "imagenette" / "val").rglob("*.JPEG"))
    truth: dict[str, Box] = {}
    for folder in ("composed", "objects"):
        (tmp_path / folder).mkdir()
    for number in range(60):
        back = Image.open(backgrounds[int(random.integers(len(backgrounds)))]).convert("RGB")
        thing = Image.open(objects[int(random.integers(len(objects)))]).convert("RGB")
        side = int(min(back.size) * random.uniform(0.4, 0.75))
        left, top = (int(random.integers(0, length - side + 1)) for length in back.size)
        back.paste(thing.resize((side, side)), (left, top))
        back.save(tmp_path / "composed" / f"{number}.png")
        thing.save(tmp_path / "objects" / f"{number}.png")
        truth[f"{number}.png"] = (left, top, left + side, top + side)
    store = tmp_path / "f.h5"
    featx.extract(tmp_path / "composed", layers=["block3_conv5"], pool="none", output=store)
    report = search(tmp_path / "objects", features=store, k=60, where=True)
    shares = [
        overlap(match.box or (0, 0, 0, 0), truth[match.key])
        for result in report.results
        for match in result.matches
        if match.key == Path(result.query).name
    ]
    assert len(shares) == 60
    assert np.median(shares) > 0.5
    assert np.mean(np.array(shares) >= 0.5) > 0.5
