"""Predictions as CSV, JSON lines or Parquet, written while they are made."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from featx.atomic import replace_file
from featx.errors import InvalidValue
from featx.files import describe_wrong_output, is_wrong_output
from featx.heads.kinds import Task
from featx.heads.prediction_report import Prediction
from featx.options import DecisionOptions
from featx.report.json_lines import describe_prediction
from featx.report.text import short_path
from featx.text_files import quote_formula
from featx.wording import option

BLOCK_ROWS = 4096
"""Rows that are held before they are written to Parquet."""


def check_prediction_path(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a path whose ending is none of the formats, or at which no file can be.

    Args:
        path: The file.
        overwrite: Whether a file that exists is replaced.

    Raises:
        InvalidValue: Says what to do.
    """
    if path.suffix.lower() not in _WRITERS:
        raise InvalidValue(
            f"Predictions are written as {', '.join(_WRITERS)}. Received: {str(path)!r}."
        )
    if is_wrong_output(path):
        raise InvalidValue(describe_wrong_output(path))
    if path.exists() and not overwrite:
        raise InvalidValue(f"{str(path)!r} exists. {option('overwrite', True)} replaces it.")


def write_prediction_file(
    predictions: Iterable[Prediction],
    path: Path,
    top: int,
    decision: DecisionOptions,
    task: Task = "single",
    *,
    csv_safe: bool = False,
) -> None:
    """Write predictions as they come: a row for each picture.

    The columns are path, label, class and probability, of further classes class_2, probability_2
    and so on, and where they were asked for unknown, candidates and novelty. JSON lines have one
    object for each class, as ``--json`` prints them. Of several labels the columns are path, label,
    labels and probabilities, of a number path, label and number.

    Args:
        predictions: What `featx.predict` or `featx.iter_predictions` gives, without failures.
        path: A file, replaced if it exists; see `check_prediction_path`.
        top: The most classes of a picture.
        decision: What was asked for.
        task: What is predicted.
        csv_safe: In CSV files, write an apostrophe before texts that a spreadsheet would take for
            a formula. Other formats have no formulas.

    Raises:
        InvalidValue: If it cannot be written.
    """
    columns = list_columns(top, decision, task)
    write = _write_safe_csv if csv_safe and is_csv(path) else _WRITERS[path.suffix.lower()]
    try:
        with replace_file(path) as temporary:
            write(predictions, temporary, columns)
    except OSError as error:
        raise InvalidValue(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def list_columns(top: int, decision: DecisionOptions, task: Task = "single") -> list[str]:
    """Return the names of the columns.

    Example:
        >>> list_columns(2, DecisionOptions(threshold=0.5))
        ['path', 'label', 'class', 'probability', 'class_2', 'probability_2', 'unknown']
        >>> list_columns(2, DecisionOptions(novelty=True), "regression")
        ['path', 'label', 'number', 'novelty']
    """
    if task != "single":
        own = ["number"] if task == "regression" else ["labels", "probabilities"]
        return ["path", "label", *own, *(["novelty"] if decision.novelty else [])]
    further = [f"{name}_{n}" for n in range(2, top + 1) for name in ("class", "probability")]
    asked = {
        "unknown": decision.threshold is not None,
        "candidates": decision.coverage is not None,
        "novelty": decision.novelty,
    }
    wanted = [name for name, is_wanted in asked.items() if is_wanted]
    return ["path", "label", "class", "probability", *further, *wanted]


def make_row(prediction: Prediction, columns: Sequence[str]) -> dict[str, Any]:
    """Return what is said of a picture, by the names of the columns; see `list_columns`."""
    row: dict[str, Any] = {"path": short_path(prediction.path), "label": prediction.label}
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    for rank, (name, probability) in enumerate(pairs, start=1):
        ending = "" if rank == 1 else f"_{rank}"
        row |= {f"class{ending}": name, f"probability{ending}": probability}
    row |= {"unknown": prediction.is_unknown, "novelty": prediction.novelty}
    row["candidates"] = prediction.candidates
    if prediction.labels is not None:
        row["labels"] = tuple(prediction.labels)
        row["probabilities"] = tuple(prediction.labels.values())
    row["number"] = prediction.number
    return {name: row.get(name) for name in columns}


def is_csv(path: Path) -> bool:
    """Whether predictions are written to a path as CSV."""
    return path.suffix.lower() == ".csv"


def _write_safe_csv(predictions: Iterable[Prediction], path: Path, columns: Sequence[str]) -> None:
    _write_csv(predictions, path, columns, quote_formula)


def _write_csv(
    predictions: Iterable[Prediction],
    path: Path,
    columns: Sequence[str],
    quote: Callable[[str], str] = str,
) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for prediction in predictions:
            row = make_row(prediction, columns)
            for name, cell in row.items():
                text = "|".join(map(str, cell)) if isinstance(cell, tuple) else cell
                row[name] = quote(text) if isinstance(text, str) else text
            writer.writerow(row)


def _write_json_lines(
    predictions: Iterable[Prediction], path: Path, columns: Sequence[str]
) -> None:
    with path.open("w", encoding="ascii") as file:
        for prediction in predictions:
            for line in describe_prediction(prediction, columns):
                file.write(json.dumps(line, allow_nan=False) + "\n")


def _write_parquet(predictions: Iterable[Prediction], path: Path, columns: Sequence[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    special = {
        "unknown": pyarrow.bool_(),
        "candidates": pyarrow.list_(pyarrow.string()),
        "novelty": pyarrow.float64(),
        "labels": pyarrow.list_(pyarrow.string()),
        "probabilities": pyarrow.list_(pyarrow.float64()),
        "number": pyarrow.float64(),
    }
    schema = pyarrow.schema(
        (name, special.get(name, pyarrow.float64() if "prob" in name else pyarrow.string()))
        for name in columns
    )
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for block in _blocks(make_row(prediction, columns) for prediction in predictions):
            writer.write_table(pyarrow.Table.from_pylist(block, schema=schema))


def _blocks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while block := list(islice(rows, BLOCK_ROWS)):
        yield block


_WRITERS = {".csv": _write_csv, ".jsonl": _write_json_lines, ".parquet": _write_parquet}
