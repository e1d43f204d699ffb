"""`featx serve`: a store over HTTP."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from featx.cli.groups import spread_groups
from featx.cli.options import AllowDownload, MovedWeights, OneLayer, ReadRunGroup, TrustModelCode
from featx.cli.serve_options import ServerGroup
from featx.serving.settings import ServerOptions


@spread_groups
def serve(
    *,
    features: Annotated[
        Path | None,
        typer.Argument(metavar="[FEATURES]", help="The feature store. [default: features.h5]"),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="The index. [default: the store's name ending in .faiss, built if new]"),
    ] = None,
    head: Annotated[
        Path | None,
        typer.Option(help="The head's folder, from `fit-head`. [default: head, if it is there]"),
    ] = None,
    layer: OneLayer = None,
    server: ServerGroup,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the page in a browser, from a terminal."),
    ] = True,
    mcp: Annotated[
        bool,
        typer.Option("--mcp", help="Serve an agent over stdin and stdout instead (MCP)."),
    ] = False,
    run: ReadRunGroup,
    weights: MovedWeights = None,
    trust_model_code: TrustModelCode = False,
    allow_download: AllowDownload = False,
) -> None:
    """Serve a store over HTTP: a page for people, and an interface for programs.

    Search, predictions, map, duplicates, doubtful labels. Decisions and tags are kept in a file
    beside the store; pictures are never changed. Files that are replaced meanwhile are read again.
    Ctrl-C ends it. Other machines can connect with --host, and then only with a token.

    Example: featx serve flowers.h5 --head head
    """
    from featx.features.query_images import QueryImages
    from featx.index.ready import IndexRequest
    from featx.report.console import ConsoleListener
    from featx.serving.server import open_server, run_for_agents
    from featx.serving.snapshot import Files

    listener = ConsoleListener()
    query = QueryImages(
        (),
        run=run,
        weights=weights,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
    )
    files = Files(IndexRequest(features, index, layer), head)
    if mcp:
        if replace(server, timeout=ServerOptions().timeout) != ServerOptions():
            raise typer.BadParameter("--mcp listens to no address: take away what says how")
        run_for_agents(files, query, server, listener)
        return
    opened = open_server(files, query, server, listener)
    typer.echo(opened.url)
    listener.note(f"serving {opened.summary}: Ctrl-C ends it")
    if browser and sys.stdout.isatty():
        typer.launch(opened.url)
    opened.run()
