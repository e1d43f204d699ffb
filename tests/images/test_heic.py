"""HEIC: decoded whole, whatever its plugin offers; rows of shifted pixels are computed again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

import featx
from featx.errors import AllImagesFailed, ImageError
from featx.extraction import preparing
from featx.images import decode, reduced
from featx.images.decode import decode_image
from featx.images.formats import load_plugins
from featx.index.building import build_index, is_current
from featx.input_spec import InputSpec
from featx.store import open_store

HEADER = b"\0\0\0\x18ftypheic"


class PictureWithThumbnail(PngImageFile):
    """As pillow-heif 1.8: a smaller size may be had, of the thumbnail, which shows a part."""

    format = "HEIF"

    def draft(self, mode: Any, size: Any) -> Any:
        thumbnail = self.crop((10, 0, 75, 50))
        self.im, self._size, self.tile = thumbnail.im, thumbnail.size, []
        return self.mode, (0, 0, *thumbnail.size)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    load_plugins()

    def factory(file: Any, name: Any) -> Image.Image:
        return PictureWithThumbnail(io.BytesIO(file.read()[len(HEADER) :]))

    def accept(beginning: bytes) -> bool:
        return beginning.startswith(HEADER)

    monkeypatch.setitem(Image.OPEN, "HEIF", (factory, accept))


@pytest.fixture
def as_before(plugin: None) -> Iterator[pytest.MonkeyPatch]:
    """As featx was before: every format was asked for a fraction, and runs named no decoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduced, "FORMATS", ("JPEG", "MPO", "HEIF"))
        patch.setattr(preparing, "DECODERS", "of_a_test")
        yield patch


def write_heic(path: Path, seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 8, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((80, 50), Image.Resampling.BICUBIC).save(file, "PNG")
    path.write_bytes(HEADER + file.getvalue())
    return path.read_bytes()


def means(store: Path) -> dict[str, np.ndarray]:
    with open_store(store) as opened:
        return dict(zip(opened.keys, opened.features("mean")[:], strict=True))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_no_thumbnail_is_taken_for_the_picture(plugin: None, tmp_path: Path, resize: Any) -> None:
    data = write_heic(tmp_path / "a.heic", 0)
    contract = InputSpec(8, 8, scaling="raw", resize=resize)
    exact = decode_image(data, replace(contract, decode="exact"))
    np.testing.assert_array_equal(decode_image(data, contract), exact)


def test_shifted_rows_are_computed_again_once(
    as_before: pytest.MonkeyPatch, toy: str, photos: Path, store: Path
) -> None:
    notes: list[str] = []

    class Notes(featx.Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    def extract(**options: Any) -> Any:
        notes.clear()
        options = {"model": toy, "layers": ["mean"], "output": store} | options
        return featx.extract(photos, listener=Notes(), **options)

    for number, name in enumerate(["a.heic", "b.HEIF", "gone.heic"]):
        write_heic(photos / name, number)
    (photos / "copy.heic").write_bytes((photos / "a.heic").read_bytes())
    Image.new("RGB", (9, 9), (10, 20, 30)).save(photos / "c.png")
    extract()
    shifted = means(store)
    index = build_index(store)
    as_before.undo()
    (photos / "gone.heic").rename(photos.parent / "gone.heic")

    assert extract(dry_run=True).done == 2
    report = extract()
    assert (report.done, report.reused, report.skipped, report.missing) == (2, 1, 1, 1)
    assert any(note.startswith("3 HEIC pictures are computed again") for note in notes)
    exact = store.with_name("exact.h5")
    featx.extract(photos, model=toy, layers=["mean"], output=exact, decode="exact")
    right, now = means(exact), means(store)
    assert now.keys() == {*right, "gone.heic"}
    for key, values in right.items():
        np.testing.assert_array_equal(now[key], values)
        assert (key == "c.png") == np.array_equal(now[key], shifted[key])

    # What was made from the store is out of date, and takes no vector from before.
    assert not is_current(index, store)
    renewed = build_index(store, previous=index)
    rows = {key: row for row, key in enumerate(renewed.description.keys)}
    for key, values in now.items():
        expected = values / np.linalg.norm(values)
        np.testing.assert_allclose(renewed.vectors(np.array([rows[key]]))[0], expected, atol=1e-6)

    assert extract().skipped == 4
    (photos.parent / "gone.heic").rename(photos / "gone.heic")  # Still in doubt.
    assert (extract().done, extract().done) == (1, 0)
    assert not np.array_equal(means(store)["gone.heic"], shifted["gone.heic"])


def test_refused_pictures_are_tried_again(
    plugin: None, monkeypatch: pytest.MonkeyPatch, toy: str, photos: Path, store: Path
) -> None:
    write_heic(photos / "a.heic", 0)

    def refuse(*arguments: object) -> None:
        raise ImageError("damaged or unsupported image: box can't exceed original image size")

    with monkeypatch.context() as patch:
        patch.setattr(decode, "fit", refuse)
        with pytest.raises(AllImagesFailed, match="box can't exceed original image size"):
            featx.extract(photos, model=toy, layers=["mean"], output=store)
    assert featx.extract(photos, model=toy, layers=["mean"], output=store).done == 1


def test_runs_name_their_decoders(run: Any, photos: Path, store: Path) -> None:
    Image.new("RGB", (9, 9)).save(photos / "c.png")
    run()
    with open_store(store) as opened:
        decoders = opened.header.runs[-1]["decoders"]
    assert {"pillow", "libjpeg-turbo"} <= decoders.keys()


def test_thumbnails_of_the_real_plugin() -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    coarse = np.random.default_rng(0).integers(0, 256, (10, 15, 3)).astype(np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(coarse).resize((1500, 1000), Image.Resampling.BICUBIC)
    picture.save(file, "HEIF", thumbnails=[512])
    contract = InputSpec(128, 128, scaling="raw")
    exact = decode_image(file.getvalue(), replace(contract, decode="exact"))
    np.testing.assert_array_equal(decode_image(file.getvalue(), contract), exact)
