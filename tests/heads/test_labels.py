"""Labels from a CSV file."""

from __future__ import annotations

from pathlib import Path

import pytest

from featx.errors import HeadError
from featx.heads.labels import LABEL_COLUMNS, PATH_COLUMNS, SPLITS, RowLabels, read_labels_csv

KEYS = ["a/1.png", "a/2.png", "b/3.png"]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """``labels.csv`` beside the folder ``photos``, which is the store's root."""
    (tmp_path / "photos").mkdir()
    return tmp_path / "labels.csv"


def read(csv: Path, text: str, encoding: str = "utf-8") -> RowLabels:
    csv.write_text(text, encoding=encoding)
    return read_labels_csv(csv, KEYS, csv.parent / "photos")


@pytest.mark.parametrize("path", PATH_COLUMNS)
@pytest.mark.parametrize("label", LABEL_COLUMNS)
def test_all_column_names(csv: Path, path: str, label: str) -> None:
    labels = read(csv, f"note,{label},{path}\nx,cat,a/1.png\ny,dog,b/3.png\n")
    assert labels == RowLabels(("cat", None, "dog"), None)


@pytest.mark.parametrize("header", ["Path,Label", " path , label ", '"PATH","Class"'])
def test_column_names_in_any_case_with_spaces(csv: Path, header: str) -> None:
    assert read(csv, f"{header}\na/2.png,cat\n").labels == (None, "cat", None)


@pytest.mark.parametrize("name", ["a/1.png", "photos/a/1.png", "./photos/a/../a/1.png", "{root}"])
def test_keys_and_relative_and_absolute_paths(csv: Path, name: str) -> None:
    name = name.replace("{root}", str(csv.parent / "photos" / "a" / "1.png"))
    assert read(csv, f"path,label\n{name},cat\n").labels == ("cat", None, None)


def test_byte_order_mark_quotes_and_spaces(csv: Path) -> None:
    text = 'path,label\r\n"a/1.png", "big, old cat"\r\nb/3.png , dog \r\n\r\n'
    text = text.replace(', "', ',"')
    assert read(csv, text, "utf-8-sig").labels == ("big, old cat", None, "dog")


def test_empty_labels_and_unknown_paths_are_left_out(csv: Path) -> None:
    text = "path,label\na/1.png,\nnowhere.png,cat\nb/3.png,dog\na/2.png\n"
    assert read(csv, text).labels == (None, None, "dog")


@pytest.mark.parametrize(("word", "side"), SPLITS.items())
def test_splits(csv: Path, word: str, side: str) -> None:
    labels = read(csv, f"path,label,split\na/1.png,cat, {word.upper()} \na/2.png,cat,train\n")
    assert labels == RowLabels(("cat", "cat", None), (side, "train", None))


def test_unknown_split(csv: Path) -> None:
    with pytest.raises(HeadError, match=r"line 3: a split is one of train, .*Received: 'dev'"):
        read(csv, "path,label,split\na/1.png,cat,train\na/2.png,cat,dev\n")


def test_same_line_twice_is_no_contradiction(csv: Path) -> None:
    text = "path,label,split\na/1.png,cat,train\nphotos/a/1.png,cat,train\n"
    assert read(csv, text).labels == ("cat", None, None)


def test_contradicting_labels(csv: Path) -> None:
    with pytest.raises(HeadError, match="line 3: 'a/1.png' is 'dog' here and 'cat' in an earlier"):
        read(csv, "path,label\na/1.png,cat\na/1.png,dog\n")


def test_contradicting_splits(csv: Path) -> None:
    with pytest.raises(HeadError, match="line 3: 'a/1.png' is in 'test' here and in 'train'"):
        read(csv, "path,label,split\na/1.png,cat,train\na/1.png,cat,val\n")


def test_nothing_matches(csv: Path) -> None:
    with pytest.raises(
        HeadError, match=r"None of the 2 paths .* example, 'x.png'; the store has 'a/1.png'"
    ):
        read(csv, "path,label\nx.png,cat\ny.png,dog\n")


@pytest.mark.parametrize("text", ["", "name,kind\na/1.png,cat\n", "path\na/1.png\n"])
def test_missing_columns(csv: Path, text: str) -> None:
    with pytest.raises(HeadError, match="a header line with the columns path and label"):
        read(csv, text)


def test_header_alone(csv: Path) -> None:
    with pytest.raises(HeadError, match="a header line and nothing below it"):
        read(csv, "path,label\n")


def test_missing_file(csv: Path) -> None:
    with pytest.raises(HeadError, match=r"'folders' or a CSV file.*labels\.csv"):
        read_labels_csv(csv, KEYS, csv.parent)


def test_file_that_is_no_text(csv: Path) -> None:
    csv.write_bytes(b"path,label\n\xff\xfe\x00")
    with pytest.raises(HeadError, match="cannot be read"):
        read_labels_csv(csv, KEYS, csv.parent)
