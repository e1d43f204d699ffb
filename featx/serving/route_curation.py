"""Routes of curation: map, duplicates, findings, and what people decide."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from featx.errors import FeatxError
from featx.serving.bodies import read_json, read_query
from featx.serving.curated import describe_kinds
from featx.serving.described import documented
from featx.serving.noted import DECISIONS, Note, StoreNotes
from featx.serving.questions import Change, Changes, ExportQuery, FindingsQuery, PageQuery
from featx.serving.service import Service, service_of
from featx.serving.snapshot import Snapshot
from featx.serving.store_notes import MOST_COPIES
from featx.serving.web import Problem, answer, describe_error
from featx.text_files import quote_formula

router = APIRouter(tags=["curation"])


def _promise(
    service: Service, request: Request, name: str
) -> tuple[Snapshot, Any, Response | None]:
    """Return a result of the newest version, or the answer that it is being made, and how far."""
    snapshot = service.current
    chore = service.get_chore(name, snapshot)
    promise = chore.promise
    if not promise.done():
        content = {"state": "computing"} | chore.describe()
        pending = answer(request, snapshot.version, content, 202)
        pending.headers["Retry-After"] = "1"
        return snapshot, None, pending
    error = None if promise.cancelled() else promise.exception()
    if isinstance(error, FeatxError):
        status, text = describe_error(error)
        raise Problem(409 if status == 422 else status, text)
    return snapshot, promise.result(), None


@router.get("/map", **documented("map"))
async def show_map(request: Request) -> Response:
    """Describe the map of the images; it is made when it is first asked for."""
    service = service_of(request)
    snapshot, points, pending = _promise(service, request, "map")
    if pending is not None:
        return pending
    content = {
        "state": "ready",
        "count": len(points.rows),
        "layout": points.layout,
        "remarks": list(points.remarks),
        "clusters": list(points.names),
        "classes": list(snapshot.columns.labels.names),
        "columns": ["x:float32", "y:float32", "cluster:int32", "label:int32", "row:int32"],
        "points": "/map/points",
    }
    return answer(request, snapshot.version, content)


@router.get("/map/points", **documented("points"))
async def show_points(request: Request) -> Response:
    """Give the places of the images: five columns, one after the other, little-endian."""
    service = service_of(request)
    snapshot, points, pending = _promise(service, request, "map")
    if pending is not None:
        raise Problem(503, "The map is being made.", headers={"Retry-After": "1"})
    tag = f'"{snapshot.version}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Featx-Version": snapshot.version}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    labels = snapshot.columns.labels.codes
    data = await service.run(request, lambda: points.to_bytes(labels), service.deadline())
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.get("/duplicates", **documented("duplicates"))
async def list_duplicates(request: Request) -> Response:
    """List groups of copies, the largest first."""
    service, query = service_of(request), read_query(request, PageQuery)
    snapshot, report, pending = _promise(service, request, "duplicates")
    if pending is not None:
        return pending
    notes = await service.thread(lambda: service.notes.read(snapshot))
    total, groups = report.cut(query.offset, query.limit)
    listed = [
        group | {"pictures": [one | notes.of(one["key"]).to_dict() for one in group["pictures"]]}
        for group in groups
    ]
    page = _describe_page(total, query) | {"groups": listed}
    content = {"state": "ready"} | report.about | page
    return answer(request, snapshot.version, content, revision=notes.revision)


@router.get("/audit", **documented("audit"))
async def list_audit(request: Request) -> Response:
    """List what is doubtful: by kind, the highest scores first."""
    service, query = service_of(request), read_query(request, FindingsQuery)
    snapshot, report, pending = _promise(service, request, "audit")
    if pending is not None:
        return pending
    notes = await service.thread(lambda: service.notes.read(snapshot))
    total, findings = report.cut(query.offset, query.limit, query.kind)
    listed = [one | (notes.of(one["key"]).to_dict() if one["key"] else {}) for one in findings]
    page = _describe_page(total, query) | {"findings": listed}
    content = {"state": "ready", "kinds": describe_kinds()} | report.about | page
    return answer(request, snapshot.version, content, revision=notes.revision)


def _describe_page(total: int, query: PageQuery) -> dict[str, Any]:
    end = query.offset + query.limit
    return {"total": total, "offset": query.offset, "next": end if end < total else None}


@router.get("/notes", **documented("notes"))
async def list_notes(request: Request) -> Response:
    """List tags and decisions of all images that have some."""
    service = service_of(request)
    snapshot = service.current
    content = await service.run(
        request, lambda: _list_notes(service.notes.read(snapshot)), service.deadline()
    )
    return answer(request, snapshot.version, content, revision=content["revision"])


def _list_notes(noted: StoreNotes) -> dict[str, Any]:
    counts = dict.fromkeys(DECISIONS, 0)
    images = []
    for key, notes in noted.all():
        latest = notes.decision
        if latest is not None:
            counts[latest.action] += 1
        images.append({"key": key} | notes.to_dict())
    known = {"revision": noted.revision, "tags": noted.tags()}
    return known | {"decisions": counts, "images": images}


@router.post("/notes", **documented("change"))
async def change_notes(request: Request) -> Response:
    """Decide on images, or tag them; it is on the disk when the answer comes."""
    service = service_of(request)
    changes = (await read_json(request, Changes, service.deadline())).changes
    snapshot = service.current

    def write() -> int:
        notes = [_make_note(snapshot, change) for change in changes]
        return service.notes.add(snapshot, notes)

    # Not given up when the client goes away: it is written, or it is not.
    revision = await service.thread(write)
    return answer(request, snapshot.version, {"revision": revision}, revision=revision)


def _make_note(snapshot: Snapshot, change: Change) -> Note:
    needs_value = change.action in ("relabel", "tag", "untag")
    if needs_value != (change.value is not None):
        wanted = "needs a value" if needs_value else "has no value"
        raise Problem(422, f"changes: {change.action} {wanted}.")
    if change.value is not None and not change.value.strip():
        raise Problem(422, "changes: a value is not empty.")
    row = snapshot.columns.row(change.key)
    content = snapshot.content_of(row)
    same = snapshot.rows_of_content(content, MOST_COPIES + 1)
    copies = tuple(snapshot.columns.keys[one] for one in same if one != row)
    return Note(change.key, change.action, change.value, change.finding, content, copies=copies)


@router.get("/export", **documented("export"))
async def export_notes(request: Request) -> Response:
    """Give the images as a table with their labels as decided, without those rejected."""
    service, query = service_of(request), read_query(request, ExportQuery)
    snapshot = service.current
    notes = await service.thread(lambda: service.notes.read(snapshot))
    allowed = await service.select(request, query, snapshot)
    rows = np.arange(len(snapshot)) if allowed is None else np.flatnonzero(allowed)
    lines = _list_export(snapshot, notes, rows, is_absolute=query.paths == "absolute")
    headers = {"Content-Disposition": f'attachment; filename="labels.{query.format}"'}
    if query.format == "csv":
        has_splits = bool(snapshot.columns.splits.names)
        text = _write_csv(lines, has_splits=has_splits, csv_safe=query.csv_safe)
        # Paths may be no text; they are read again as their bytes.
        data = (part.encode("utf-8", "surrogateescape") for part in text)
        return StreamingResponse(data, media_type="text/csv; charset=utf-8", headers=headers)
    return StreamingResponse(
        (json.dumps(line) + "\n" for line in lines),
        media_type="application/jsonl",
        headers=headers,
    )


def _list_export(
    snapshot: Snapshot, noted: StoreNotes, rows: np.ndarray, *, is_absolute: bool
) -> Iterator[dict[str, Any]]:
    columns, root = snapshot.columns, snapshot.store.root
    for row in rows.tolist():
        key = columns.keys[row]
        notes = noted.of(key)
        latest = notes.decision
        if latest is not None and latest.action == "reject":
            continue
        given = columns.labels[row]
        relabelled = latest is not None and latest.action == "relabel"
        yield {
            "path": root.location(key) if is_absolute else key,
            "label": latest.value if relabelled and latest is not None else given,
            "split": columns.splits[row],
            "given": given,
            "decision": None if latest is None else latest.action,
            "tags": list(notes.tags),
        }


def _write_csv(
    lines: Iterator[dict[str, Any]], *, has_splits: bool, csv_safe: bool
) -> Iterator[str]:
    names = ["path", "label", *(["split"] if has_splits else []), "given", "decision", "tags"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    for line in lines:
        line["tags"] = ";".join(line["tags"])
        values = [line[name] or "" for name in names]
        writer.writerow(map(quote_formula, values) if csv_safe else values)
        if file.tell() > 1 << 16:
            yield file.getvalue()
            file.seek(0)
            file.truncate()
    yield file.getvalue()
