"""What a head is, and what its arrays mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featx.report.drawing import make_table, print_facts, print_result
from featx.report.text import short_path
from featx.units import format_count, format_number, format_shape

SHOWN_CLASSES = 20


def show_head_facts(summary: Mapping[str, Any]) -> None:
    """Draw what ``featx info`` says of a head."""
    task = "" if summary["task"] == "single" else f", {summary['task']}"
    measured = _describe_quality(summary["evaluation"] or {})
    print_facts(
        ("head", short_path(summary["path"])),
        ("kind", f"{summary['kind']}{task}"),
        ("predicts", _describe_classes(summary)),
        ("layer", f"{summary['layer']}, pooling {summary['pool']}, D = {summary['dimension']:,}"),
        ("model", summary["model"]),
        ("fingerprint", summary["fingerprint"]),
        ("fitted on", format_count(summary["fitted_on"], "image")),
        *([("measured", measured)] if measured else []),
        ("computes", ", then ".join(summary["operations"])),
        ("temperature", f"{summary['temperature']:.4g}"),
    )
    print_result("")
    table = make_table("array", "shape", "type", "meaning", right=())
    for array in summary["arrays"]:
        shape = format_shape(array["shape"]) if array["shape"] else "a number"
        table.add_row(array["name"], shape, array["dtype"], array["meaning"])
    print_result(table)


def _describe_classes(summary: Mapping[str, Any]) -> str:
    """Name what is predicted, the first classes of many."""
    classes = summary["classes"]
    if not classes:
        return f"a number: {', '.join(summary['columns'])}"
    rest = len(classes) - SHOWN_CLASSES
    more = f" and {rest:,} more (--json lists all)" if rest > 0 else ""
    count = format_count(len(classes), "class", "classes")
    return f"{count}: {', '.join(classes[:SHOWN_CLASSES])}{more}"


def _describe_quality(measured: Mapping[str, Any]) -> str:
    """Say how good it is on images that it was not fitted on; nothing where that is not known."""
    names = {
        "accuracy": "accuracy",
        "mean_average_precision": "mean average precision",
        "mae": "mean absolute error",
    }
    for key, name in names.items():
        if measured.get(key) is not None:
            figure = format_number(measured[key])
            return f"{name} {figure} on {format_count(measured['num_examples'], 'held-out image')}"
    return ""
