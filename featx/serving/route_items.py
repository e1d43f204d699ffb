"""Routes of images: the list, one of them, thumbnails and pictures."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from featx.errors import ImageError
from featx.files import hash_content
from featx.report.page.thumbnails import CHANGED
from featx.serving.bodies import read_query
from featx.serving.described import documented
from featx.serving.noted import StoreNotes
from featx.serving.predicting import predict_rows
from featx.serving.questions import ItemsQuery
from featx.serving.service import service_of
from featx.serving.snapshot import Snapshot
from featx.serving.web import Problem, answer


class KeyConvertor(PathConvertor):
    """A key in an address: file names can have line breaks, at which ``path`` stops."""

    regex = r"[\s\S]*"


register_url_convertor("key", KeyConvertor())
router = APIRouter(tags=["images"])

TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
"""Endings of pictures that browsers show as they are; no SVG, which can hold scripts."""


@router.get("/items", **documented("items"))
async def list_items(request: Request) -> Response:
    """List images: a page of those that filters leave, in the order of the store."""
    service = service_of(request)
    snapshot, query = service.current, read_query(request, ItemsQuery)

    def work() -> tuple[dict[str, Any], int]:
        notes = service.notes.read(snapshot)
        return list_page(notes), notes.revision

    def list_page(notes: StoreNotes) -> dict[str, Any]:
        if query.row:
            found = np.unique(query.row)
            items = describe_rows(snapshot, notes, found[found < len(snapshot)], query.predictions)
            return {"total": len(items), "offset": 0, "next": None, "items": items}
        allowed = service.find_rows(query, snapshot)
        end = query.offset + query.limit
        if allowed is None:
            total, rows = len(snapshot), np.arange(query.offset, min(end, len(snapshot)))
        else:
            found = np.flatnonzero(allowed)
            total, rows = len(found), found[query.offset : end]
        items = describe_rows(snapshot, notes, rows, query.predictions)
        following = end if end < total else None
        return {"total": total, "offset": query.offset, "next": following, "items": items}

    content, revision = await service.run(request, work, service.deadline())
    return answer(request, snapshot.version, content, revision=revision)


@router.get("/items/{key:key}", **documented("item"))
async def show_item(request: Request, key: str) -> Response:
    """Show one image: its label, split and columns, notes, and what the head predicts."""
    service = service_of(request)
    snapshot = service.current

    def work() -> tuple[dict[str, Any], int]:
        row, notes = snapshot.columns.row(key), service.notes.read(snapshot)
        (item,) = describe_rows(snapshot, notes, np.array([row]), predictions=5)
        content = snapshot.store.content_hash[row].tobytes().hex()
        return item | {"content_hash": content}, notes.revision

    content, revision = await service.run(request, work, service.deadline())
    return answer(request, snapshot.version, content, revision=revision)


def describe_rows(
    snapshot: Snapshot, notes: StoreNotes, rows: np.ndarray, predictions: int
) -> list[dict[str, Any]]:
    """Return images as JSON-serialisable values."""
    predicted: list[Any] = [None] * len(rows)
    if predictions and snapshot.predicts_rows and len(rows):
        predicted = predict_rows(snapshot, rows, predictions)
    items = []
    for row, prediction in zip(rows.tolist(), predicted, strict=True):
        item = snapshot.columns.describe(row)
        item |= notes.of(item["key"]).to_dict()
        items.append(item | ({"prediction": prediction} if predictions else {}))
    return items


@router.get("/thumbnails/{key:key}", **documented("thumbnail"))
async def show_thumbnail(request: Request, key: str) -> Response:
    """Show a small JPEG of an image, at most 160 pixels wide and high."""
    service = service_of(request)
    snapshot = service.current
    row = snapshot.columns.row(key)
    content = snapshot.store.content_hash[row].tobytes()
    tag = f'"{content.hex()}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)

    def work() -> bytes:
        return snapshot.thumbnails.read(key, content, snapshot.store.root)

    try:
        data = await service.run(request, work, service.deadline())
    except ImageError as error:
        raise Problem(404, f"There is no thumbnail: {error.reason}.") from None
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/pictures/{key:key}", **documented("picture"))
async def show_picture(request: Request, key: str) -> Response:
    """Show an image as it is in its file, to look at it or to choose a part of it."""
    service = service_of(request)
    snapshot = service.current
    snapshot.columns.row(key)
    kind = TYPES.get(PurePosixPath(key).suffix.lower())
    if kind is None:
        raise Problem(415, "Browsers do not show pictures of this kind; it has a thumbnail.")
    data = await service.run(request, lambda: read_picture(snapshot, key), service.deadline())
    headers = {"Cache-Control": "no-cache", "Content-Disposition": "inline"}
    return Response(data, media_type=kind, headers=headers)


def read_picture(snapshot: Snapshot, key: str) -> bytes:
    """Return the bytes of a stored image, which is below the place that the store names.

    Raises:
        Problem: If it cannot be read, or is another file now.
    """
    content = snapshot.store.content_hash[snapshot.columns.row(key)].tobytes()
    try:
        data = snapshot.reader.read_key(snapshot.store.root, key)
    except ImageError as error:
        raise Problem(404, f"The picture cannot be read: {error.reason}.") from None
    except OSError as error:
        reason = error.strerror or "it is not there, or at a URL"
        raise Problem(404, f"The picture cannot be read: {reason}.") from None
    if hash_content(data) != content:  # Whoever made the store must have seen what it shows.
        raise Problem(404, f"The picture cannot be read: {CHANGED}.")
    return data
