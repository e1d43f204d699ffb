"""Exports: stored features as files that other programs read."""

from __future__ import annotations

from featx.exports.exporting import EXPORT_FORMATS, ExportReport, export_store

__all__ = ["EXPORT_FORMATS", "ExportReport", "export_store"]
