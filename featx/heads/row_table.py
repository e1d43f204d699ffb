"""The CSV file that names each held-out picture with its true and predicted class."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from featx.atomic import replace_file
from featx.errors import HeadError, InvalidValue
from featx.files import describe_wrong_output, is_wrong_output
from featx.heads.held_out import AnyHeldOut, HeldOut, HeldOutNumbers
from featx.heads.targets import name_labels
from featx.text_files import quote_formula
from featx.wording import option

COLUMNS = ("path", "label", "predicted", "probability", "label_probability", "near_duplicate")
LABEL_COLUMNS = ("path", "label", "predicted", "probability", "near_duplicate")
NUMBER_COLUMNS = ("path", "label", "predicted", "near_duplicate")


def check_rows_path(path: str | Path | None, *, csv_safe: bool) -> None:
    """Refuse a path at which no file can be, before anything is computed.

    Raises:
        HeadError: Says what to do.
        InvalidValue: If a file that is not wanted is to be made safe.
    """
    if path is None and csv_safe:
        raise InvalidValue(f"{option('csv_safe', True)} goes with {option('rows', 'OUT.csv')}.")
    if path is not None and is_wrong_output(Path(path)):
        raise HeadError(describe_wrong_output(Path(path), "rows"))


def write_rows(
    held_out: AnyHeldOut, path: Path, *, near_duplicates: bool = True, csv_safe: bool = False
) -> None:
    """Write a line for each held-out picture, in the order of the store.

    The columns are the picture's key, its true and its predicted class, the probabilities of both
    (predicted first), whether a near-duplicate was fitted on (0 or 1) where `near_duplicates` were
    looked for, and with a cross-validation ``fold``, from 1. As a file of labels, it says which
    pictures were held out.

    Of several labels, ``label`` and ``predicted`` are texts such as ``cat|dog``, and
    ``probability`` the probabilities of those predicted, likewise. Of numbers there are ``label``
    and ``predicted``.

    Args:
        held_out: The pictures.
        path: The file; one that exists is replaced.
        near_duplicates: Whether near-duplicates were looked for.
        csv_safe: Write an apostrophe before names that a spreadsheet would take for a formula.

    Raises:
        HeadError: If it cannot be written.
    """
    folds = held_out.folds
    columns: tuple[str, ...] = LABEL_COLUMNS
    if isinstance(held_out, HeldOut):
        columns = COLUMNS
    elif isinstance(held_out, HeldOutNumbers):
        columns = NUMBER_COLUMNS
    if not near_duplicates:
        columns = columns[:-1]
    text = quote_formula if csv_safe else str
    header = [*columns, *([] if folds is None else ["fold"])]
    try:
        with (
            replace_file(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(header)
            for row, key in enumerate(held_out.keys):
                line = [text(key), *_make_cells(held_out, row, text)]
                if near_duplicates:
                    line.append(str(int(held_out.straddling[row])))
                writer.writerow(line if folds is None else [*line, folds[row] + 1])
    except OSError as error:
        raise HeadError(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def _make_cells(held_out: AnyHeldOut, row: int, text: Callable[[str], str]) -> list[str]:
    """Return what is true and what was predicted of a row, with probabilities."""
    if isinstance(held_out, HeldOut):
        return [
            text(held_out.classes[held_out.targets[row]]),
            text(held_out.classes[held_out.predicted[row]]),
            f"{held_out.confidence[row]:.6f}",
            f"{held_out.own[row]:.6f}",
        ]
    if isinstance(held_out, HeldOutNumbers):
        return [f"{held_out.targets[row]:.15g}", f"{held_out.predicted[row]:.6g}"]
    predicted = held_out.predicted[row]
    return [
        text(name_labels(held_out.targets[row], held_out.classes)),
        text(name_labels(predicted, held_out.classes)),
        "|".join(f"{value:.6f}" for value in held_out.probabilities[row][predicted]),
    ]
