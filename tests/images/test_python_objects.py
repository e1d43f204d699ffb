"""Arrays, datasets and iterators handed over in Python."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.errors import ImageError, InvalidValue
from featx.images.decode import decode_image
from featx.images.roots import MEMORY
from featx.images.sources import gather
from featx.images.sources.pictures import encode_picture
from featx.input_spec import InputSpec
from featx.store import open_store
from featx.testing import write_images
from featx.testing.contracts.images import make_pictures
from tests.images.source_files import arrays_of, write_files


@pytest.fixture
def extract(tmp_path: Path, toy: str) -> Callable[..., Any]:
    def run(images: Any, **options: Any) -> Any:
        return featx.extract(
            images, model=toy, layers=["mean"], output=tmp_path / "f.h5", batch_size=2, **options
        )

    return run


def test_an_image_is_an_array_a_pillow_image_bytes_or_a_path(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    pictures = make_pictures(6)
    path = tmp_path / "a.png"
    path.write_bytes(pictures[3].data)
    given = [
        ("a", pictures[0].pixels),
        ("b", Image.fromarray(pictures[1].pixels), "cat"),
        ("c", pictures[2].data, 7),
        ("d", path, b"dog"),
        ("e", str(path), None),
        ("f", pictures[5].pixels.transpose(2, 0, 1)),
    ]
    report = extract(iter(given))
    assert (report.done, report.reused, report.failed, report.rows) == (5, 1, 0, 6)
    with featx.open_store(tmp_path / "f.h5") as store:
        table = store.table("mean")
    assert dict(zip(table.keys, table.labels, strict=True)) == {
        "a": None,
        "b": "cat",
        "c": "7",
        "d": "dog",
        "e": None,
        "f": None,
    }
    of_key = dict(zip(table.keys, table.values, strict=True))
    for key, number in zip("abcdef", (0, 1, 2, 3, 3, 5), strict=True):
        expected = pictures[number].pixels.mean(axis=(0, 1)) / 255
        np.testing.assert_allclose(of_key[key], expected, rtol=1e-5)


def test_what_is_wrong_with_one_image_is_a_failure_of_that_image(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    pixels = make_pictures()[0].pixels
    given = {
        "a": pixels,
        "float": pixels / 255,
        "shape": np.zeros((8, 8, 2), np.uint8),
        "empty": np.zeros((0, 8, 3), np.uint8),
        "gone": tmp_path / "gone.png",
        "../out": pixels,
        "broken": b"nonsense",
        "z": 255 - pixels,
    }
    report = extract(given)
    assert (report.done, report.failed) == (2, 6)
    with featx.open_store(tmp_path / "f.h5") as store:
        reasons = {failure.key: failure.reason for failure in store.failures}
        assert list(store.keys) == ["a", "z"]
    assert "uint8 in [0, 255]" in reasons["float"]
    assert "(8, 8, 2)" in reasons["shape"]
    assert reasons["gone"] == "No such file or directory"
    assert "leads out" in reasons["../out"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (42, "Received: int"),
        ([("a",)], r"\(key, image\) or \(key, image, label\).*tuple of 1 values"),
        ([(3, b"x")], "A key is a text, .* Received: 3"),
        ([("a", object())], "An image is an array.*object for 'a'"),
        ([("a", b"x"), ("a", b"y")], "a key of its own. Received: 'a' a second time"),
        ([("a", b"x", 1.5)], "A label is a text or a whole number. Received: 1.5"),
        (np.zeros((2, 8, 8, 3)), r"holds float64.*\* 255"),
        (np.zeros((8, 8, 3, 1, 1), np.uint8), r"of shape \(N, H, W\)"),
        (np.arange(3), r"of shape \(N, H, W\)"),
        ((np.zeros((2, 8, 8), np.uint8), [1]), r"shape \(2,\). Received: shape \(1,\)"),
    ],
)
def test_what_is_no_source_is_refused_with_what_was_expected(
    extract: Callable[..., Any], images: Any, message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        extract(images)


def test_labels_belong_to_images_in_an_order(extract: Callable[..., Any], tmp_path: Path) -> None:
    write_images(1, tmp_path / "photos")
    with pytest.raises(InvalidValue, match="labels= belongs to an array"):
        extract(tmp_path / "photos", labels=[1])
    with pytest.raises(InvalidValue, match="1 label for 0 pictures"):
        extract(iter([]), labels=[1])
    with pytest.raises(InvalidValue, match="given twice"):
        extract((np.zeros((1, 8, 8), np.uint8), [1]), labels=[1])
    with pytest.raises(InvalidValue, match="choose among files"):
        extract(np.zeros((1, 8, 8), np.uint8), exclude=["a"])
    with pytest.raises(InvalidValue, match="no dry run"):
        extract(iter([]), dry_run=True)


def test_keys_stored_with_the_same_content_are_not_computed_again(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    pictures = make_pictures()

    def stream(changed: int | None = None) -> Iterator[tuple[str, Any, str]]:
        for number, picture in enumerate(pictures):
            pixels = 255 - picture.pixels if number == changed else picture.pixels
            yield picture.name, pixels, picture.label

    assert extract(stream()).done == 7
    report = extract(stream(changed=2))
    assert (report.done, report.skipped, report.rows) == (1, 6, 7)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.header.root == MEMORY
        assert list(store.keys) == [picture.name for picture in pictures]


def test_what_a_generator_gave_before_it_failed_is_kept(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    pictures = make_pictures()

    def stream() -> Iterator[tuple[str, bytes]]:
        for number, picture in enumerate(pictures):
            if number == 5:
                raise RuntimeError("the database is gone")
            yield picture.name, picture.data

    with pytest.raises(RuntimeError, match="the database is gone"):
        extract(stream())
    report = extract((picture.name, picture.data) for picture in pictures)
    assert report.skipped == 5
    assert (report.done + report.skipped, report.rows) == (7, 7)


def test_pruning_needs_to_be_asked_for_and_failures_stay_until_then(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    extract({"a": make_pictures()[0].data, "bad": b"x"})
    report = extract({"b": make_pictures()[1].data})
    assert (report.rows, report.missing) == (2, 0)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert [failure.key for failure in store.failures] == ["bad"]
    report = extract({"b": make_pictures()[1].data}, prune=True)
    assert (report.rows, report.removed) == (1, 1)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.failures == ()


def test_folders_and_objects_do_not_share_a_store(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    folder = write_images(2, tmp_path / "photos")
    extract({"a": make_pictures()[0].data})
    with pytest.raises(featx.FeatxError, match="folder: expected python:, received /"):
        extract(folder)


def test_a_long_stream_is_not_held_in_memory(extract: Callable[..., Any]) -> None:
    def stream() -> Iterator[tuple[str, np.ndarray]]:
        for number in range(400):
            yield str(number), np.full((256, 256, 3), number % 256, np.uint8) + number // 256

    extract({"warm up": make_pictures()[0].data})
    tracemalloc.start()
    assert extract(stream(), workers=2).rows == 401
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20  # of 80 MB


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16", "CMYK", "RGB"])
def test_pillow_images_of_every_mode_become_what_their_files_become(mode: str) -> None:
    import io

    image = Image.fromarray(make_pictures()[0].pixels)
    image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF" if mode == "CMYK" else "PNG")
    contract = InputSpec(8, 8)
    expected = decode_image(file.getvalue(), contract)
    assert np.array_equal(decode_image(encode_picture(image), contract), expected)


def test_predict_and_search_take_objects(extract: Callable[..., Any], tmp_path: Path) -> None:
    x, y = arrays_of(make_pictures(30))
    x[15:] = 255 - x[15:] // 4
    extract(x, labels=y)
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    report = featx.predict((x, y), head=tmp_path / "head")
    assert [p.path for p in report.predictions] == [f"{n:05d}" for n in range(30)]
    assert report.num_fitted_on == 30
    found = featx.search({"query": x[3]}, features=tmp_path / "f.h5", k=1)
    assert (found.results[0].query, found.results[0].matches[0].key) == ("query", "00003")


def test_a_shard_of_a_stream(extract: Callable[..., Any]) -> None:
    given = {picture.name: picture.data for picture in make_pictures(20)}
    first = extract(given, shard=(1, 2)).done
    assert 0 < first < 20
    assert extract(given, shard=(2, 2)).done == 20 - first


@pytest.mark.tensorflow
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("form", ["pairs", "images", "dicts", "files"])
def test_a_real_dataset(batch: int | None, form: str, extract: Callable[..., Any]) -> None:
    import tensorflow as tf

    pictures = make_pictures()
    x, y = arrays_of(pictures)
    files = np.array([picture.data for picture in pictures], object)
    dataset = tf.data.Dataset.from_tensor_slices(
        {
            "pairs": (x, y.tolist()),
            "images": x,
            "dicts": {"image": x, "label": [3] * 7},
            "files": (files.tolist(), y.tolist()),
        }[form]
    )
    report = extract(dataset if batch is None else dataset.batch(batch))
    assert (report.done, report.failed) == (7, 0)
    with featx.open_store(report.output) as store:
        table = store.table("mean")
    np.testing.assert_allclose(table.values, x.mean(axis=(1, 2)) / 255, rtol=1e-5)
    labels = {"images": [None] * 7, "dicts": ["3"] * 7}.get(form, y.tolist())
    assert (list(table.labels), list(table.keys)) == (labels, [f"{n:05d}" for n in range(7)])


@pytest.mark.tensorflow
def test_a_dataset_of_floats_is_refused_with_what_to_do(extract: Callable[..., Any]) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(InvalidValue, match=r"The dataset gives float32.*uint8"):
        extract(dataset)


@pytest.mark.tensorflow
@pytest.mark.parametrize("batch", [None, 2])
def test_datasets_of_keras_are_taken_where_nothing_is_changed(
    batch: int | None, extract: Callable[..., Any], tmp_path: Path
) -> None:
    import keras

    pictures = make_pictures(4)
    write_files(tmp_path / "photos", pictures)

    def dataset(**options: Any) -> Any:
        return keras.utils.image_dataset_from_directory(
            tmp_path / "photos", batch_size=batch, shuffle=False, verbose=False, **options
        )

    extract((f"uint8/{picture.name}", picture.pixels) for picture in pictures)
    same = extract(dataset(image_size=(8, 8)))
    assert (same.done, same.reused, same.rows) == (0, 4, 8)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert store.labels[4:] == ("0", "0", "1", "1")
    near = extract(dataset(image_size=(9, 7), interpolation="nearest"))
    assert (near.done, near.failed) == (4, 0)
    with pytest.raises(InvalidValue, match=r"interpolation='nearest'.*tf\.round"):
        extract(dataset(image_size=(9, 7)))


def rows_by_key(path: Path) -> dict[str, tuple[bytes, str | None, bytes]]:
    """Return what a store holds under each key."""
    with featx.open_store(path) as store:
        table = store.table("mean")
        rows = zip(
            map(bytes, table.content_hash), table.labels, map(bytes, table.values), strict=True
        )
        return dict(zip(table.keys, rows, strict=True))


@pytest.mark.tensorflow
def test_a_dataset_that_shuffles_gives_the_same_rows_each_time(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    import tensorflow as tf

    x, y = arrays_of(make_pictures())
    x = np.concatenate([x, x[:1]])  # Two pictures are identical.
    labels = [*y.tolist(), y[0]]
    dataset = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(8).batch(3).prefetch(1)
    first = extract(dataset)
    before = rows_by_key(tmp_path / "f.h5")
    again = extract(dataset)
    assert (first.rows, again.rows, again.done, again.reused, again.skipped) == (8, 8, 0, 0, 8)
    assert rows_by_key(tmp_path / "f.h5") == before
    (identical,) = [key for key in before if key.endswith("-2")]
    assert before[identical][0] == before[identical.removesuffix("-2")][0]


class Reordered:
    """A dataset whose order comes from where nobody sees it."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        self.pictures = pictures

    def as_numpy_iterator(self) -> Iterator[np.ndarray]:
        return iter(self.pictures)


