"""`featx info`: what is in a store or an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json
from featx.specs import DEFAULT_STORE


def info(
    features: Annotated[
        Path, typer.Argument(help="A feature store that `extract` wrote, or an index.")
    ] = Path(DEFAULT_STORE),
    as_json: Json = False,
) -> None:
    """Show what is in a feature store or an index.

    Of a store: rows, layers with their shapes and sizes, model, preprocessing, images that failed.
    Of an index: its kind, size, and how much of the nearest it finds.

    Example: featx info flowers.h5
    """
    from featx.index.files import is_index_file
    from featx.report.json_lines import write_json

    if is_index_file(features):
        import featx
        from featx.index.summary import summarize_index
        from featx.report.tables import show_index_facts

        described = summarize_index(featx.open_index(features))
        if as_json:
            write_json(described)
        else:
            show_index_facts(described)
        return
    from featx.report.store_tables import show_store
    from featx.store import open_store
    from featx.store.summary import summarize_store

    with open_store(features) as store:
        summary = summarize_store(store)
    if as_json:
        write_json(summary)
    else:
        show_store(summary)
