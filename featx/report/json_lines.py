"""Results for scripts: one JSON object per line on stdout, with stable keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featx.report.text import short_path

if TYPE_CHECKING:
    from featx.heads.prediction_report import PredictReport
    from featx.index.searching import SearchReport


def write_json(value: Mapping[str, Any]) -> None:
    """Write one object as one line, in ASCII whatever the terminal's encoding; never NaN."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


def write_predictions(report: PredictReport) -> None:
    """Write ``{"path", "rank", "class", "probability"}`` for each class of each image."""
    for prediction in report.predictions:
        pairs = zip(prediction.classes, prediction.probabilities, strict=True)
        for rank, (name, probability) in enumerate(pairs, start=1):
            write_json(
                {
                    "path": short_path(prediction.path),
                    "rank": rank,
                    "class": name,
                    "probability": probability,
                }
            )


def write_matches(report: SearchReport) -> None:
    """Write ``{"query", "rank", "key", "path", "score", "label"}`` for each match."""
    for result in report.results:
        for match in result.matches:
            write_json(
                {
                    "query": short_path(result.query),
                    "rank": match.rank,
                    "key": match.key,
                    "path": short_path(match.path),
                    "score": match.score,
                    "label": match.label,
                }
            )
