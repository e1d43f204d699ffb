"""Labels from a CSV file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featx.errors import HeadError
from featx.heads.labels import RowLabels, read_label_table
from featx.images.sources.splits import SPLITS
from featx.images.sources.tables import LABEL_COLUMNS, PATH_COLUMNS

KEYS = ["a/1.png", "a/2.png", "b/3.png"]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """``labels.csv`` beside the folder ``photos``, which is the store's root."""
    (tmp_path / "photos").mkdir()
    return tmp_path / "labels.csv"


def read(csv: Path, text: str, encoding: str = "utf-8") -> RowLabels:
    csv.write_text(text, encoding=encoding)
    return read_label_table(csv, KEYS, csv.parent / "photos")


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


@pytest.mark.parametrize(("word", "split"), SPLITS.items())
def test_splits(csv: Path, word: str, split: str) -> None:
    side = "train" if split == "train" else "test"
    labels = read(csv, f"path,label,split\na/1.png,cat, {word.upper()} \na/2.png,cat,train\n")
    assert labels == RowLabels(("cat", "cat", None), (side, "train", None))


@pytest.mark.parametrize("column", ["Set", "partition", "phase", "Usage"])
def test_a_column_of_another_name_whose_cells_are_splits_is_said(csv: Path, column: str) -> None:
    text = f"path,label,{column}\na/1.png,cat,Training\na/2.png,cat,PublicTest\nb/3.png,,\n"
    labels = read(csv, text)
    assert labels.sides == ("train", "test", None)
    assert labels.notes[0] == (
        f"the column {column!r} of {str(csv)!r} is taken for the split (Training as train, "
        "PublicTest as test)"
    )
    text = f"path,label,{column}\na/1.png,cat,train\na/2.png,cat,kitchen\n"
    assert read(csv, text).sides is None


def test_unknown_split(csv: Path) -> None:
    with pytest.raises(HeadError, match=r"line 3: a split is one of train, .*Received: 'fold3'"):
        read(csv, "path,label,split\na/1.png,cat,train\na/2.png,cat,fold3\n")


