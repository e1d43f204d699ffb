"""Routes of curation: map, duplicates, findings, and what people decide."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from featx.errors import FeatxError
from featx.serving.bodies import read_json, read_query
from featx.serving.curated import (
    describe_kinds,
    list_findings,
    make_audit,
    make_duplicates,
    make_map,
)
from featx.serving.described import documented
from featx.serving.notes import DECISIONS, Note
from featx.serving.questions import Change, Changes, ExportQuery, FindingsQuery, PageQuery
from featx.serving.service import Service, service_of
from featx.serving.snapshot import Snapshot
from featx.serving.web import Problem, answer, describe_error
from featx.text_files import quote_formula

router = APIRouter(tags=["curation"])


def _promise(
    service: Service, request: Request, name: str, make: Callable[[Snapshot], Any]
) -> tuple[Snapshot, Any, Response | None]:
    """Return a result of the newest version, or the answer that it is being made."""
    snapshot = service.current
    promise = service.chores.get(name, snapshot, make)
    if not promise.done():
        pending = answer(request, snapshot.version, {"state": "computing"}, 202)
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
    snapshot, points, pending = _promise(service, request, "map", make_map)
    if pending is not None:
        return pending
    content = {
        "state": "ready",
        "count": len(points.rows),
        "layout": points.layout,
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
    snapshot, points, pending = _promise(service, request, "map", make_map)
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
    snapshot, report, pending = _promise(service, request, "duplicates", make_duplicates)
    if pending is not None:
        return pending
    revision = await service.thread(service.notes.refresh)
    page = _cut(report["groups"], query)
    page["groups"] = [
        group
        | {"pictures": [one | service.notes.of(one["key"]).to_dict() for one in group["pictures"]]}
        for group in page.pop("part")
    ]
    known = {name: value for name, value in report.items() if name != "groups"}
    content = {"state": "ready"} | known | page
    return answer(request, snapshot.version, content, revision=revision)


@router.get("/audit", **documented("audit"))
async def list_audit(request: Request) -> Response:
    """List what is doubtful: by kind, the highest scores first."""
    service, query = service_of(request), read_query(request, FindingsQuery)
    snapshot, report, pending = _promise(service, request, "audit", make_audit)
    if pending is not None:
        return pending
    revision = await service.thread(service.notes.refresh)
    page = _cut(list_findings(report, query.kind), query)
    page["findings"] = [
        one | (service.notes.of(one["key"]).to_dict() if one["key"] else {})
        for one in page.pop("part")
    ]
    known = {"kinds": describe_kinds(), "counts": dict(report.counts)}
    known["skipped"] = dict(report.skipped)
    content = {"state": "ready"} | known | page
    return answer(request, snapshot.version, content, revision=revision)


def _cut(entries: list[Any], query: PageQuery) -> dict[str, Any]:
    end = query.offset + query.limit
    following = end if end < len(entries) else None
    part = entries[query.offset : end]
    return {"total": len(entries), "offset": query.offset, "next": following, "part": part}


@router.get("/notes", **documented("notes"))
async def list_notes(request: Request) -> Response:
    """List tags and decisions of all images that have some."""
    service = service_of(request)
    content = await service.run(request, lambda: _list_notes(service), service.deadline())
    version = service.current.version
    return answer(request, version, content, revision=content["revision"])


def _list_notes(service: Service) -> dict[str, Any]:
    revision = service.notes.refresh()
    counts = dict.fromkeys(DECISIONS, 0)
    images = []
    for key, notes in service.notes.all():
        latest = notes.decision
        if latest is not None:
            counts[latest.action] += 1
        images.append({"key": key} | notes.to_dict())
    tags = service.notes.tags()
    return {"revision": revision, "tags": tags, "decisions": counts, "images": images}


@router.post("/notes", **documented("change"))
async def change_notes(request: Request) -> Response:
    """Decide on images, or tag them; it is on the disk when the answer comes."""
    service = service_of(request)
    changes = (await read_json(request, Changes, service.deadline())).changes
    snapshot = service.current
    notes = [_make_note(snapshot, change) for change in changes]
    # Not given up when the client goes away: it is written, or it is not.
    revision = await service.thread(lambda: service.notes.add(notes))
    return answer(request, snapshot.version, {"revision": revision}, revision=revision)


def _make_note(snapshot: Snapshot, change: Change) -> Note:
    needs_value = change.action in ("relabel", "tag", "untag")
    if needs_value != (change.value is not None):
        wanted = "needs a value" if needs_value else "has no value"
        raise Problem(422, f"changes: {change.action} {wanted}.")
    if change.value is not None and not change.value.strip():
        raise Problem(422, "changes: a value is not empty.")
    row = snapshot.columns.row(change.key)
    content = snapshot.store.content_hash[row].tobytes().hex()
    return Note(change.key, change.action, change.value, change.finding, content)


@router.get("/export", **documented("export"))
async def export_notes(request: Request) -> Response:
    """Give the images as a table with their labels as decided, without those rejected."""
    service, query = service_of(request), read_query(request, ExportQuery)
    snapshot = service.current
    await service.thread(service.notes.refresh)
    allowed = await service.select(request, query, snapshot)
    rows = np.arange(len(snapshot)) if allowed is None else np.flatnonzero(allowed)
    lines = _list_export(service, snapshot, rows, is_absolute=query.paths == "absolute")
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
    service: Service, snapshot: Snapshot, rows: np.ndarray, *, is_absolute: bool
) -> Iterator[dict[str, Any]]:
    columns, root = snapshot.columns, snapshot.store.root
    for row in rows.tolist():
        key = columns.keys[row]
        notes = service.notes.of(key)
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