def test_a_dataset_in_another_order_than_before_is_refused(
    extract: Callable[..., Any], tmp_path: Path
) -> None:
    pictures = [picture.pixels for picture in make_pictures(4)]
    extract(Reordered(pictures))
    before = rows_by_key(tmp_path / "f.h5")
    with pytest.raises(InvalidValue, match=r"another order than before: the one that is 00002 now"):
        extract(Reordered([*pictures[:2], pictures[3], pictures[2]]))
    assert rows_by_key(tmp_path / "f.h5") == before
    changed = extract(Reordered([*pictures[:3], 255 - pictures[3]]))  # A new picture is no shuffle.
    assert (changed.done, changed.skipped, changed.rows) == (1, 3, 4)
    assert extract(Reordered(pictures[::-1]), overwrite=True).rows == 4


def test_floats_are_taken_where_nothing_is_changed(extract: Callable[..., Any]) -> None:
    pixels, _ = arrays_of(make_pictures(3))
    floats = pixels.astype(np.float32)
    first, again = extract(pixels), extract(floats)
    assert (first.done, again.done, again.skipped) == (3, 0, 3)
    assert extract([("f", floats[0])]).reused == 1
    for refused in (floats / 255, floats + 0.5, floats + 1000, floats - 300, floats * np.nan):
        with pytest.raises(InvalidValue, match="holds float32"):
            extract(refused)
    # 0 and 1 may be black and white, too.
    with pytest.raises(InvalidValue, match="one is above 1"):
        extract((floats > 100).astype(np.float32))


