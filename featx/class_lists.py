"""Files with the names of classes: text, CSV or JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from featx.errors import InvalidValue
from featx.text_files import decode_text
from featx.units import format_count

ClassEntry: TypeAlias = tuple[str, str | None]
"""The name of a class, and its WordNet id such as ``n01440764`` where the file gives one."""

_NUMBERED_LINE = re.compile(r"([0-9]+)[\s,:;]+(.*\S)\s*")
_INDEX_COLUMNS = ("index", "number", "id", "class_id")
_NAME_COLUMNS = ("name", "label", "class", "class_name")


def read_class_list(path: str | Path) -> list[ClassEntry]:
    """Read the names of classes, in the order of their numbers.

    Args:
        path: Text with one name per line, CSV with the columns index and name, or JSON as Keras
            writes it, ``{"0": ["n01440764", "tench"], ...}``.

    Raises:
        InvalidValue: If it cannot be read, or is something else.

    Example:
        >>> _ = Path("names.txt").write_text("cat\\ndog\\n")
        >>> read_class_list("names.txt")
        [('cat', None), ('dog', None)]
    """
    path = Path(path)
    try:
        text = decode_text(path.read_bytes()).text
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidValue(
            f"The names of classes in {str(path)!r} cannot be read: {reason}."
        ) from error
    return _parse(text, path)


def _parse(text: str, path: Path) -> list[ClassEntry]:
    """Return name and WordNet id of each class, in order."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        entries = _parse_json(text, path)
    elif suffix == ".csv":
        entries = [(name, None) for name in _parse_csv(text, path)]
    else:
        entries = [(name, None) for name in _parse_lines(text, path)]
    if not entries:
        raise InvalidValue(f"There are no names in {str(path)!r}.")
    return entries


def _parse_lines(text: str, path: Path) -> list[str]:
    """Read one name per line; leading numbers (``0 cat``) are dropped if every line has one."""
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise InvalidValue(
            f"{str(path)!r}, line {lines.index('') + 1}, is empty: which class has no name? A "
            "file of labels has one name per line, in the order of the classes."
        )
    numbered = [_NUMBERED_LINE.fullmatch(line) for line in lines]
    found = [match.groups() for match in numbered if match]
    if [number for number, _ in found] == [str(number) for number in range(len(lines))]:
        return [name for _, name in found]
    return lines


def _parse_csv(text: str, path: Path) -> list[str]:
    """Read the columns index and name; without a header line, the first two."""
    lines = text.splitlines()
    # What ends the first cell, which is a number or a header, ends all.
    end = re.search(r"[,;\t]", next(filter(str.strip, lines), ""))
    rows = [row for row in csv.reader(lines, delimiter=end[0] if end else ",") if row]
    columns = (0, 1)
    if rows and not rows[0][0].strip().isdecimal():
        header = [cell.strip().lower() for cell in rows.pop(0)]
        index = next((header.index(name) for name in _INDEX_COLUMNS if name in header), None)
        name = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
        if index is None or name is None:
            raise InvalidValue(
                "Labels in CSV have the columns index and name. "
                f"Received: {', '.join(header)} in {str(path)!r}."
            )
        columns = (index, name)
    named: dict[str, Any] = {}
    for row in rows:
        if len(row) <= max(columns):
            raise InvalidValue(f"Labels in CSV have an index and a name in each line: {row}.")
        key = row[columns[0]].strip()
        if key in named:
            raise InvalidValue(f"{str(path)!r} has the index {key!r} twice.")
        named[key] = row[columns[1]].strip()
    return [str(name) for name in _in_order(named, path)]


def _parse_json(text: str, path: Path) -> list[ClassEntry]:
    """Read ``{"0": [wordnet_id, name], ...}``, ``{"0": name, ...}`` or a list of either."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"The labels in {str(path)!r} are not JSON: {error}") from error
    values = _in_order(data, path) if isinstance(data, dict) else data
    entries: list[ClassEntry] = []
    for value in values if isinstance(values, list) else [data]:
        if isinstance(value, str):
            entries.append((value, None))
        elif isinstance(value, list) and len(value) == 2 and {*map(type, value)} == {str}:
            entries.append((value[1], value[0]))
        else:
            raise InvalidValue(
                'Labels in JSON are {"0": ["n01440764", "tench"], ...}, {"0": "tench", ...} or '
                f'["tench", ...]. Received: {json.dumps(value)[:60]} in {str(path)!r}.'
            )
    return entries


def _in_order(named: Mapping[str, Any], path: Path) -> list[Any]:
    """Return the values of the keys 0, 1, 2, ..., none of which may be missing."""
    wanted = [str(number) for number in range(len(named))]
    missing = [number for number in wanted if number not in named]
    if missing:
        raise InvalidValue(
            f"Classes are numbered from 0 without gaps. {str(path)!r} has "
            f"{format_count(len(named), 'name')} and none for {missing[0]}."
        )
    return [named[number] for number in wanted]
