"""Lists, manifests, globs and exclusions."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.errors import ImageError, ImagesNotFound, InvalidValue
from featx.images.sources import find_images
from featx.images.sources.columns import value_at
from featx.images.sources.items import ImageSet
from featx.images.sources.keys import member_key


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/thumbs/4.jpg", "5.gif", "b.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def keys_of(found: ImageSet) -> list[str]:
    return [item.key for item in found.items]


# ---- globs and exclusions ----


def test_globs_take_images_and_keep_their_root(root: Path) -> None:
    found = find_images(f"{root}/**/*.jpg")
    assert keys_of(found) == ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/thumbs/4.jpg"]
    assert found.root.path == root
    one = find_images(f"{root}/*/1.jpg")
    assert (one.root.path, keys_of(one), one.items[0].label) == (root, ["cat/1.jpg"], "cat")
    assert keys_of(find_images(f"{root}/*")) == keys_of(find_images(root))
    assert keys_of(find_images(f"{root}/**")) == keys_of(find_images(root))
    assert keys_of(find_images(f"{root}/**/thumbs")) == ["dog/thumbs/4.jpg"]


def test_a_glob_without_matches_says_where_it_looked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(ImagesNotFound, match=r"Nothing matches '\*.jpeg'. featx looked from"):
        find_images("*.jpeg")


def test_a_file_whose_name_looks_like_a_glob_is_that_file(root: Path) -> None:
    (root / "cat" / "[1].jpg").write_bytes(b"x")
    assert keys_of(find_images(root / "cat" / "[1].jpg")) == ["[1].jpg"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["thumbs"], ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "5.gif"]),
        (["dog/thumbs/"], ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "5.gif"]),
        (["*.jpg"], ["5.gif"]),
        (["**/1.jpg", "dog"], ["cat/2.jpg", "5.gif"]),
        (["cat/*", "5.*"], ["dog/3.jpg", "dog/thumbs/4.jpg"]),
        (["CAT"], ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/thumbs/4.jpg", "5.gif"]),
    ],
)
def test_exclusions(root: Path, patterns: list[str], expected: list[str]) -> None:
    assert sorted(keys_of(find_images(root, exclude=patterns))) == sorted(expected)


def test_excluding_everything_says_so(root: Path) -> None:
    with pytest.raises(ImagesNotFound, match="exclude= leaves nothing over"):
        find_images(root, exclude=["*"])


# ---- lists ----


def write_list(root: Path, text: str | bytes) -> Path:
    path = root / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_list_names_paths_relative_to_its_folder_or_absolute(root: Path) -> None:
    lines = ["dog/3.jpg", "", "  ", f"{root}/cat/1.jpg", "dog/3.jpg", "./cat//2.jpg"]
    found = find_images(image_list=write_list(root, "\ufeff" + "\r\n".join(lines)))
    assert found.root.path == root
    assert [(item.key, item.label) for item in found.items] == [
        ("cat/1.jpg", "cat"),
        ("cat/2.jpg", "cat"),
        ("dog/3.jpg", "dog"),
    ]


@pytest.mark.parametrize("end", ["", "\0"])
def test_a_list_as_find_print0_writes_it(root: Path, end: str) -> None:
    names = ["dog/with\nnewline.jpg", "dog/ space .jpg", "dog/return.jpg\r", "#1.jpg", "cat/1.jpg"]
    for name in names:
        (root / name).write_bytes(b"x")
    listed = ["", *(f"./{name}" for name in names), "./cat/1.jpg"]
    found = find_images(image_list=write_list(root, "\0".join(listed) + end))
    assert found.failures == ()
    assert {item.key: item.label for item in found.items} == {
        "#1.jpg": None,
        "cat/1.jpg": "cat",
        "dog/ space .jpg": "dog",
        "dog/return.jpg\r": "dog",
        "dog/with\nnewline.jpg": "dog",
    }


def test_a_list_as_powershell_writes_it(root: Path) -> None:
    found = find_images(image_list=write_list(root, "cat/1.jpg\r\n".encode("utf-16")))
    assert keys_of(found) == ["cat/1.jpg"]


def test_absolute_paths_outside_of_the_lists_folder_share_a_root(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    found = find_images(image_list=write_list(tmp_path / "lists", f"{root}/cat/1.jpg\n"))
    assert (found.root.path, keys_of(found)) == (tmp_path, ["root/cat/1.jpg"])


def test_lines_that_cannot_be_used_are_failures_of_their_own(root: Path) -> None:
    lines = ["../out.jpg", "gone.jpg", "cat", "https://host/a.jpg", "#.jpg", "cat/1.jpg"]
    found = find_images(image_list=write_list(root, "\n".join(lines)))
    assert keys_of(found) == ["cat/1.jpg"]
    reasons = {failure.key: failure.reason for failure in found.failures}
    assert reasons["gone.jpg"] == "No such file or directory"
    assert "leads out" in reasons["../out.jpg"]
    assert reasons["cat"] == "not a regular file"
    assert "URL" in reasons["https://host/a.jpg"]
    assert reasons["#.jpg"] == "No such file or directory"  # No comment.


def test_a_path_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ImageError, match="zero byte"):
        member_key("a\0b.jpg")


def test_a_list_comes_from_standard_input(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)

    class Input:
        buffer = io.BytesIO(b"cat/1.jpg\ndog/3.jpg\n")

    monkeypatch.setattr(sys, "stdin", Input)
    found = find_images(image_list="-")
    assert (found.root.path, keys_of(found)) == (root, ["cat/1.jpg", "dog/3.jpg"])


def test_lists_that_name_nothing_are_refused(root: Path) -> None:
    with pytest.raises(ImagesNotFound, match="is empty: one path in each line"):
        find_images(image_list=write_list(root, "\n \n"))
    with pytest.raises(ImagesNotFound, match="There is no list of images 'no.txt'"):
        find_images(image_list="no.txt")


# ---- manifests ----


def write_csv(root: Path, text: str) -> Path:
    path = root / "photos.csv"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_manifest_gives_labels_and_splits(root: Path, separator: str) -> None:
    text = "\ufeffFile,Label,Split\ncat/1.jpg, lion ,train\ncat/2.jpg,,Test\ndog/3.jpg,wolf,test\n"
    path = write_csv(root, text.replace(",", separator))
    found = find_images(path)
    assert [(item.key, item.label, item.split) for item in found.items] == [
        ("cat/1.jpg", "lion", "train"),
        ("cat/2.jpg", None, "Test"),
        ("dog/3.jpg", "wolf", "test"),
    ]
    assert keys_of(find_images(path, split="test")) == ["cat/2.jpg", "dog/3.jpg"]
    with pytest.raises(ImagesNotFound, match=r"split 'val'. Its splits are Test, test or train"):
        find_images(path, split="val")


def test_a_manifest_in_json_lines(root: Path) -> None:
    path = root / "photos.jsonl"
    path.write_text(
        '{"file_name": "cat/1.jpg", "labels": ["lion", "cat"], "split": "train", "age": 3}\n\n'
        '{"split": "test", "file_name": "dog/3.jpg", "box": [1, 2]}\n'
        '{"file_name": "cat/2.jpg", "labels": [], "age": 4.5}\n'
    )
    found = find_images(path)
    assert [(item.key, item.label, item.split) for item in found.items] == [
        ("cat/1.jpg", "lion|cat", "train"),
        ("cat/2.jpg", "|", None),
        ("dog/3.jpg", None, "test"),
    ]
    row = found.items[1].row
    assert row is not None
    assert list(row.columns) == ["age"]
    assert value_at(row.columns["age"], row.number) == 4.5
    assert "neither text nor number: 'box'" in found.notes[0]


def test_what_is_no_text_in_json_lines_can_be_stored(root: Path) -> None:
    path = root / "photos.jsonl"
    path.write_text(
        r'{"path": "cat/1.jpg", "label": "\ud800", "split": "\udcff"}'
        "\n"
        r'{"path": "\ud800.jpg"}'
        "\n"
        '{"path": "cat/2.jpg", "label": NaN}\n{"path": NaN}\n'
    )
    found = find_images(path)
    assert [(item.label, item.split) for item in found.items] == [
        (r"\ud800", r"\udcff"),
        (None, None),
    ]
    assert [failure.key for failure in found.failures] == [r"\ud800.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.jpg"}\n["b.jpg"]\n', "line 2 is no JSON object"),
        ("path,label\na.jpg,cat\n", "line 1 is no JSON object"),
        ('{"path": "a.jpg", "label": {"id": 3}}\n', "in line 1, 'label' is neither a text nor"),
        ('{"name": "a.jpg"}\n', "Received: name in"),
        ("\n", "no columns"),
    ],
)
def test_json_lines_that_are_no_manifest_are_refused(root: Path, text: str, message: str) -> None:
    (root / "photos.jsonl").write_text(text)
    with pytest.raises(ImagesNotFound, match=message):
        find_images(root / "photos.jsonl")


def test_a_manifest_gives_splits_in_a_column_of_another_name(root: Path) -> None:
    path = write_csv(root, "file,set\ncat/1.jpg,train\ncat/2.jpg,val\ndog/3.jpg,train\n")
    found = find_images(path)
    assert [item.split for item in found.items] == ["train", "val", "train"]
    assert f"the column 'set' of {str(path)!r} is taken for the split" in found.notes
    assert keys_of(find_images(path, split="val")) == ["cat/2.jpg"]


def test_a_manifest_without_labels_leaves_them_to_the_folders(root: Path) -> None:
    found = find_images(write_csv(root, "path\ncat/1.jpg\n"))
    assert found.items[0].label == "cat"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.jpg,x\n", r"a column .*filename.*Received: name, label in"),
        ("", "Received: no columns"),
        ("path,label\n", "no rows below"),
        ('path,label\n"cat/1.jpg,x\n', "cannot be read"),
    ],
)
def test_manifests_that_say_nothing_are_refused(root: Path, text: str, message: str) -> None:
    with pytest.raises(ImagesNotFound, match=message):
        find_images(write_csv(root, text))


def test_a_manifest_that_contradicts_itself_is_refused(root: Path) -> None:
    path = write_csv(root, "path,label\ncat/1.jpg,a\n./cat/1.jpg,b\n")
    with pytest.raises(InvalidValue, match="the label 'b' in one row and 'a' in another"):
        find_images(path)
    path = write_csv(root, "path,split\ncat/1.jpg,train\ncat/1.jpg,test\n")
    with pytest.raises(InvalidValue, match="the split 'test' in one row and 'train' in another"):
        find_images(path)
    assert find_images(path, split="test").items[0].split == "test"


def test_a_damaged_parquet_is_refused(root: Path) -> None:
    (root / "a.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ImagesNotFound, match=r"The manifest .*a.parquet' cannot be read"):
        find_images(root / "a.parquet")


def test_a_label_that_changes_in_the_manifest_changes_in_the_store(
    tmp_path: Path, toy: str
) -> None:
    from featx.testing import write_images

    root = write_images(3, tmp_path / "photos")
    arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": tmp_path / "f.h5"}
    rows = [f"image_{n}.png,{label}" for n, label in enumerate("abc")]
    path = write_csv(root, "path,label\n" + "\n".join(rows))
    assert featx.extract(path, **arguments).done == 3
    path.write_text(path.read_text().replace(",b", ",z"))
    report = featx.extract(path, **arguments)
    assert (report.done, report.skipped) == (0, 3)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert list(store.labels) == ["a", "z", "c"]


@pytest.mark.parametrize(
    "spell", [str, lambda path: f" {path}", lambda path: path.replace("/", "\\")]
)
def test_absolute_paths_lead_out_of_the_folder_however_they_are_spelled(
    spell: Any, tmp_path: Path
) -> None:
    for name in ("a/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    table = tmp_path / "a" / "m.tsv"
    table.write_text(f"path\tlabel\n{spell(str(tmp_path / 'b/2.jpg'))}\tcat\n1.jpg\tdog\n")
    found = find_images(table)
    assert found.root.path == tmp_path
    assert [(item.key, item.label) for item in found.items] == [
        ("a/1.jpg", "dog"),
        ("b/2.jpg", "cat"),
    ]


def test_an_absolute_path_of_another_system_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    (tmp_path / "m.csv").write_text("path\n\\no\\such\\2.jpg\n1.jpg\n")
    found = find_images(tmp_path / "m.csv")
    assert [item.key for item in found.items] == ["1.jpg"]
    assert "absolute" in found.failures[0].reason
    for path in ("\\\\server\\share\\2.jpg", "C:\\photos\\2.jpg"):
        (tmp_path / "m.csv").write_text(f"path\n{path}\n1.jpg\n")
        (failure,) = find_images(tmp_path / "m.csv").failures
        assert failure.reason.endswith("on a Windows computer: write it relative to the table")
