"""Between Python and HTTP: answers with their version, errors as JSON, waiting with an end."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from featx.errors import (
    DimensionMismatch,
    FeatxError,
    HeadError,
    ImageError,
    IndexFileError,
    InvalidValue,
    StoreError,
    UnknownName,
)
from featx.report.text import printable
from featx.serving.chores import ChangedMeanwhile, ChoreFailed, GivenUp
from featx.serving.notes import NotesError

T = TypeVar("T")


class Problem(HTTPException):
    """An answer that is an error, in a sentence."""


def too_large(limit: int) -> Problem:
    """Return the answer to a body of more bytes than a request may have."""
    return Problem(413, f"This request may have {limit:,} bytes.", headers={"Connection": "close"})


def refuse_only(failures: Sequence[Mapping[str, str]]) -> None:
    """Refuse a request that nothing could be done for, if it was about one picture.

    Of several, each one that cannot be used is named in the answer.

    Raises:
        Problem: With 422, and the reason.
    """
    if len(failures) == 1:
        (one,) = failures
        raise Problem(422, f"{one['key']} cannot be used: {one['reason'].rstrip('.')}.")


class Answer(JSONResponse):
    """JSON in ASCII: any name can be in it."""

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def answer(
    request: Request,
    version: str,
    content: Any,
    status: int = 200,
    *,
    revision: int | None = None,
) -> Response:
    """Return JSON with the version that it was made of; nothing if the client has it already.

    Args:
        request: What is answered.
        version: Of the files that are served.
        content: JSON-serialisable.
        status: Of HTTP.
        revision: Of the notes, if the answer holds some.
    """
    tag = f'"{version}"' if revision is None else f'"{version}-{revision}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Featx-Version": version}
    known = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
    if request.method == "GET" and status == 200 and tag in known:
        return Response(status_code=304, headers=headers)
    return Answer(content, status, headers)


class Gate:
    """Lets so many requests in at a time; the others are told to come again.

    Args:
        limit: The most at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.inside, self.refused = limit, 0, 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Be inside; raises a problem with 429 if it is full."""
        if self.inside >= self.limit:
            self.refused += 1
            raise Problem(
                429, "The server has as many requests as it takes.", headers={"Retry-After": "1"}
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


async def wait_for(request: Request, work: Awaitable[T], deadline: float) -> T:
    """Wait for work, until the deadline and as long as the client is there.

    Raises:
        Problem: 504 behind the deadline.
        ClientGone: If nobody waits for the answer any more.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_wait_until_gone(request))
    try:
        left = max(0.0, deadline - time.monotonic())
        await asyncio.wait({task, watch}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if watch.done():
            raise ClientGone()
        raise Problem(504, "It took too long.", headers={"Retry-After": "5"})
    finally:
        for one in (task, watch):
            one.add_done_callback(_forget)
            one.cancel()


def _forget(task: asyncio.Future[Any]) -> None:
    """Take the error of work that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def _wait_until_gone(request: Request) -> None:
    """Return when the client has closed the connection; its body was read before."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def describe_error(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence of an error of the library, without paths."""
    if isinstance(error, TimeoutError):
        return 503, "The server is too busy: it was not this request's turn in time."
    if isinstance(error, ChoreFailed):
        return 409, str(error)
    if isinstance(error, ChangedMeanwhile | CancelledError | GivenUp):
        return 503, "The store was replaced meanwhile; ask again."
    if isinstance(error, UnknownName):
        status = 404 if error.kind.startswith("image") else 422
        return status, str(error)
    if isinstance(error, ImageError):
        return 422, error.reason
    if isinstance(error, InvalidValue | DimensionMismatch):
        return 422, str(error)
    if isinstance(error, HeadError):
        return 409, "The head does not have what was asked for."
    if isinstance(error, NotesError):
        return 503, str(error)
    if isinstance(error, StoreError | IndexFileError):
        return 503, "The store or its index cannot be read at the moment."
    # The sentences of the others name files of the server: they are for its log.
    logging.getLogger("featx.serving").error("a request failed: %s", error)
    return 503, "The model or another file cannot be used; the log of the server says why."


Handler = Callable[[Request, Exception], Awaitable[Response]]


async def answer_problem(request: Request, error: Exception) -> Response:
    """Answer an error that was raised on purpose."""
    if isinstance(error, HTTPException):
        return Answer({"error": str(error.detail)}, error.status_code, error.headers)
    if isinstance(error, ClientGone):
        return Response(status_code=499)
    status, text = describe_error(error)
    headers = {"Retry-After": "1"} if status == 503 else None
    return Answer({"error": printable(text)}, status, headers)


PROBLEMS: tuple[type[Exception], ...] = (
    HTTPException,
    FeatxError,
    TimeoutError,
    CancelledError,
    ClientGone,
)
"""What `answer_problem` answers."""
