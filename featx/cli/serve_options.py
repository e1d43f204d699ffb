"""Options of `featx serve` that say where it listens and what it takes; see `ServerOptions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.groups import Group
from featx.serving.settings import DEFAULT_PORT, ServerOptions
from featx.units import parse_bytes


def make_server(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; others than this need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = (
        DEFAULT_PORT
    ),
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask for the token in it: one word of 16 characters."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name of this server, as behind a proxy."),
    ] = None,
    max_upload: Annotated[
        str, typer.Option(metavar="SIZE", help="Largest request, in bytes.")
    ] = "32 MiB",
    queue: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests at a time; more are told to wait.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="After which a request is given up.")
    ] = 30.0,
) -> ServerOptions:
    """Return where the server listens, and what it takes."""
    return ServerOptions(
        host, port, token_file, allow_host or (), parse_bytes(max_upload), queue, timeout
    )


ServerGroup = Annotated[ServerOptions, Group(make_server)]
