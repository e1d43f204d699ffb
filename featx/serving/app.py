"""The application: routes, the page's files, and what stands before both."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from featx.serving import route_curation, route_items, route_pictures, route_status
from featx.serving.metrics import Measured
from featx.serving.security import Guard, Sessions
from featx.serving.service import Service
from featx.serving.web import PROBLEMS, Answer, answer_problem
from featx.version import __version__

PAGE_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
SHARED = ("tokens.css", "lasso.js")

_DESCRIPTION = (
    "Search, predictions and curation of a feature store. Names of images are keys, as in the "
    "store. Every answer names the version of the files that it was made of, in ETag."
)


def make_app(service: Service, sessions: Sessions) -> ASGIApp:
    """Return the application of a service.

    Args:
        service: What is served.
        sessions: The token.
    """
    app = FastAPI(
        title="featx", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None
    )
    app.state.service, app.state.sessions = service, sessions
    for kind in PROBLEMS:
        app.add_exception_handler(kind, answer_problem)
    app.add_exception_handler(Exception, _answer_mistake)
    for module in (route_items, route_pictures, route_curation, route_status):
        app.include_router(module.router)
    page = _read_page()

    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return page["index.html"]

    @app.get("/page/{name}", include_in_schema=False)
    async def show_file(name: str) -> Response:
        return page.get(name) or Answer({"error": "There is no such file."}, 404)

    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return Guard(
        Measured(app, service.metrics), service.options, sessions, lambda: service.is_ending()
    )


def _read_page() -> dict[str, Response]:
    """Return the files of the page by name; a name that is none leads nowhere.

    Some are those of the pages that featx writes.
    """
    found = {}
    shared = (files("featx.report.page") / name for name in SHARED)
    for entry in (*shared, *(files("featx.serving") / "page").iterdir()):
        kind = PAGE_TYPES.get(entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            headers = {"Cache-Control": "no-cache"}
            found[entry.name] = Response(entry.read_bytes(), media_type=kind, headers=headers)
    return found


def _describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document."""
    if app.openapi_schema is None:
        from fastapi.openapi.utils import get_openapi

        schema = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}},
        }
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{}, {"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema


async def _answer_mistake(request: Request, error: Exception) -> Response:
    """Answer a mistake of ours; what it was is for the log, not for the client."""
    return Answer({"error": "The server has made a mistake; its log says more."}, 500)
