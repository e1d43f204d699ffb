"""Views of stores, tables, and what was done with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featx.report.text import short_path
from featx.report.views.view import (
    MOST_ROWS,
    Rows,
    View,
    describe_feature,
    list_facts,
    list_names,
)
from featx.units import format_bytes, format_count, format_rate, format_shape

if TYPE_CHECKING:
    from featx.datasets.feature_dataset import FeatureDataset
    from featx.exports.databases import DatabaseReport
    from featx.exports.exporting import ExportReport
    from featx.extraction.report import ExtractReport
    from featx.images.sources import ImageFailure
    from featx.store import FeatureStore, FeatureTable, MergeReport, PackReport, VerifyReport
    from featx.store.rows import Rows as StoreRows
    from featx.store.values import LayerValues

HEAD_ROWS = 5
"""Rows of a table of features that are shown."""

HEAD_VALUES = 4
"""Values of each of them."""


def view_store(store: FeatureStore) -> View:
    """Return what a store holds: images, classes, layers."""
    specs = store.header.features
    return View(
        "FeatureStore",
        short_path(store.path),
        list_facts(
            ("images", f"{len(store):,}"),
            ("layers", list_names([describe_feature(spec) for spec in specs])),
            ("classes", list_names(store.classes)),
            ("model", store.model.reference),
            ("images in", short_path(store.root.text)),
            ("failed", f"{len(store.failures):,}" if store.failures else ""),
        ),
        Rows(
            ("layer", "shape of a row", "pool", "type"),
            [
                (spec.name, format_shape(spec.shape), spec.pool, str(store.header.dtype))
                for spec in specs[:MOST_ROWS]
            ],
            len(specs),
        ),
    )


def view_dataset(data: FeatureDataset) -> View:
    """Return what a data set has of its store."""
    return View(
        "FeatureDataset",
        short_path(data.choice.path),
        list_facts(
            ("rows", f"{len(data):,}"),
            ("layers", list_names([f"{n} {format_shape(s.shape)}" for n, s in data.specs.items()])),
            ("columns", list_names(data.choice.columns)),
            ("target", data.choice.target or ""),
            ("classes", list_names(data.classes)),
        ),
    )


def view_values(values: LayerValues) -> View:
    """Return the shape of a layer on the disk."""
    size = format_bytes(values.dtype.itemsize * math.prod(values.shape))
    return View(
        "LayerValues",
        facts=(
            ("shape", format_shape(values.shape)),
            ("type", str(values.dtype)),
            ("on disk", size),
        ),
    )


def view_table(table: FeatureTable) -> View:
    """Return the first rows and values of a table."""
    values = table.values[:HEAD_ROWS]
    values = values.reshape(len(values), math.prod(values.shape[1:]))
    width = values.shape[1]
    shown = min(width, HEAD_VALUES)
    return View(
        "FeatureTable",
        table.spec.name,
        list_facts(
            ("rows", f"{len(table.keys):,}"),
            ("values", f"{width:,}"),
            ("pool", table.spec.pool),
            ("model", table.model.reference),
        ),
        Rows(
            ("key", "label", *(str(number) for number in range(shown)), *["…"][: width - shown]),
            [
                (key, label or "–", *(f"{value:.4g}" for value in row[:shown]))
                + (("…",) if width > shown else ())
                for key, label, row in zip(
                    table.keys[:HEAD_ROWS], table.labels, values, strict=False
                )
            ],
            len(table.keys),
            numbers=tuple(range(2, 2 + shown)),
        ),
    )


def view_rows(rows: StoreRows) -> View:
    """Return how many rows there are, and the first keys."""
    return View("Rows", facts=list_facts(("rows", f"{len(rows.keys):,}"), _keys("keys", rows.keys)))


def view_extraction(report: ExtractReport) -> View:
    """Return what an extraction did, and the first failures."""
    rate = report.images_per_second
    counts = {
        "computed" if not report.dry_run else "to compute": report.done,
        "already there": report.skipped,
        "identical": report.reused - report.renamed,
        "renamed": report.renamed,
        "removed": report.removed,
        "without image": report.missing,
        "failed": report.failed,
    }
    return View(
        "ExtractReport",
        short_path(report.output),
        list_facts(
            ("rows", f"{report.rows:,}"),
            *((word, f"{count:,}" if count else "") for word, count in counts.items()),
            ("images/s", format_rate(rate) if rate else ""),
            ("dry run", "nothing was written" if report.dry_run else ""),
        ),
        list_failures(report.failures),
    )


def view_verification(report: VerifyReport) -> View:
    """Return whether a store is intact, and what is damaged."""
    return View(
        "VerifyReport",
        short_path(report.store),
        list_facts(
            ("intact", "yes" if report.is_intact else "no"),
            ("rows", f"{report.rows:,}"),
            ("read", f"{format_count(report.files, 'file')}, {format_bytes(report.num_bytes)}"),
            ("images compared", f"{report.images:,}" if report.images else ""),
            _keys("changed", report.changed),
            _keys("missing", report.missing),
            _keys("unreadable", list(report.unreadable)),
            (
                "repaired",
                f"yes, {format_count(report.dropped, 'row')} dropped" if report.repaired else "",
            ),
        ),
        Rows(
            ("damaged", "problem"),
            [(damage.file, damage.problem) for damage in report.damages[:MOST_ROWS]],
            len(report.damages),
        ),
    )


def view_packing(report: PackReport) -> View:
    """Return what was packed."""
    return View(
        "PackReport",
        short_path(report.output),
        list_facts(
            ("rows", f"{report.rows:,}"),
            ("size", format_bytes(report.num_bytes)),
            ("parts", f"{report.parts:,}"),
        ),
    )


def view_merging(report: MergeReport) -> View:
    """Return what was merged."""
    return View(
        "MergeReport",
        short_path(report.output),
        list_facts(
            ("rows", f"{report.rows:,}"),
            ("sources", f"{report.sources:,}"),
            _keys("duplicates", report.duplicates),
            _keys("conflicts", report.conflicts),
            _keys("unfinished", report.unfinished),
        ),
    )


def view_export(report: ExportReport) -> View:
    """Return what was exported."""
    return View(
        "ExportReport",
        short_path(report.output),
        list_facts(
            ("format", report.format),
            ("layer", report.layer),
            ("rows", f"{report.rows:,}"),
            ("columns", f"{report.columns:,}"),
            ("size", format_bytes(report.bytes)),
        ),
    )


def view_database(report: DatabaseReport) -> View:
    """Return what was written into a database."""
    return View(
        "DatabaseReport",
        short_path(report.output),
        list_facts(
            ("database", report.database),
            ("table", report.table),
            ("layer", report.layer),
            ("rows", f"{report.rows:,}"),
            ("written", f"{report.written:,}"),
            ("held now", f"{report.counted:,}" if report.counted != report.rows else ""),
        ),
    )


def list_failures(failures: Sequence[ImageFailure]) -> Rows:
    """Return a table of the first images that failed."""
    shown = [(failure.key, failure.reason) for failure in failures[:MOST_ROWS]]
    return Rows(("failed", "reason"), shown, len(failures))


def _keys(word: str, keys: Sequence[str]) -> tuple[str, str]:
    return word, f"{len(keys):,} ({list_names(keys)})" if keys else ""


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "DatabaseReport": view_database,
    "ExportReport": view_export,
    "ExtractReport": view_extraction,
    "FeatureDataset": view_dataset,
    "FeatureStore": view_store,
    "FeatureTable": view_table,
    "LayerValues": view_values,
    "MergeReport": view_merging,
    "PackReport": view_packing,
    "Rows": view_rows,
    "VerifyReport": view_verification,
}
