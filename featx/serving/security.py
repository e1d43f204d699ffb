"""Who may ask: the names under which the server is reached, the origin of pages, and the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featx.serving.settings import ServerOptions
from featx.serving.web import Answer, too_large
from featx.wording import option

COOKIE = "featx_session"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
OPEN_PATHS = ("/", "/login", "/healthz")
"""What is answered without a token: the page without its data, the login, whether it runs."""

PAGE_PREFIX = "/page/"


class Sessions:
    """Proof that a browser has shown the token, without the token: kept in this process only.

    Args:
        token: The token; None if none is needed.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()
        self._key = secrets.token_bytes(32)

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return self._token is None

    def accepts(self, token: str) -> bool:
        """Whether this is the token; takes the same time whatever was given."""
        given = token.encode("utf-8", "surrogatepass")
        return self._token is None or hmac.compare_digest(
            hashlib.sha256(given).digest(), hashlib.sha256(self._token).digest()
        )

    def new_cookie(self) -> str:
        """Return the value of a new session's cookie."""
        number = secrets.token_urlsafe(18)
        return f"{number}.{self._sign(number)}"

    def accepts_cookie(self, value: str) -> bool:
        """Whether a cookie is from here."""
        number, _, signature = value.partition(".")
        return hmac.compare_digest(signature.encode(), self._sign(number).encode())

    def _sign(self, number: str) -> str:
        return hmac.new(self._key, number.encode("utf-8", "replace"), "sha256").hexdigest()


class Guard:
    """Refuses requests that must not be answered, and gives every answer its headers.

    Args:
        app: What answers.
        options: Names and limits.
        sessions: The token.
        is_ending: Whether connections are closed behind their answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        options: ServerOptions,
        sessions: Sessions,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app, self._options, self._sessions = app, options, sessions
        self._is_ending = is_ending
        self._names = {"localhost", *map(str.lower, options.allow_host)}
        if not options.is_local:
            self._names |= {options.host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = MutableHeaders(scope=message)
                known.update(HEADERS)
                if self._is_ending():  # So that clients send nothing more over it.
                    known["Connection"] = "close"
            await send(message)

        if scope["method"] == "HEAD":  # As GET; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        headers = Headers(scope=scope)
        refusal = self._refuse(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        limited = _LimitedBody(receive, self._options.max_upload)
        try:
            await self._app(scope, limited.receive, send_guarded)
        except Exception as error:  # It was answered; Starlette raises it again for the log.
            logging.getLogger("featx.serving").error("a request failed", exc_info=error)

    def _refuse(self, scope: Scope, headers: Headers) -> Answer | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._knows_host(hosts[0]):
            return Answer(
                {
                    "error": "The server is not reached under this name: "
                    f"{option('allow_host')} adds one."
                },
                421,
            )
        if not self._is_same_origin(scope, headers):
            return Answer({"error": "Pages of other sites may not ask."}, 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._options.max_upload:
            problem = too_large(self._options.max_upload)
            return Answer({"error": problem.detail}, problem.status_code, problem.headers)
        if not self._may_ask(scope["path"], headers):
            return Answer(
                {"error": "A token is needed: Authorization: Bearer TOKEN."},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return None

    def _knows_host(self, host: str) -> bool:
        """Whether a name is one of ours. An address cannot be rebound as names of DNS can."""
        name = _host_name(host)
        if name is None:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._options.is_local

    def _is_same_origin(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request comes from our own page, or from no page at all."""
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != headers["host"].lower():
            return False
        site = headers.get("sec-fetch-site", "none")
        if site in ("same-origin", "none"):
            return True
        is_visit = headers.get("sec-fetch-mode") == "navigate"  # A link to the page.
        return is_visit and scope["method"] == "GET" and scope["path"] == "/"

    def _may_ask(self, path: str, headers: Mapping[str, str]) -> bool:
        if self._sessions.is_open or path in OPEN_PATHS or path.startswith(PAGE_PREFIX):
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._sessions.accepts(token.strip())
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        return cookie is not None and self._sessions.accepts_cookie(cookie)


class _LimitedBody:
    """Counts the bytes of a body as they come."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._left = receive, limit, limit

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise too_large(self._limit)
        return message


def _host_name(host: str) -> str | None:
    """Return the name in a Host header, without the port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    is_plain = parts.netloc == host and parts.username is None
    return parts.hostname if is_plain and parts.hostname else None
