"""The contract of a source of images.

An author's function stores sample pictures in the source's own format; the tests then list them,
extract features from them, change them and list them again::

    def build_tape(folder: Path, pictures: Sequence[SamplePicture]) -> BuiltSource:
        write_tape(folder / "photos.tape", pictures)
        return BuiltSource.at(folder / "photos.tape", [picture.name for picture in pictures])

    @pytest.mark.parametrize("build", [build_tape])
    class TestImages(ImageSourceContract, PictureFilesContract):
        pass
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featx.extraction import ExtractReport, extract
from featx.images.sources import find_images
from featx.store import open_store
from featx.testing.toy import toy_model

BROKEN = b"\x89PNG\r\n\x1a\n and then nothing"
"""The content of a damaged picture."""


@dataclass(frozen=True)
class SamplePicture:
    """A picture to store in a source.

    Attributes:
        name: Its path in a folder or archive, such as ``cat/0.png``.
        label: The first folder of the name.
        pixels: uint8 (8, 8, 3).
        data: The PNG file with these pixels, or `BROKEN`.
    """

    name: str
    label: str
    pixels: np.ndarray
    data: bytes


@dataclass(frozen=True)
class BuiltSource:
    """A source that holds sample pictures.

    Attributes:
        arguments: Returns the arguments of `featx.extract` that name the images.
        keys: The keys of the pictures, in their order.
        num_readers: The most objects that may read them: one for each file that was opened.
    """

    arguments: Callable[[], Mapping[str, Any]]
    keys: list[str]
    num_readers: int = 1

    @classmethod
    def at(cls, location: str | Path, keys: list[str]) -> BuiltSource:
        """Return the source at one location."""
        return cls(lambda: {"images": location}, keys)

    def extract(self, output: Path, **options: Any) -> ExtractReport:
        """Extract the mean colour of the pictures."""
        arguments = {"images": (), **self.arguments(), **options}
        return extract(model=toy_model(), layers=["mean"], output=output, batch_size=3, **arguments)


BuildSource = Callable[[Path, Sequence[SamplePicture]], BuiltSource]
"""Stores pictures below an empty folder."""


def make_pictures(count: int = 7, broken: int | None = None) -> list[SamplePicture]:
    """Return pictures of the classes ``cat`` and ``dog`` in natural order.

    Args:
        count: How many.
        broken: Number of one that is damaged.
    """
    random = np.random.default_rng(4)
    pictures = []
    for number in range(count):
        label = "cat" if number < count // 2 else "dog"
        pixels = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        data = BROKEN if number == broken else encode_png(pixels)
        pictures.append(SamplePicture(f"{label}/{number}.png", label, pixels, data))
    return pictures


def encode_png(pixels: np.ndarray) -> bytes:
    """Return pixels as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def mean_colors(pictures: Sequence[SamplePicture]) -> np.ndarray:
    """Return what the toy model computes, float (N, 3)."""
    return np.stack([picture.pixels.mean(axis=(0, 1)) / 255 for picture in pictures])


class ImageSourceContract:
    """Tests that take a function which builds a source."""

    def test_features_labels_and_keys(self, build: BuildSource, tmp_path: Path) -> None:
        """Every picture gets its key, its label and its own features, in order."""
        pictures = make_pictures()
        built = build(new_folder(tmp_path), pictures)
        report = built.extract(tmp_path / "f.h5")
        assert (report.done, report.failed, report.rows) == (7, 0, 7)
        with open_store(tmp_path / "f.h5") as store:
            table = store.table("mean")
        assert list(table.keys) == built.keys
        assert list(table.labels) == [picture.label for picture in pictures]
        np.testing.assert_allclose(table.values, mean_colors(pictures), rtol=1e-5)

    def test_the_second_run_computes_nothing(self, build: BuildSource, tmp_path: Path) -> None:
        """Sizes and times of an unchanged source are those of the first run."""
        built = build(new_folder(tmp_path), make_pictures())
        built.extract(tmp_path / "f.h5")
        before = (tmp_path / "f.h5").read_bytes()
        report = built.extract(tmp_path / "f.h5")
        assert (report.done, report.skipped, report.reused, report.rows) == (0, 7, 0, 7)
        assert (tmp_path / "f.h5").read_bytes() == before

    def test_a_picture_that_is_gone(self, build: BuildSource, tmp_path: Path) -> None:
        """It is reported missing, keeps its row, and loses it when rows are pruned."""
        built = build(new_folder(tmp_path), make_pictures())
        built.extract(tmp_path / "f.h5")
        built = build(new_folder(tmp_path), make_pictures()[:-1])
        report = built.extract(tmp_path / "f.h5")
        assert (report.done, report.missing, report.rows) == (0, 1, 7)
        report = built.extract(tmp_path / "f.h5", prune=True)
        assert (report.removed, report.rows) == (1, 6)

    def test_items_are_read_in_any_order(self, build: BuildSource, tmp_path: Path) -> None:
        """Each returns its picture's bytes; all share the object that reads them."""
        pictures = make_pictures()
        built = build(new_folder(tmp_path), pictures)
        arguments = dict(built.arguments())
        found = find_images(arguments.pop("images", ()), **arguments)
        assert len(found.items) == 7
        assert len({id(item.reader) for item in found.items}) <= built.num_readers
        for item, picture in zip(reversed(found.items), reversed(pictures), strict=True):
            data = item.read_bytes()
            assert data == picture.data or data.endswith(picture.pixels.tobytes())

    def test_what_is_excluded_is_not_gone(self, build: BuildSource, tmp_path: Path) -> None:
        """Excluded pictures are not listed, and keep their rows."""
        built = build(new_folder(tmp_path), make_pictures())
        built.extract(tmp_path / "f.h5")
        report = built.extract(tmp_path / "f.h5", exclude=[built.keys[1], built.keys[2]])
        assert (report.skipped, report.missing, report.rows) == (5, 0, 7)
        arguments = {"images": (), **built.arguments()}
        found = find_images(arguments.pop("images"), exclude=[built.keys[0]], **arguments)
        assert [item.key for item in found.items] == built.keys[1:]

    def test_two_locations_share_a_root(self, build: BuildSource, tmp_path: Path) -> None:
        """Where two locations are named, no key of the one is a key of the other."""
        named = []
        for name in ("a", "b"):
            images = build(new_folder(tmp_path, name), make_pictures()).arguments()["images"]
            named += images if isinstance(images, list) else [images]
        found = find_images(named)
        assert (len(found.items), found.failures) == (14, ())
        assert len({item.key for item in found.items}) == 14
        assert len({id(item.root) for item in found.items}) == 1


class PictureFilesContract:
    """Tests for sources whose pictures are files, which may be damaged one by one."""

    def test_a_damaged_picture_is_one_failure(self, build: BuildSource, tmp_path: Path) -> None:
        """No other picture gets its row or its features."""
        pictures = make_pictures(broken=3)
        built = build(new_folder(tmp_path), pictures)
        report = built.extract(tmp_path / "f.h5")
        assert (report.done, report.failed) == (6, 1)
        good = [number for number in range(7) if number != 3]
        with open_store(tmp_path / "f.h5") as store:
            assert list(store.keys) == [built.keys[number] for number in good]
            assert [failure.key for failure in store.failures] == [built.keys[3]]
            values = store.table("mean").values
        expected = mean_colors([pictures[number] for number in good])
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def new_folder(tmp_path: Path, name: str = "source") -> Path:
    """Return an empty folder, the same one for the same name."""
    folder = tmp_path / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
