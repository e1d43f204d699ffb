"""`featx index`: a vector index over a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from featx.cli.groups import Group, spread_groups
from featx.cli.options import Json, OneLayer, ReadPool, StoreArgument
from featx.cli.registry_choice import Choice
from featx.index.kinds import AUTO, INDEXES
from featx.index.options import IndexOptions, Metric
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE
from featx.units import parse_bytes


def make_index_options(
    metric: Annotated[
        Metric, typer.Option(help="Cosine similarity, inner product or Euclidean distance.")
    ] = "cosine",
    pca: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Compare N principal components of the store."),
    ] = None,
    whiten: Annotated[
        bool, typer.Option("--whiten", help="Scale the components to equal variance.")
    ] = False,
    min_recall: Annotated[
        float,
        typer.Option(
            metavar="R",
            help="Share of the 10 nearest that is to be found where not everything is looked at.",
        ),
    ] = IndexOptions().min_recall,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            "--max-index-memory-usage",
            metavar="SIZE",
            help="What a search and building may take, such as 2GB; by it 'auto' chooses.",
        ),
    ] = None,
    max_query_time: Annotated[
        float,
        typer.Option(
            "--max-query-time",
            "--max-index-query-time-ms",
            metavar="MS",
            help="'auto' is exact while a query takes no longer; bounds nothing else.",
        ),
    ] = IndexOptions().max_query_time,
    factory: Annotated[
        str | None,
        typer.Option(
            metavar="STRING",
            help="For experts: a factory string of FAISS, such as OPQ64,IVF4096,PQ64.",
        ),
    ] = None,
) -> IndexOptions:
    """Return how an index compares vectors, and what it may cost."""
    return IndexOptions(
        metric=metric,
        pca=pca,
        whiten=whiten,
        min_recall=min_recall,
        max_memory=None if max_memory is None else parse_bytes(max_memory),
        max_query_time=max_query_time,
        factory=factory,
    )


@spread_groups
def index(
    *,
    features: StoreArgument = Path(DEFAULT_STORE),
    layer: OneLayer = None,
    pool: ReadPool = DEFAULT_READ_POOLING,
    kind: Annotated[
        str,
        typer.Option(help="The kind of index; 'auto' is exact while that is fast enough."),
        Choice(lambda: (AUTO, *INDEXES.names)),
    ] = AUTO,
    options: Annotated[IndexOptions, Group(make_index_options)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The index. [default: the store's name ending in .faiss, or in .trained.faiss]",
        ),
    ] = None,
    train_for: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only train, for N images whose index is merged of those of several machines.",
        ),
    ] = None,
    trained_by: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fill the index by what --train-for wrote."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build an index for `search`.

    The network is not run, and TensorFlow not needed. `search` brings it up to date. On several
    machines: train once, fill an index of each store, and `merge` stores and indexes.

    Example: featx index flowers.h5 --layer out_relu -o flowers.faiss
    """
    import featx
    from featx.index.summary import summarize_index, summarize_training
    from featx.report.console import ConsoleListener
    from featx.report.index_tables import show_index, show_training
    from featx.report.json_lines import write_json

    asked: dict[str, Any] = {"layer": layer, "pool": pool, "kind": kind, "options": options}
    asked |= {"output": output, "listener": ConsoleListener()}
    if train_for is not None:
        if trained_by is not None:
            raise typer.BadParameter("--train-for and --trained-by exclude each other")
        trained = featx.train_index(features, train_for=train_for, **asked)
        if as_json:
            write_json(summarize_training(trained))
        else:
            show_training(trained)
        return
    built = featx.build_index(features, trained_by=trained_by, **asked)
    if as_json:
        write_json(summarize_index(built))
    else:
        show_index(built)
