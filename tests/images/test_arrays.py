"""Arrays in NumPy files."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.errors import ImagesNotFound, InvalidValue
from featx.images.decode import decode_image
from featx.images.sources import find_images
from featx.images.sources.pixels import encode_pixels
from featx.input_spec import InputSpec

RANDOM = np.random.default_rng(1)


def pictures(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


def pixels_of(item: Any, channels: int = 3) -> np.ndarray:
    data = item.read_bytes()
    contract = InputSpec(6, 5, channels=channels)
    return decode_image(data, contract)


@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 6, 5, 1), (3, 6, 5, 3), (3, 1, 6, 5)])
@pytest.mark.parametrize("compressed", [False, True])
def test_pixels_are_read_as_they_are(
    shape: tuple[int, ...], compressed: bool, tmp_path: Path
) -> None:
    x = pictures(*shape)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", x=x)
    found = find_images(tmp_path / "a.npz")
    grey = 3 not in shape[1:] or shape[-1] == 1
    expected = x.reshape(3, 6, 5) if shape[-1] != 3 else x
    for item, picture in zip(found.items, expected, strict=True):
        got = pixels_of(item, 1 if grey else 3)
        assert np.array_equal(got.reshape(picture.shape), picture)


def test_channels_first_is_recognised_and_said(tmp_path: Path) -> None:
    x = pictures(4, 3, 6, 5)
    np.save(tmp_path / "x.npy", x)
    found = find_images(tmp_path / "x.npy")
    assert found.notes == ("'x.npy' (4x3x6x5) has its channels first: read as (N, C, H, W)",)
    assert np.array_equal(pixels_of(found.items[2]), x[2].transpose(1, 2, 0))


def test_transparency_is_composited_as_in_files(tmp_path: Path) -> None:
    x = np.zeros((1, 6, 5, 4), np.uint8)
    np.save(tmp_path / "x.npy", x)
    assert (pixels_of(find_images(tmp_path / "x.npy").items[0]) == 255).all()


def test_fortran_order_is_read(tmp_path: Path) -> None:
    x = np.asfortranarray(pictures(4, 6, 5, 3))
    np.save(tmp_path / "x.npy", x)
    items = find_images(tmp_path / "x.npy").items
    assert np.array_equal(pixels_of(items[3]), x[3])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"x": "y"}, ["x/00000"]),
        ({"x_train": "y_train", "x_test": "y_test"}, ["x_test/00000", "x_train/00000"]),
        ({"images": "labels"}, ["images/00000"]),
        ({"data": "labels"}, ["data/00000"]),
        ({"train_images": "train_labels"}, ["train_images/00000"]),
        ({"X": "Y"}, ["X/00000"]),
        ({"arr_0": "arr_1"}, ["arr_0/00000"]),
    ],
)
def test_labels_are_found_by_the_usual_names(
    names: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    arrays: dict[str, Any] = {}
    for number, (x, y) in enumerate(names.items()):
        arrays[x], arrays[y] = pictures(1, 6, 5, 3), np.array([7 + number])
    np.savez(tmp_path / "a.npz", **arrays)
    found = find_images(tmp_path / "a.npz")
    assert [item.key for item in found.items] == expected
    assert {item.label for item in found.items} == {str(7 + n) for n in range(len(names))}


@pytest.mark.parametrize("split", ["test", "TEST", "testing"])
def test_split_picks_arrays(split: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=pictures(2, 6, 5), x_test=pictures(1, 6, 5))
    found = find_images(tmp_path / "a.npz", split=split)
    assert [item.key for item in found.items] == ["x_test/00000"]
    assert not found.is_gone("x_train/00001")
    with pytest.raises(ImagesNotFound, match="no array of pictures of the split 'val'"):
        find_images(tmp_path / "a.npz", split="val")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 6, 5, 3), np.float32), r"holds float32.*in \[0, 1\] the same of x \* 255"),
        (np.zeros((2, 6, 5, 3), np.uint16), r"holds uint16.*astype"),
        (np.zeros((2, 6, 5, 2), np.uint8), r"of shape \(2, 6, 5, 2\)"),
        (np.zeros((6, 5, 3), np.uint8), r"looks like one picture: .*np\.newaxis"),
        (np.zeros((6, 5), np.uint8), r"of shape \(6, 5\)"),
        (np.array([{"a": 1}] * 3), "unpickles nothing"),
    ],
)
def test_what_holds_no_pictures_is_refused_with_what_to_do(
    array: np.ndarray, message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(InvalidValue, match=message):
        find_images(tmp_path / "x.npy")


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=pictures(3, 6, 5), y=np.eye(3))
    with pytest.raises(InvalidValue, match=r"shape \(3, 3\) for 'x'.*argmax"):
        find_images(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=pictures(3, 6, 5), y=np.zeros(2))
    with pytest.raises(InvalidValue, match=r"shape \(3,\). Received: shape \(2,\)"):
        find_images(tmp_path / "a.npz")


def test_an_archive_of_other_arrays_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.zeros((3, 4)))
    with pytest.raises(ImagesNotFound, match=r"Received: features \(3, 4\)"):
        find_images(tmp_path / "a.npz")


def test_a_file_that_was_cut_off_gives_the_pictures_before(tmp_path: Path) -> None:
    x = pictures(10, 6, 5, 3)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(10))
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data[:-200])
    found = find_images(tmp_path / "x.npy")
    assert [item.label for item in found.items] == [str(n) for n in range(7)]
    assert found.failures[0].reason == "it breaks off behind its 7 pictures"
    assert not found.is_gone("00009")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("data", [b"", b"nonsense" * 99, b"\x93NUMPY\x01\x00\x05\x00{'a':"])
def test_a_file_that_is_no_array_is_a_failure_of_its_name(
    name: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    found = find_images(tmp_path / name)
    assert [failure.key for failure in found.failures] == [name]
    assert "cannot be read" in found.failures[0].reason


@pytest.mark.parametrize("kind", ["npy", "npz", "compressed"])
def test_arrays_are_mapped_not_loaded(kind: str, tmp_path: Path) -> None:
    x = np.zeros((200, 128, 128, 3), np.uint8)  # 10 MB
    path = tmp_path / ("a.npy" if kind == "npy" else "a.npz")
    if kind == "npy":
        np.save(path, x)
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, x=x)
    tracemalloc.start()
    found = find_images(path)
    for item in found.items:
        item.read_bytes()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 << 20


def test_a_npz_whose_member_is_damaged_is_a_failure(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=pictures(20, 6, 5, 3))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[700] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(data)
    found = find_images(tmp_path / "a.npz")
    assert (found.items, len(found.failures)) == ((), 1)


def test_the_bytes_of_a_picture_are_the_same_for_ever() -> None:
    # The content hash is made of them: another encoding would compute everything again.
    assert encode_pixels(np.array([[1, 2]], np.uint8)) == b"P5\n2 1\n255\n\x01\x02"
    rgba = encode_pixels(np.array([[[1, 2, 3, 4]]], np.uint8))
    assert rgba == b"PyRGBA\n1 1\n255\n\x01\x02\x03\x04"


def test_other_members_of_an_npz_do_no_harm(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, x=pictures(2, 6, 5))
    (tmp_path / "a.npz").write_bytes(file.getvalue())
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "hello")
    assert len(find_images(tmp_path / "a.npz").items) == 2
