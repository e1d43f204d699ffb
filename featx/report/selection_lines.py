"""Pictures that were chosen, on stdout: keys, paths, JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.report.drawing import write_name
from featx.report.json_lines import write_json
from featx.report.text import short_path

if TYPE_CHECKING:
    from featx.curation.selecting import SelectReport


def show_selection(report: SelectReport, end: str, *, paths: bool) -> None:
    """Write the key of each picture, or its path, with `end` behind it."""
    for one in report:
        write_name(short_path(one.path) if paths else one.key, end)


def write_selection(report: SelectReport) -> None:
    """Write ``{"rank", "key", "path", "label", "split", "score"}`` for each picture."""
    for rank, one in enumerate(report, start=1):
        values = one.to_dict()
        write_json({"rank": rank} | values | {"path": short_path(one.path)})
