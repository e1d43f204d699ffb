"""`featx index`: a vector index over a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, OneLayer, ReadPool, StoreArgument
from featx.cli.registry_choice import Choice
from featx.index.kinds import DEFAULT_INDEX_KIND, INDEXES
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE


def index(
    features: StoreArgument = Path(DEFAULT_STORE),
    layer: OneLayer = None,
    pool: ReadPool = DEFAULT_READ_POOLING,
    kind: Annotated[
        str, typer.Option(help="The kind of index."), Choice(lambda: INDEXES.names)
    ] = DEFAULT_INDEX_KIND,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The index. [default: the store's name ending in .faiss]"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build an index for `search`.

    It compares by cosine similarity. The network is not run, and TensorFlow not needed.

    Example: featx index flowers.h5 --layer out_relu -o flowers.faiss
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.tables import show_index

    built = featx.build_index(
        features,
        layer=layer,
        pool=pool,
        kind=kind,
        output=output,
        listener=ConsoleListener(),
    )
    if as_json:
        feature = built.description.feature
        write_json(
            {
                "output": str(built.path),
                "rows": len(built),
                "layer": feature.name,
                "pool": feature.pool,
                "kind": built.description.kind,
                "metric": "cosine",
            }
        )
    else:
        show_index(built)