@pytest.mark.tensorflow
def test_a_dark_picture_follows_its_dataset(extract: Callable[..., Any]) -> None:
    import tensorflow as tf

    images = np.zeros((2, 8, 8, 3), np.float32)
    images[0] += 7
    assert extract(tf.data.Dataset.from_tensor_slices(images)).rows == 2
    with pytest.raises(InvalidValue, match="one is above 1"):
        extract(tf.data.Dataset.from_tensor_slices(images[::-1].copy()))


def test_items_of_objects_raise_what_is_wrong() -> None:
    (item,) = gather({"a": np.zeros((4, 4), np.float64)}).stream or ()
    with pytest.raises(ImageError, match="float64"):
        item.read_bytes()


def test_an_object_that_is_no_picture_any_more_loses_its_row(
    photos: Path, toy: str, tmp_path: Path
) -> None:
    write_images(2, photos)
    pictures = [(path.name, path.read_bytes()) for path in sorted(photos.iterdir())]
    store = tmp_path / "f.h5"
    featx.extract(iter(pictures), model=toy, layers=["mean"], output=store)
    broken = [(pictures[0][0], b"garbage"), pictures[1]]
    assert featx.extract(iter(broken), model=toy, layers=["mean"], output=store).rows == 1
    with open_store(store) as opened:
        assert opened.keys == ("image_1.png",)
