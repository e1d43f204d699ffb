"""Results for scripts on stdout: one JSON object per line, with stable keys; CSV; paths."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from featx.report.drawing import write_name
from featx.report.text import short_path
from featx.text_files import quote_formula

if TYPE_CHECKING:
    from featx.heads.prediction_report import Prediction
    from featx.index.searching import SearchReport


def write_json(value: Mapping[str, Any]) -> None:
    """Write one object as one line, in ASCII whatever the terminal's encoding; never NaN."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


def write_predictions(predictions: Iterable[Prediction], columns: Container[str]) -> None:
    """Write the lines of each prediction; see `describe_prediction`."""
    for prediction in predictions:
        for line in describe_prediction(prediction, columns):
            write_json(line)


def describe_prediction(
    prediction: Prediction, columns: Container[str]
) -> Iterator[dict[str, Any]]:
    """Yield ``{"path", "rank", "class", "probability"}`` for each class of an image.

    Of several labels it is one ``{"path", "labels"}``, each label with its probability, of a number
    ``{"path", "number"}``.

    Args:
        prediction: Of one image.
        columns: Which of ``unknown``, ``candidates`` and ``novelty`` each line has as well.
    """
    known = {
        "unknown": prediction.is_unknown,
        "candidates": prediction.candidates,
        "novelty": prediction.novelty,
    }
    asked = {name: value for name, value in known.items() if name in columns}
    if prediction.labels is not None:
        yield {"path": short_path(prediction.path), "labels": prediction.labels} | asked
        return
    if prediction.number is not None:
        yield {"path": short_path(prediction.path), "number": prediction.number} | asked
        return
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    for rank, (name, probability) in enumerate(pairs, start=1):
        line = {"path": short_path(prediction.path), "rank": rank, "class": name}
        yield line | {"probability": probability} | asked


def write_matches(report: SearchReport) -> None:
    """Write ``{"query", "rank", "key", "path", "score", "label"}`` for each match.

    Also ``"copies"``, the keys of identical files, where there are any and they were asked for, and
    with regions ``"box"``: left, top, right and bottom in pixels of the match, or null if its
    picture is not here.
    """
    for result in report.results:
        for match in result.matches:
            line = {
                "query": short_path(result.query),
                "rank": match.rank,
                "key": match.key,
                "path": short_path(match.path),
                "score": match.score,
                "label": match.label,
            }
            if report.has_boxes:
                line["box"] = None if match.box is None else list(match.box)
            write_json(line | ({"copies": list(match.copies)} if match.copies else {}))


def write_matches_csv(report: SearchReport, *, csv_safe: bool = False) -> None:
    """Write a line of CSV for each match, below the names of the columns.

    Args:
        report: The matches.
        csv_safe: Write an apostrophe before texts that a spreadsheet would take for a formula.
    """
    text = quote_formula if csv_safe else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    sides = ["left", "top", "right", "bottom"] if report.has_boxes else []
    writer.writerow(["query", "rank", "score", "label", "key", "path", *sides])
    for result in report.results:
        for match in result.matches:
            names = map(text, (match.label or "", match.key, short_path(match.path)))
            box = match.box or [""] * len(sides)
            query = text(short_path(result.query))
            writer.writerow([query, match.rank, match.score, *names, *box])


def write_paths(report: SearchReport, end: str = "\n") -> None:
    """Write the matches' paths, each with `end` behind it, for pipes."""
    for result in report.results:
        for match in result.matches:
            write_name(short_path(match.path), end)
