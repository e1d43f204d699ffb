"""A source of images that another package could add: one file and one registration."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import featx
from featx.images.sources import IMAGE_SOURCES
from featx.testing import toy_model
from featx.testing.contracts.images import (
    BuiltSource,
    ImageSourceContract,
    PictureFilesContract,
    SamplePicture,
    make_pictures,
)


@pytest.fixture(autouse=True)
def _registration() -> Iterator[None]:
    IMAGE_SOURCES.add("json lines", "tests.additions.json_lines:SOURCE")
    yield
    IMAGE_SOURCES.remove("json lines")


def build(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
    lines = [
        json.dumps({"name": p.name, "label": p.label, "data": base64.b64encode(p.data).decode()})
        for p in pictures
    ]
    (folder / "photos.b64").write_text("\n".join(lines))
    return BuiltSource.at(folder / "photos.b64", [picture.name for picture in pictures])


@pytest.mark.parametrize("build", [build])
class TestJsonLines(ImageSourceContract, PictureFilesContract):
    pass


def test_extract_takes_it_beside_the_other_sources(tmp_path: Path) -> None:
    pictures = make_pictures()
    build(tmp_path, pictures)
    (tmp_path / "1.png").write_bytes(pictures[0].data)
    found = [tmp_path / "photos.b64", tmp_path / "1.png"]
    featx.extract(found, model=toy_model(), layers=["mean"], output=tmp_path / "f.h5")
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.keys == ("1.png", *(f"photos.b64/{p.name}" for p in pictures))
        assert store.root.path == tmp_path
