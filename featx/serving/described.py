"""What the OpenAPI document says of each route: its fields, and an answer as an example."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from fastapi import Depends
from pydantic import BaseModel
from starlette.responses import Response

from featx.serving import questions
from featx.serving.bodies import refuse_query

_BODIES: dict[str, type[BaseModel]] = {
    "search": questions.SearchQuestion,
    "predict": questions.PredictQuestion,
    "features": questions.FeaturesQuestion,
}
_JSON_BODIES: dict[str, type[BaseModel]] = {
    "change": questions.Changes,
    "login": questions.Login,
}
_QUERIES: dict[str, type[BaseModel]] = {
    "items": questions.ItemsQuery,
    "duplicates": questions.PageQuery,
    "audit": questions.FindingsQuery,
    "export": questions.ExportQuery,
}
_PROBED = ("health", "metrics")
"""Who looks whether the server runs may add options of its own."""

_BINARY = {
    "thumbnail": "image/jpeg",
    "picture": "image/*",
    "points": "application/octet-stream",
    "metrics": "text/plain",
    "export": "text/csv",
    "page": "text/html",
}
_OTHER_KINDS = {
    "features": ("application/x-npy", "application/vnd.apache.arrow.stream"),
    "export": ("application/jsonl",),
}
"""What else is answered, where it is asked for."""

_OTHERS = {
    "304": "Nothing has changed.",
    "400": "The request cannot be read.",
    "401": "A token is needed.",
    "403": "A page of another site may not ask.",
    "404": "There is no such image.",
    "408": "The request did not come in time.",
    "409": "What is needed is not served.",
    "413": "The request is too large.",
    "415": "A body or picture of another kind.",
    "421": "The server is not reached under this name.",
    "422": "A field or picture that cannot be used.",
    "429": "The server has as many requests as it takes; Retry-After says when to come again.",
    "503": "Not at the moment; Retry-After says when to come again.",
    "504": "It took too long.",
}


_COMPUTING = {
    "state": "computing",
    "stage": "vectors",
    "done": 40_960,
    "total": 1_000_000,
    "seconds": 12,
    "remarks": ["layout: UMAP (t-SNE: slow for 1,000,000 images)"],
}


def documented(name: str) -> dict[str, Any]:
    """Return what FastAPI is told of a route.

    Args:
        name: Of the example in ``examples.json``.
    """
    example = _EXAMPLES.get(name, {})
    extra: dict[str, Any] = {}
    if name in _BODIES:
        extra["requestBody"] = _describe_pictures(_BODIES[name], example.get("request", {}))
    if name in _JSON_BODIES:
        schema = _schema(_JSON_BODIES[name])
        content = {"schema": schema, "example": example.get("request", {})}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    if name in _QUERIES:
        extra["parameters"] = _describe_query(_QUERIES[name])
    kind = _BINARY.get(name)
    answer: dict[str, Any] = {"description": "The answer."}
    if kind is not None:
        answer["content"] = {kind: {"schema": {"type": "string", "format": "binary"}}}
    else:
        content = {"schema": {"type": "object"}, "example": example.get("answer", {})}
        answer["content"] = {"application/json": content}
    for other in _OTHER_KINDS.get(name, ()):
        answer["content"][other] = {"schema": {"type": "string", "format": "binary"}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {"200": answer}
    if name in ("map", "duplicates", "audit"):
        responses["202"] = {"description": "It is being made; ask again."} | {
            "content": {"application/json": {"schema": {"type": "object"}, "example": _COMPUTING}}
        }
    for status, text in _OTHERS.items():
        responses[status] = {"description": text} | ({} if status == "304" else {"content": error})
    extra["responses"] = responses
    takes_options = name in _QUERIES or name in _BODIES or name in _PROBED
    return {
        "openapi_extra": extra,
        "response_model": None,
        "response_class": Response,
        "dependencies": [] if takes_options else [Depends(refuse_query)],
    }


def _describe_pictures(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    question = _schema(model)
    binary = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {
            "picture": {"type": "array", "items": binary},
            "question": {"type": "string", "description": "The JSON of the other form."},
        },
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": question, "example": example},
            "multipart/form-data": {"schema": form},
            "image/jpeg": {"schema": binary},
            "application/octet-stream": {"schema": binary},
        },
    }


def _describe_query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = _schema(model)
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {key: value for key, value in known.items() if key != "description"},
            "description": known.get("description", ""),
        }
        for name, known in schema["properties"].items()
    ]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a schema that is complete in itself."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    resolved = _resolve(schema, definitions)
    assert isinstance(resolved, dict)
    return resolved


def _resolve(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            return _resolve(definitions[value["$ref"].rpartition("/")[2]], definitions)
        return {name: _resolve(one, definitions) for name, one in value.items()}
    if isinstance(value, list):
        return [_resolve(one, definitions) for one in value]
    return value


def _read_examples() -> dict[str, Any]:
    text = (files("featx.serving") / "examples.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


_EXAMPLES = _read_examples()
