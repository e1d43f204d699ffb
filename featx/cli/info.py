"""`featx info`: what is in a store."""

from __future__ import annotations

from pathlib import Path

from featx.cli.options import Json, StoreArgument
from featx.specs import DEFAULT_STORE


def info(features: StoreArgument = Path(DEFAULT_STORE), as_json: Json = False) -> None:
    """Show what is in a feature store.

    Rows, layers with their shapes and sizes, model, preprocessing, images that failed.

    Example: featx info flowers.h5
    """
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_store
    from featx.store import open_store
    from featx.store.summary import summarize_store

    with open_store(features) as store:
        summary = summarize_store(store)
    if as_json:
        write_json(summary)
    else:
        show_store(summary)
