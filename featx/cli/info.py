"""`featx info`: what is in a store, an index or a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from featx.cli.options import Json
from featx.specs import DEFAULT_STORE
from featx.wording import command

HEAD_FILE = "head.json"
"""By this file, the folder of a head is known."""

Described = tuple[dict[str, Any], Callable[[Mapping[str, Any]], None]]
"""Facts, and what draws them."""


def info(
    features: Annotated[
        Path,
        typer.Argument(help="A feature store that `extract` wrote, an index, or a head's folder."),
    ] = Path(DEFAULT_STORE),
    as_json: Json = False,
) -> None:
    """Show what is in a feature store, an index or a head.

    Of a store: rows, layers with their shapes and sizes, model, preprocessing, images that failed.
    Of an index: its kind, size, and how much of the nearest it finds.
    Of a head: classes, accuracy, and what each of its arrays means.

    Example: featx info flowers.h5

    Example: featx info head
    """
    from featx.index.files import is_index_file
    from featx.report.json_lines import write_json

    if is_index_file(features):
        summary, show = _describe_index(features)
    elif (features / HEAD_FILE).is_file():
        summary, show = _describe_head(features)
    else:
        summary, show = _describe_store(features)
    if as_json:
        write_json(summary)
    else:
        show(summary)


def _describe_index(path: Path) -> Described:
    import featx
    from featx.index.shared_training import is_training
    from featx.index.summary import summarize_index, summarize_training
    from featx.report.index_tables import show_index_facts, show_training_facts

    if is_training(path):
        return summarize_training(featx.open_training(path)), show_training_facts
    return summarize_index(featx.open_index(path)), show_index_facts


def _describe_head(folder: Path) -> Described:
    from featx.heads.head import load_head
    from featx.heads.summary import summarize_head
    from featx.report.head_tables import show_head_facts

    return summarize_head(load_head(folder)), show_head_facts


def _describe_store(path: Path) -> Described:
    from featx.errors import StoreDamaged, StoreNotFound
    from featx.models.reference import is_file_of_model
    from featx.report.store_tables import show_store
    from featx.store import open_store
    from featx.store.summary import summarize_store

    try:
        with open_store(path) as store:
            return summarize_store(store), show_store
    except (StoreDamaged, StoreNotFound) as error:
        if not is_file_of_model(str(path)):
            raise
        lister = command("layers", "MODEL")
        raise type(error)(f"{error} If it is a model, {lister} shows its layers.") from error
