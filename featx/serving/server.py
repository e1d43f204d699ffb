"""`serve`: a store over HTTP, in this thread or beside it."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from featx.arguments import plain_arguments
from featx.checks.layers import check_layer
from featx.checks.texts import check_path
from featx.errors import FeatxError, LibraryMissing
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.index.ready import IndexRequest
from featx.inference.request import request_reading
from featx.models.in_memory import InMemory, check_model
from featx.options import RunOptions, fill_group
from featx.serving.settings import ServeKeywords, ServerOptions
from featx.serving.snapshot import Files
from featx.trust import GivenTrust
from featx.units import format_count
from featx.wording import option

if TYPE_CHECKING:
    from types import TracebackType

    import uvicorn

    from featx.serving.service import Service


_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What is listened at at all addresses, and one of them that browsers open."""


class ServeError(FeatxError, OSError):
    """The server could not begin to listen."""


class Server:
    """A server that runs in a thread of its own until it is closed.

    Attributes:
        url: Where it is.
    """

    def __init__(self, service: Service, server: uvicorn.Server, socket_: socket.socket) -> None:
        self._service, self._server, self._socket = service, server, socket_
        host, port = socket_.getsockname()[:2]
        host = _EVERYWHERE.get(host, host)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{port}"
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        state = "running" if self._thread is not None and self._thread.is_alive() else "closed"
        return f"<featx.serve: {self.url}, {state}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def summary(self) -> str:
        """What is served, in a few words."""
        snapshot = self._service.current
        head = "no head"
        if snapshot.head is not None:
            head = f"head {str(snapshot.head.folder)!r} ({snapshot.head.kind})"
        images = format_count(len(snapshot), "image")
        return f"{images}, layer {snapshot.index.description.feature.name!r}, {head}"

    def run(self) -> None:
        """Serve in this thread, until SIGTERM or Ctrl-C; what was taken is answered before."""
        self._service.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):  # Raised again by uvicorn, at its end.
                self._server.run(sockets=[self._socket])
        finally:
            self._service.close()
            self._socket.close()

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="featx-serve", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer what was taken, then end."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def reload(self) -> bool:
        """Look now whether the files have changed, and serve the new ones; return whether so."""
        return self._service.collection.reload()


@plain_arguments(RunOptions, ServerOptions, model=check_model, head=check_path, features=check_path)
def serve(
    features: str | Path | None = None,
    *,
    index: str | Path | None = None,
    head: str | Path | None = None,
    layer: str | int | None = None,
    model: Any = None,
    weights: str | Path | None = None,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    run: RunOptions | None = None,
    server: ServerOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[ServeKeywords],
) -> Server:
    """Serve a store over HTTP: a page for people, and an interface for programs.

    The server runs in a thread of its own. When the files are replaced, the new ones are served.

    Args:
        features: The feature store; ``features.h5`` when neither it nor `index` is given.
        index: The index; the store's name ending in ``.faiss`` when None. Built when it is
            missing and brought up to date when the store has changed.
        head: The head's folder; ``head`` when None, if it is there.
        layer: The layer to compare, as for `featx.search`.
        model: The model that made the features, if it is in memory.
        weights: Where the model's weights (or its file or folder) are now, if they have moved.
        trust_model_code: See `featx.load_model`.
        allow_download: Download the model that the files name, if it is not here.
        run: How pictures are read and the network is run.
        server: Where the server listens, and what it takes.
        listener: Receives notes; when None, who looks on sees them.
        options: Fields of these groups as keywords, such as ``port=0``.

    Returns:
        The server, which is closed at the end of a ``with`` statement, or by `Server.close`.

    Raises:
        LibraryMissing: If FastAPI and the rest of ``featx[serve]`` are not installed.
        InvalidValue: If the address can be reached from other machines and there is no token.
        ServeError: If the port is taken.

    Example:
        >>> serve("no-such.h5", port=0)
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    run = fill_group(RunOptions, run, options)
    server = fill_group(ServerOptions, server, options)
    reference = check_model("model", model)
    query = QueryImages(
        (),
        run=run,
        weights=check_path("weights", weights),
        model=reference if isinstance(reference, InMemory) else None,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
    )
    request = IndexRequest(
        None if features is None else Path(features),
        None if index is None else Path(index),
        check_layer("layer", layer),
    )
    moved = reference if isinstance(reference, str) else None
    files = Files(request, None if head is None else Path(head), moved)
    found = open_server(files, query, server, run.choose_listener(listener))
    found.start()
    return found


def open_server(
    files: Files, query: QueryImages, options: ServerOptions, listener: Listener
) -> Server:
    """Return a server that listens already, and answers when it is run or started."""
    require_serve()
    import uvicorn

    from featx.serving.app import make_app
    from featx.serving.graceful import GracefulServer
    from featx.serving.security import Sessions
    from featx.serving.service import Service

    request_reading(query.run.engine, query.run.precision)  # Checks both.
    sessions = Sessions(options.read_token())
    readers = options.describe_readers()
    if readers is not None:
        listener.note(readers)
    bound = _listen(options)
    try:
        service = Service(files, query, options, listener)
    except BaseException:
        bound.close()
        raise
    config = uvicorn.Config(
        make_app(service, sessions),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",  # An upgrade would be answered before the guard has seen it.
        server_header=False,
        limit_concurrency=max(512, 4 * options.queue),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(options.timeout) + 5,
    )
    server = GracefulServer(config)
    service.is_ending = lambda: server.should_exit
    return Server(service, server, bound)


def run_for_agents(
    files: Files, query: QueryImages, options: ServerOptions, listener: Listener
) -> None:
    """Answer an agent over stdin and stdout, until these are closed.

    Args:
        files: What is served.
        query: How pictures are read and the network is run.
        options: Limits; nothing is listened at.
        listener: Receives notes, and must not write to stdout.

    Raises:
        LibraryMissing: If ``featx[mcp]`` is not installed.
    """
    require_serve()
    try:
        import mcp.server  # noqa: F401
    except ImportError:
        raise LibraryMissing('"featx[mcp]"', "A server for agents") from None
    from featx.serving.agents import make_agent_server
    from featx.serving.service import Service

    service = Service(files, query, options, listener)
    service.start()
    try:
        make_agent_server(service, Path.cwd()).run("stdio")
    finally:
        service.close()


def require_serve() -> None:
    """Refuse where FastAPI and the others are not installed.

    Raises:
        LibraryMissing: Says what to type.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise LibraryMissing('"featx[serve]"', "A server") from None


def _listen(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol is named: asyncio sets TCP_NODELAY only then. Without it the body of an answer
    # waits 40 ms for the client to acknowledge its headers.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((options.host, options.port))
        bound.listen(2048)
    except (OSError, UnicodeError) as error:
        bound.close()
        is_taken = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = (
            f"Choose another port with {option('port')}"
            if is_taken
            else f"{option('host')} is an address of this machine"
        )
        raise ServeError(
            f"{options.host}:{options.port} cannot be listened at: "
            f"{getattr(error, 'strerror', None) or 'this is no name'}. {remedy}."
        ) from error
    return bound
