"""Folders of splits with class folders inside."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from featx.errors import ImagesNotFound, InvalidValue
from featx.extraction.plan import describe_images
from featx.images.sources import ImageSet, find_images, gather
from featx.options import Selection

Classes = dict[str, tuple[str | None, str | None]]


def write(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def classes_of(found: ImageSet) -> Classes:
    return {item.key: (item.label, item.split) for item in found.items}


TWO = ("train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/dog/old/4.jpg")
TWO_CLASSES: Classes = {
    "test/cat/3.jpg": ("cat", "test"),
    "test/dog/old/4.jpg": ("dog", "test"),
    "train/cat/1.jpg": ("cat", "train"),
    "train/dog/2.jpg": ("dog", "train"),
}


@pytest.mark.parametrize("above", ["", "data/", "a/b/"])
def test_split_folders_give_split_and_class(tmp_path: Path, above: str) -> None:
    found = find_images(write(tmp_path, *(above + name for name in TWO)))
    assert classes_of(found) == {above + key: value for key, value in TWO_CLASSES.items()}
    assert found.notes == (
        f"split by folder: {above}test (2), {above}train (2); the folders inside are 2 classes",
    )


@pytest.mark.parametrize(
    ("train", "test", "splits"),
    [
        ("Training", "Testing", ("train", "test")),
        ("train_160", "validation", ("train", "val")),
        ("TRAIN", "VAL", ("train", "val")),
        ("training_set", "test_set", ("train", "test")),
        ("seg_train/seg_train", "seg_test/seg_test", ("train", "test")),
        ("train2017/images", "val2017/images", ("train", "val")),
        ("trainset", "dev", ("train", "val")),
        ("TrainImages", "evaluation", ("train", "val")),
    ],
)
def test_other_names(tmp_path: Path, train: str, test: str, splits: tuple[str, str]) -> None:
    names = [f"{folder}/{label}/1.jpg" for folder in (train, test) for label in ("cat", "dog")]
    found = classes_of(find_images(write(tmp_path, *names)))
    expected = [(label, split) for split in splits for label in ("cat", "dog")]
    assert [found[name] for name in names] == expected


def test_several_folders_that_are_named(tmp_path: Path) -> None:
    write(tmp_path / "data", *TWO)
    found = find_images([tmp_path / "data" / "train", tmp_path / "data" / "test"])
    assert classes_of(found) == TWO_CLASSES
    assert "split by folder: test (2), train (2)" in found.notes[0]
    assert classes_of(find_images(f"{tmp_path}/data/*")) == TWO_CLASSES
    assert classes_of(find_images(f"{tmp_path}/data/*/*/*.jpg")) == {
        key: value for key, value in TWO_CLASSES.items() if "old" not in key
    }


@pytest.mark.parametrize("label", ["dog", "test", "train"])
def test_class_folders_that_are_named(tmp_path: Path, label: str) -> None:
    names = [f"{split}/{name}/1.jpg" for split in ("train", "val") for name in ("cat", label)]
    write(tmp_path, *names)
    expected: Classes = {name: tuple(name.split("/")[1::-1]) for name in sorted(names)}  # type: ignore[misc]
    assert classes_of(find_images([(tmp_path / name).parent for name in names])) == expected
    assert classes_of(find_images(tmp_path)) == expected


def test_folders_in_different_places(tmp_path: Path) -> None:
    write(tmp_path, "a/train/cat/1.jpg", "a/train/dog/2.jpg", "b/c/val/cat/3.jpg")
    found = find_images([tmp_path / "a" / "train", tmp_path / "b" / "c" / "val"])
    assert classes_of(found) == {
        "a/train/cat/1.jpg": ("cat", "train"),
        "a/train/dog/2.jpg": ("dog", "train"),
        "b/c/val/cat/3.jpg": ("cat", "val"),
    }


def test_archives(tmp_path: Path) -> None:
    write(tmp_path / "data", *TWO)
    for name in ("train", "test"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            archive.add(tmp_path / "data" / name, ".")
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(tmp_path / "data", "data")
    one = find_images(tmp_path / "all.tar")
    assert classes_of(one) == {f"data/{key}": value for key, value in TWO_CLASSES.items()}
    two = classes_of(find_images([tmp_path / "train.tar", tmp_path / "test.tar"]))
    assert two["train.tar/cat/1.jpg"] == ("cat", "train")
    assert two["test.tar/dog/old/4.jpg"] == ("dog", "test")


def test_lists_and_manifests_without_labels(tmp_path: Path) -> None:
    write(tmp_path, *TWO)
    (tmp_path / "list.txt").write_text("\n".join(TWO))
    (tmp_path / "table.csv").write_text("path\n" + "\n".join(TWO))
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(f"{name},x" for name in TWO))
    assert classes_of(find_images(image_list=tmp_path / "list.txt")) == TWO_CLASSES
    assert classes_of(find_images(tmp_path / "table.csv")) == TWO_CLASSES
    assert set(classes_of(find_images(tmp_path / "labels.csv")).values()) == {("x", None)}


def test_pictures_without_class_folders_have_a_split_alone(tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "test/3.jpg", "val/images/4.jpg")
    found = classes_of(find_images(tmp_path))
    assert (found["test/3.jpg"], found["val/images/4.jpg"]) == ((None, "test"), (None, "val"))


def test_what_is_in_no_split(tmp_path: Path) -> None:
    found = find_images(write(tmp_path, *TWO, "more/dog/5.jpg", "other/6.jpg", "7.jpg"))
    classes = classes_of(found)
    assert classes["train/cat/1.jpg"] == ("cat", "train")
    assert classes["more/dog/5.jpg"] == ("dog", None)
    assert (classes["other/6.jpg"], classes["7.jpg"]) == ((None, None), (None, None))
    assert found.notes[0].endswith("; 3 images are in no split")


@pytest.mark.parametrize(
    "names",
    [
        ("train/1.jpg", "test/2.jpg"),  # No class folders.
        ("train/old/1.jpg", "bus/new/2.jpg", "test/x/3.jpg"),  # A train is a vehicle.
        ("cat/train/1.jpg", "dog/train/2.jpg"),  # Classes are outside.
        ("test_tubes/a/1.jpg", "test_sites/b/2.jpg"),
        ("test/a/1.jpg",),
    ],
)
def test_folders_that_are_classes_all_the_same(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = find_images(write(tmp_path, *names))
    assert classes_of(found) == {name: (name.split("/")[0], None) for name in sorted(names)}
    assert found.notes == ()


def test_one_split_can_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path, *TWO)
    assert [item.key for item in find_images(tmp_path, split="TEST").items] == [
        "test/cat/3.jpg",
        "test/dog/old/4.jpg",
    ]
    with pytest.raises(ImagesNotFound, match=r"of the split 'val'. The splits are test or train"):
        find_images(tmp_path, split="val")
    with pytest.raises(InvalidValue, match="has no splits"):
        find_images(tmp_path / "train", split="train")


# ---- classes by number, and folders that share nothing ----


def test_numbered_classes_get_names(tmp_path: Path) -> None:
    numbers = write(tmp_path / "photos", "0/1.jpg", "2/2.jpg", "3.jpg")
    (tmp_path / "names.txt").write_bytes("Löwe\ndog\ncat\n".encode("latin-1"))
    for names in (tmp_path / "names.txt", ["Löwe", "dog", "cat"]):
        found = gather(numbers, selection=Selection(class_names=names))
        assert [item.label for item in found.items] == ["Löwe", "cat", None]
    arrays = (np.zeros((2, 8, 8), np.uint8), np.array([[1], [0]]))
    found = gather(arrays, selection=Selection(class_names=("a", "b")))
    assert [item.label for item in found.items] == ["b", "a"]
    pairs = [("x", np.zeros((8, 8), np.uint8), 1)]
    stream = gather(pairs, selection=Selection(class_names=("a", "b"))).stream
    assert stream is not None
    assert [item.label for item in stream] == ["b"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["", "index{}name\n"])
def test_names_in_csv_of_any_separator(tmp_path: Path, separator: str, header: str) -> None:
    photos = write(tmp_path / "photos", "0/1.jpg", "1/2.jpg")
    rows = f'0{separator}"big, cat; old"\n1{separator}dog\n'
    (tmp_path / "names.csv").write_text(header.format(separator) + rows)
    found = gather(photos, selection=Selection(class_names=tmp_path / "names.csv"))
    assert [item.label for item in found.items] == ["big, cat; old", "dog"]


def test_a_file_of_names_that_is_missing(tmp_path: Path) -> None:
    missing = Selection(class_names=tmp_path / "names.csv")
    with pytest.raises(InvalidValue, match=r"names of classes in .* read: No such file or dir"):
        gather(write(tmp_path / "photos", "0/1.jpg"), selection=missing)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("cat", r"classes that are numbers: 0, 1, 2 and so on. Received: 'cat', the class of"),
        ("2", r"class_names has 2 names, for the classes from 0 to 1. Received: 2, the class of"),
    ],
)
def test_classes_that_no_name_fits_are_refused(tmp_path: Path, folder: str, message: str) -> None:
    photos = write(tmp_path, f"{folder}/1.jpg")
    with pytest.raises(InvalidValue, match=message):
        gather(photos, selection=Selection(class_names=["a", "b"]))


def test_folders_that_share_only_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a/cat/1.jpg", "a/dog/2.jpg", "b/old/3.jpg", "b/4.jpg")
    names = [tmp_path / "a", tmp_path / "b"]
    # As if one of the folders were on another disk.
    monkeypatch.setattr(
        "featx.images.sources.naming.os.path.commonpath", lambda paths: tmp_path.anchor
    )
    found = find_images(names)
    key = tmp_path.relative_to(tmp_path.anchor).as_posix()
    assert found.root.text == tmp_path.anchor
    assert {item.key: item.label for item in found.items} == {
        f"{key}/a/cat/1.jpg": "cat",
        f"{key}/a/dog/2.jpg": "dog",
        f"{key}/b/4.jpg": "b",
        f"{key}/b/old/3.jpg": "b",
    }
    assert found.root.shown(f"{key}/b/4.jpg") == str(tmp_path / "b" / "4.jpg")
    first, second = map(repr, map(str, names))
    assert describe_images(found) == f"4 images in {first} and {second}, 3 classes"