def test_empty_cells_of_a_column_of_splits(csv: Path) -> None:
    found = read(csv, "path,label,split\na/1.png,cat,\na/2.png,cat,\n")
    assert found.sides is None
    assert f"the column of splits in {str(csv)!r} is empty" in found.notes
    with pytest.raises(HeadError, match=r"line 3: a split is one of .*Received: an empty cell"):
        read(csv, "path,label,split\na/1.png,cat,train\na/2.png,cat,\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_tables_of_other_systems(csv: Path, encoding: str, separator: str) -> None:
    rows = [("LABEL", "Path"), ("Löwe", "a\\1.png"), ("gelb: hell", ".\\b\\3.png"), ()]
    text = "\r\n".join(map(separator.join, rows))
    labels = read(csv, text, encoding)
    assert labels.labels == ("Löwe", None, "gelb: hell")
    assert any("read as Latin-1" in note for note in labels.notes) == (encoding == "latin-1")


def test_columns_aligned_with_spaces(csv: Path) -> None:
    text = '  path      label\n  a/1.png   cat \n\n  b/3.png   "big dog"\n'
    assert read(csv, text).labels == ("cat", None, "big dog")


def test_a_separator_that_excel_states(csv: Path) -> None:
    assert read(csv, "sep=;\npath;label\na/1.png;a, b\n").labels == ("a, b", None, None)


def test_parquet(csv: Path) -> None:
    table = csv.with_suffix(".parquet")
    pq.write_table(pa.table({"Image Path": ["b/3.png", "a/1.png"], "Class": [7, None]}), table)
    assert read_label_table(table, KEYS, csv.parent).labels == (None, None, "7")


def test_a_comma_that_is_not_quoted_is_refused(csv: Path) -> None:
    with pytest.raises(HeadError, match=r"line 3 has 3 cells and the header 2.*double quotes"):
        read(csv, "path,label\na/1.png,cat\na/2.png,gelb, hell\n")


def test_a_workbook_says_what_to_do(csv: Path) -> None:
    csv.write_bytes(b"PK\x03\x04 ...")
    with pytest.raises(HeadError, match="an Excel workbook or a zip. Save the table as CSV"):
        read_label_table(csv, KEYS, csv.parent)


def test_what_does_not_match_is_counted_and_the_first_are_named(csv: Path) -> None:
    text = "path,label\na/1.png,cat\n" + "".join(f"z/{n}.png,cat\n" for n in range(5))
    assert read(csv, text).notes == (
        "5 rows name no image of the store: 'z/0.png', 'z/1.png', 'z/2.png' and 2 more",
        f"2 images of the store have no row in {str(csv)!r}: 'a/2.png', 'b/3.png'",
    )
    assert read(csv, "path,label\n" + "\n".join(f"{key},x" for key in KEYS)).notes == ()


@pytest.mark.parametrize(
    "folder", ["C:\\Users\\me\\photos\\", "\\\\server\\photos\\", "/home/someone/photos/"]
)
def test_paths_of_another_computer_match_by_their_last_parts(csv: Path, folder: str) -> None:
    labels = read(csv, f"path,label\n{folder}a/1.png,cat\n{folder}c/3.png,dog\n")
    assert labels.labels == ("cat", None, None)
    assert labels.notes[0].startswith("1 path leads elsewhere in ")


def test_accents_as_two_characters_or_as_one(csv: Path) -> None:
    csv.write_text("path,label\ne\u0301/1.png,cat\n", "utf-8")
    assert read_label_table(csv, ["\xe9/1.png"], csv.parent).labels == ("cat",)


def test_same_line_twice_is_no_contradiction(csv: Path) -> None:
    text = "path,label,split\na/1.png,cat,train\nphotos/a/1.png,cat,train\n"
    assert read(csv, text).labels == ("cat", None, None)


def test_contradicting_labels(csv: Path) -> None:
    with pytest.raises(HeadError, match="line 3: 'a/1.png' is 'dog' here and 'cat' in an earlier"):
        read(csv, "path,label\na/1.png,cat\na/1.png,dog\n")


def test_contradicting_splits(csv: Path) -> None:
    with pytest.raises(HeadError, match="line 3: 'a/1.png' is in 'test' here and in 'train'"):
        read(csv, "path,label,split\na/1.png,cat,train\na/1.png,cat,val\n")


def test_contradicting_values_of_further_columns(csv: Path) -> None:
    csv.write_text("path,price\na/1.png,3\na/2.png,5\na/1.png,\nphotos/a/1.png,4\n")
    keys, root = KEYS, csv.parent / "photos"
    with pytest.raises(HeadError, match=r"line 5: 'photos/a/1.png' in 'price' is 4.* and 3.* in"):
        read_label_table(csv, keys, root, ["price"], needs_labels=False)
    csv.write_text("path,price\na/1.png,3\na/1.png,\na/1.png,3\n")
    found = read_label_table(csv, keys, root, ["price"], needs_labels=False)
    assert found.columns["price"].tolist() == [3, None, None]


def test_a_column_without_values_is_said(csv: Path) -> None:
    csv.write_text("path,label,shop\na/1.png,cat,\na/2.png,dog,\n")
    found = read_label_table(csv, KEYS, csv.parent / "photos", ["shop", "label"])
    assert list(found.notes[:1]) == [f"the column 'shop' in {str(csv)!r} is empty"]


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
        read_label_table(csv, KEYS, csv.parent)


def test_file_that_is_no_text(csv: Path) -> None:
    csv.write_bytes(b"path,label\n\xff\xfe\x00")
    with pytest.raises(HeadError, match="cannot be read"):
        read_label_table(csv, KEYS, csv.parent)
