"""Routes of the server itself: what it serves, whether it runs, numbers, the login."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from featx.serving.bodies import MOST_PICTURES, read_json
from featx.serving.described import documented
from featx.serving.questions import Login
from featx.serving.security import COOKIE, Sessions
from featx.serving.service import Service, service_of
from featx.serving.snapshot import Snapshot
from featx.serving.web import Answer, Problem, answer
from featx.version import __version__

router = APIRouter(tags=["server"])


@router.get("/describe", **documented("describe"))
async def describe(request: Request) -> Response:
    """Describe what is served: classes, splits, folders and columns to choose from; the head."""
    service = service_of(request)
    snapshot = service.current
    content = await service.run(
        request, lambda: describe_service(service, snapshot), service.deadline()
    )
    return answer(request, snapshot.version, content, revision=content["notes_revision"])


def describe_service(service: Service, snapshot: Snapshot) -> dict[str, Any]:
    """Return what is served, as JSON-serialisable values."""
    store, description, head = snapshot.store, snapshot.index.description, snapshot.head
    notes = service.notes.read(snapshot)
    known: dict[str, Any] = {
        "featx": __version__,
        "version": snapshot.version,
        "store": store.path.name,
        "num_images": len(snapshot),
        "model": store.model.reference,
        "layers": [
            {"name": one.name, "shape": list(one.shape), "pool": one.pool}
            for one in store.header.features
        ],
        "index": {
            "layer": description.feature.name,
            "kind": description.kind,
            "summary": snapshot.index.summary,
            "metric": description.options.metric,
        },
        "head": None
        if head is None
        else {
            "name": None if head.folder is None else head.folder.resolve().name,
            "task": head.task,
            "columns": list(head.columns),
            "kind": head.kind,
            "classes": list(head.classes),
            "predicts_rows": snapshot.predicts_rows,
        },
        "has_maps": snapshot.has_maps,
        "tags": notes.tags(),
        "notes_revision": notes.revision,
        "problem": None if service.collection.problem is None else "files could not be reloaded",
        "limits": {
            "max_upload": service.options.max_upload,
            "pictures": MOST_PICTURES,
            "timeout": service.options.timeout,
        },
    }
    return known | snapshot.columns.summary


@router.get("/healthz", **documented("health"))
async def check_health(request: Request) -> Response:
    """Say whether the server answers."""
    return Answer({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/metrics", **documented("metrics"))
async def show_metrics(request: Request) -> Response:
    """Give numbers as Prometheus reads them."""
    service = service_of(request)
    service.metrics.inside.set(service.gate.inside)
    service.metrics.reloads.set(service.collection.reloads)
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4")


@router.post("/login", **documented("login"))
async def log_in(request: Request) -> Response:
    """Take the token, and give the browser a cookie that stands for it."""
    login = await read_json(request, Login, service_of(request).deadline())
    sessions: Sessions = request.app.state.sessions
    if not sessions.accepts(login.token):
        await asyncio.sleep(0.5)  # What stops guessing is the length of the token.
        raise Problem(401, "This is not the token.")
    done = Answer({"ok": True})
    done.set_cookie(
        COOKIE, sessions.new_cookie(), httponly=True, samesite="strict", path="/",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return done


@router.post("/logout", **documented("logout"))
async def log_out(request: Request) -> Response:
    """Take the cookie back."""
    done = Answer({"ok": True})
    done.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/")
    return done
