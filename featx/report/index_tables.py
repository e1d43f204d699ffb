"""Indexes and trainings, drawn for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featx.report.drawing import make_table, print_result
from featx.report.text import short_path
from featx.units import format_bytes, format_count

if TYPE_CHECKING:
    from featx.index.shared_training import IndexTraining
    from featx.index.vector_index import VectorIndex
    from featx.index.verification import IndexReport


def show_index(index: VectorIndex) -> None:
    """Write what was built."""
    from featx.index.summary import describe_metric, describe_recall

    recall = describe_recall(index)
    print_result(
        f"{short_path(index.path)}: {format_count(len(index), 'image')}, {index.summary}, "
        f"{describe_metric(index.description.options)}, layer {index.description.feature.name}, "
        f"{format_count(index.width, 'value')} each{recall and f'; {recall}'}"
    )


def show_index_facts(summary: Mapping[str, Any]) -> None:
    """Draw what ``featx info`` says of an index."""
    table = make_table("index", short_path(summary["output"]), right=())
    bytes_each = summary["bytes"] / summary["rows"]
    exact = summary["min_recall"] is None
    asked = "" if exact else f", asked for: {summary['min_recall']:g}"
    recipe = f": {summary['factory']}" if summary["factory"] else ""
    facts = {
        "kind": f"{summary['kind']}{recipe}",
        "images": f"{summary['rows']:,}",
        "values": f"{summary['dimension']:,}",
        "layer": summary["layer"],
        "metric": summary["metric"],
        "recall of 10": f"{summary['recall']:.4f}{asked}",
        "size": f"{format_bytes(summary['bytes'])}, {bytes_each:,.0f} bytes for each image",
        "built in": f"{summary['seconds']:.1f} s",
        **{name: str(value) for name, value in summary["parameters"].items()},
        "store": short_path(summary["store"]),
    }
    for name, value in facts.items():
        table.add_row(name, value)
    print_result(table)


def show_index_report(report: IndexReport) -> None:
    """Say that an index is as it was written and that of its store, or what is wrong."""
    for problem in report.problems:
        print_result(problem)
    state = "intact" if report.is_intact else "not intact"
    compared = "its store is not here"
    if report.store is not None:
        compared = f"compared with {short_path(report.store)}"
    rows, held = format_count(report.rows, "image"), compared
    if report.is_intact and not report.rows:
        rows, held = "a training", "which holds no images"
    print_result(
        f"{short_path(report.index)}: {state} ({rows}, {format_bytes(report.num_bytes)}, {held})"
    )


def show_training(training: IndexTraining) -> None:
    """Write what was trained."""
    from featx.index.summary import describe_metric

    print_result(
        f"{short_path(training.path)}: {training.kind}, {format_count(training.lists, 'list')}, "
        f"trained on {format_count(training.trained_on, 'vector')} for an index of "
        f"{format_count(training.train_for, 'image')}, {describe_metric(training.options)}, "
        f"layer {training.feature.name}"
    )


def show_training_facts(summary: Mapping[str, Any]) -> None:
    """Draw what ``featx info`` says of a training."""
    table = make_table("training of indexes", short_path(summary["output"]), right=())
    recipe = f": {summary['factory']}" if summary["factory"] else ""
    facts = {
        "kind": f"{summary['kind']}{recipe}",
        "lists": f"{summary['lists']:,}",
        "values": f"{summary['dimension']:,}",
        "layer": summary["layer"],
        "metric": summary["metric"],
        "trained on": format_count(summary["trained_on"], "vector"),
        "for an index of": format_count(summary["train_for"], "image"),
        "size": format_bytes(summary["bytes"]),
    }
    for name, value in facts.items():
        table.add_row(name, value)
    print_result(table)
