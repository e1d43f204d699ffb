"""A server of S3's protocol in this process (moto's), of which requests fail as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[str, bytes]


@dataclass
class Request:
    """One request, as a fault sees it."""

    method: str
    path: str
    query: str
    number: int

    @property
    def writes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")


class Broken(Exception):
    """Ends a connection without an answer."""


@dataclass
class ObjectServer:
    """moto's server; `fault` may answer for it, cut its answer short, or break off.

    Attributes:
        requests: What was asked since the last `clear`.
        fault: Called with each request; returns None to let it pass, an HTTP status, or
            ``"truncate"`` for half of a body, ``"break"`` for a connection that ends before the
            request was done, and ``"lose"`` for one that ends after it.
    """

    requests: list[Request] = field(default_factory=list)
    bytes_sent: int = 0
    fault: Callable[[Request], int | str | None] | None = None

    def start(self) -> str:
        """Start it; return its address."""
        from moto.moto_server.werkzeug_app import create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, *args: Any, **keywords: Any) -> None:
                pass

        # Without moto's search for the service of each request, which takes a third of its time.
        self._app = create_backend_app("s3")
        self._server = make_server(
            "127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        self.requests, self.fault, self.bytes_sent = [], None, 0

    def _serve(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            len(self.requests),
        )
        self.requests.append(request)
        what = None if self.fault is None else self.fault(request)
        if isinstance(what, int):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            names = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}
            body = f"<Error><Code>{names.get(what, what)}</Code></Error>".encode()
            start(f"{what} X", [("Content-Length", str(len(body)))])
            return [] if request.method == "HEAD" else [body]
        if what == "break":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            environ["werkzeug.socket"].close()
            raise Broken
        answer: list[Any] = []

        def note(status: str, headers: list[tuple[str, str]], info: Any = None) -> Any:
            answer[:] = [status, headers]
            return answer.append

        body = b"".join(self._app(environ, note))
        self.bytes_sent += len(body)
        if what == "lose":  # It was done, but the answer never comes.
            environ["werkzeug.socket"].close()
            raise Broken
        start(*answer[:2])
        return self._break_off(body) if what == "truncate" else [body]

    def _break_off(self, body: bytes) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise Broken

    def put(self, name: str, data: bytes, bucket: str = "photos") -> None:
        """Put something into a bucket, past all requests."""
        from moto.s3.models import s3_backends

        s3_backends["123456789012"]["aws"].put_object(bucket, name, data)

    def begin_upload(self, name: str, bucket: str = "photos") -> None:
        """Begin to send an object in pieces, and never go on."""
        from moto.s3.models import s3_backends

        backend = s3_backends["123456789012"]["aws"]
        backend.create_multipart_upload(bucket, name, {}, "STANDARD", [], None, None, None)

    def empty(self, bucket: str) -> None:
        """Make a bucket, or one that is empty."""
        from moto.s3.models import s3_backends

        backend = s3_backends["123456789012"]["aws"]
        if bucket not in backend.buckets:
            backend.create_bucket(bucket, "us-east-1")
        backend.buckets[bucket].keys.clear()
        backend.buckets[bucket].multiparts.clear()

    def objects(self, bucket: str = "photos") -> dict[str, bytes]:
        """Return what is in a bucket."""
        from moto.s3.models import s3_backends

        keys = s3_backends["123456789012"]["aws"].buckets[bucket].keys
        return {name: key.value for name, key in keys.items()}
