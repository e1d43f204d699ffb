"""Reading files of tables: text in columns, JSON lines, Parquet.

Tables come from spreadsheets, scripts and other systems: separators and encodings are found out,
not prescribed.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import IO, Any

from featx.errors import ImagesNotFound, join_names
from featx.images.roots import is_url, public_url
from featx.images.sources.items import MAX_MEMBER_BYTES
from featx.images.sources.located_files import locate_file
from featx.images.sources.remote import describe_too_large
from featx.images.sources.table_columns import KNOWN_COLUMNS, ReadTable, TableError, fold_name
from featx.text_files import decode_text

_SEPARATORS = ",;\t|"
_WORKBOOKS = {b"PK\x03\x04": "an Excel workbook or a zip", b"\xd0\xcf\x11\xe0": "an Excel workbook"}

JSON_LINES = (".jsonl", ".ndjson")
TABLE_ENDINGS = (".csv", ".tsv", *JSON_LINES, ".parquet")
"""Endings of the names of tables; files of others are read as text in columns."""


def read_table(path: str, notes: list[str], *, with_columns: bool) -> ReadTable:
    """Read a table.

    Args:
        path: The file.
        notes: Gets what a person should know of how it was read.
        with_columns: Whether columns are wanted that say nothing about images.

    Raises:
        TableError: If it cannot be read.
    """
    if public_url(path).lower().endswith(".parquet"):
        return _read_parquet(path, notes if with_columns else None)
    text = _read_text(path, notes)
    try:
        if public_url(path).lower().endswith(JSON_LINES):
            return _read_json_lines(text, path, notes)
        return _split_columns(text)
    except csv.Error as error:
        raise TableError(f"cannot be read: {error}.") from error


def _read_bytes(path: str) -> bytes:
    with _open(path) as file:
        return bytes(file.read())


def _open(path: str) -> IO[bytes]:
    """Open a table. What comes from a URL may be as large as its server likes."""
    file = locate_file(path)
    if is_url(path) and file.size > MAX_MEMBER_BYTES:
        raise TableError(f"cannot be read: {describe_too_large(file.size)}. Download it first.")
    return file.open()


# ---- text in columns ----


def _read_text(path: str, notes: list[str]) -> str:
    """Return what is in a text file."""
    try:
        data = _read_bytes(path)
        workbook = next((what for mark, what in _WORKBOOKS.items() if data.startswith(mark)), None)
        if workbook is not None:
            raise TableError(f"cannot be read: it is {workbook}. Save the table as CSV.")
        text, guess = decode_text(data)
        if guess is not None:
            notes.append(f"{path!r} is not UTF-8: it is read as {guess}")
        return text
    except (OSError, ValueError) as error:
        if isinstance(error, (TableError, ImagesNotFound)):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TableError(f"cannot be read: {reason}.") from error


def _split_columns(text: str) -> ReadTable:
    lines = io.StringIO(text, newline="")
    first = _first_line(text)
    stated = re.fullmatch(r"\s*sep=(.)\s*", first, re.IGNORECASE)  # As Excel writes it.
    skipped = 0
    if stated is not None:
        skipped = len(lines.readline()) and 1
        separator = stated[1]
    else:
        separator = _find_separator(first)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    header: list[str] = []
    cells: list[list[str]] = []
    numbers: list[int] = []
    for row in reader:
        row = row if separator != " " else _without_end(row)
        if not any(cell.strip() for cell in row):
            continue
        if not header:
            header = row
            continue
        if any(cell.strip() for cell in row[len(header) :]):
            raise TableError(
                f"cannot be read: line {reader.line_num + skipped} has {len(row)} cells and the "
                f"header {len(header)}. Put cells that hold {separator!r} in double quotes."
            )
        cells.append(row + [""] * (len(header) - len(row)))
        numbers.append(reader.line_num + skipped)
    columns = {column: [row[column] for row in cells] for column in range(len(header))}
    # Programs separate by semicolons where the comma is a decimal one.
    return ReadTable(header, columns, numbers, decimal_comma=separator == ";")


def _first_line(text: str) -> str:
    return next((line for line in re.split(r"[\r\n]", text[: 1 << 16]) if line.strip()), "")


def _find_separator(header: str) -> str:
    """Return what separates the columns of a header: what gives most known names, else most."""

    def num_known(separator: str) -> int:
        names = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
        return sum(fold_name(name) in KNOWN_COLUMNS for name in names)

    best = max(_SEPARATORS, key=lambda separator: (num_known(separator), header.count(separator)))
    return " " if num_known(best) == 0 and num_known(" ") > 1 else best


def _without_end(row: list[str]) -> list[str]:
    """Return a row without the empty cell behind a space at its end."""
    return row[:-1] if row and not row[-1] else row


# ---- JSON lines ----


def _read_json_lines(text: str, path: str, notes: list[str]) -> ReadTable:
    """Read a table of which each line is a JSON object: the names of its columns, and values."""
    objects: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise TableError(
                f"cannot be read: line {number} is no JSON object, such as "
                '{"path": "a.jpg", "label": "cat"}.'
            )
        objects.append(value)
        numbers.append(number)
    header = list(dict.fromkeys(name for one in objects for name in one))
    columns = {i: [_plain_value(one.get(name)) for one in objects] for i, name in enumerate(header)}
    unread = [i for i, values in columns.items() if any(map(_is_nested, values))]
    for position in unread:
        if fold_name(header[position]) in KNOWN_COLUMNS:
            first = numbers[[_is_nested(value) for value in columns[position]].index(True)]
            raise TableError(
                f"cannot be read: in line {first}, {header[position]!r} is neither a text nor a "
                "number."
            )
        del columns[position]
    if unread:
        notes.append(_describe_unread(path, [header[i] for i in unread]))
    return ReadTable(header, columns, numbers)


def _plain_value(value: Any) -> Any:
    """Return a list of texts as one text, as tables in columns have several labels.

    JSON can name halves of characters, which no store and no file system holds.
    """
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = "|".join(value) or "|"
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _describe_unread(path: str, names: list[str]) -> str:
    listed = join_names([repr(name) for name in names], conjunction="and")
    return f"of {path!r} is not kept what is neither text nor number: {listed}"


# ---- Parquet ----


def _read_parquet(path: str, notes: list[str] | None) -> ReadTable:
    """Read a Parquet file.

    Args:
        path: The file.
        notes: Gets what is to be said of further columns; None reads only those that say something
            about images.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(_open(path) if is_url(path) else path) as file:
            header = list(file.schema_arrow.names)
            types = [file.schema_arrow.field(i).type for i in range(len(header))]
            others = [i for i, name in enumerate(header) if fold_name(name) not in KNOWN_COLUMNS]
            # Pictures inside, or lists of numbers: they may be as large as everything else.
            unread = {i for i in others if notes is None or _is_large(types[i])}
            if notes is not None and unread:
                notes.append(_describe_unread(path, [header[i] for i in sorted(unread)]))
            chosen = [i for i in range(len(header)) if i not in unread]
            table = file.read(columns=[header[i] for i in chosen])
            cells = {i: table.column(n).to_pylist() for n, i in enumerate(chosen)}
            return ReadTable(header, cells, range(1, file.metadata.num_rows + 1))
    except ImagesNotFound:  # At a URL.
        raise
    except (OSError, pyarrow.ArrowException) as error:
        raise TableError(f"cannot be read: {error}.") from error


def _is_large(kind: Any) -> bool:
    from pyarrow import types

    return any(
        test(kind)
        for test in (types.is_nested, types.is_binary, types.is_large_binary,
                     types.is_fixed_size_binary)
    )  # fmt: skip
