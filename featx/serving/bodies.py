"""What clients send: queries and bodies, within limits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from featx.report.text import printable
from featx.serving.network import Upload
from featx.serving.web import ClientGone, Problem, too_large

MOST_PICTURES = 32
"""In one request."""

MOST_TEXT = 1 << 20
"""Bytes of JSON, also of a part of a form."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read.

    Attributes:
        options: Its fields, not yet checked.
        pictures: The pictures that it brought.
    """

    options: dict[str, Any] = field(default_factory=dict)
    pictures: list[Upload] = field(default_factory=list)

    def check(self, model: type[Model]) -> Model:
        """Return the fields, checked.

        Raises:
            Problem: If they are not those of the model.
        """
        return check_fields(model, self.options)


def check_fields(model: type[Model], options: dict[str, Any]) -> Model:
    """Return fields that were sent, checked; refuse others with 422."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Problem(422, f"{place or 'The request'}: {first['msg']}.") from None


def read_query(request: Request, model: type[Model]) -> Model:
    """Return the fields of a query string, checked."""
    return check_fields(model, _parse_query(request, model))


async def refuse_query(request: Request) -> None:
    """Refuse a query string where none is read."""
    for name in request.query_params:
        raise Problem(422, f"{printable(name)[:80]}: this address takes no such option.")


def _parse_query(request: Request, model: type[BaseModel]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        known = model.model_fields.get(name)
        if known is not None and str(known.annotation).startswith("list["):
            options.setdefault(name, []).append(value)
        elif name in options:
            raise Problem(422, f"{name}: it is given twice.")
        else:
            options[name] = value
    return options


async def read_asked(request: Request, model: type[BaseModel], deadline: float) -> Asked:
    """Read the body of a request: JSON, a picture, or a form with pictures and JSON.

    Args:
        request: The request.
        model: The fields that a query string may have beside a picture.
        deadline: When to wait for the rest no longer, as `time.monotonic` counts.

    Raises:
        Problem: If it is something else, too large, or too slow.
    """
    async with _in_time(deadline):
        return await _read_body(request, model)


async def read_json(request: Request, model: type[Model], deadline: float) -> Model:
    """Read a body that is JSON, and return its fields, checked.

    Raises:
        Problem: If it is something else, too large, or too slow.
    """
    kind = _kind_of(request)
    if kind != "application/json":
        raise _other_kind("application/json", kind)
    async with _in_time(deadline):
        return check_fields(model, await _read_json(request))


@asynccontextmanager
async def _in_time(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            yield
    except TimeoutError:
        raise Problem(408, "The request did not come in time.") from None
    except ClientDisconnect:
        raise ClientGone() from None


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _other_kind(expected: str, kind: str) -> Problem:
    received = printable(kind)[:80] or "no Content-Type"
    return Problem(415, f"The body is {expected}. Received: {received}.")


async def _read_body(request: Request, model: type[BaseModel]) -> Asked:
    kind = _kind_of(request)
    if kind == "multipart/form-data":
        await refuse_query(request)  # Its options are in the form.
        return await _read_form(request)
    if kind == "application/json":
        await refuse_query(request)
        return Asked(await _read_json(request))
    if kind.startswith("image/") or kind == "application/octet-stream":
        data = await request.body()
        if not data:
            raise Problem(400, "The body is a picture. Received: no bytes.")
        return Asked(_parse_query(request, model), [Upload("upload", data)])
    raise _other_kind("application/json, image/... or multipart/form-data", kind)


async def _read_json(request: Request) -> dict[str, Any]:
    """Return the JSON of a body, of which no more is kept than is read."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_TEXT:
            raise too_large(MOST_TEXT)
    return _parse_json(bytes(data)) if data else {}


def _parse_json(data: bytes) -> dict[str, Any]:
    try:
        options = json.loads(data)
    except (ValueError, RecursionError):
        raise Problem(400, "The JSON of the request cannot be read.") from None
    if not isinstance(options, dict):
        raise Problem(422, "The request: an object is expected.")
    return options


async def _read_form(request: Request) -> Asked:
    options: dict[str, Any] = {}
    pictures = []
    try:
        async with request.form(
            max_files=MOST_PICTURES, max_fields=8, max_part_size=MOST_TEXT
        ) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile) and name in ("picture", "pictures"):
                    shown = printable(value.filename or "upload")[-200:]
                    pictures.append(Upload(shown, await value.read()))
                elif name == "question" and isinstance(value, str):
                    options = _parse_json(value.encode("utf-8", "surrogatepass"))
                else:
                    raise Problem(422, "A form has files called picture, and JSON called question.")
    except MultiPartException as error:
        raise Problem(400, f"The form cannot be read: {error.message}") from None
    except UnicodeError:  # It says itself which encoding its names are in.
        raise Problem(400, "The form cannot be read: its text is not in its charset.") from None
    return Asked(options, pictures)
