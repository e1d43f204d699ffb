"""The OpenAPI document, and whatever it lets programs make up (schemathesis)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

import featx
from tests.serving.client import Client

EXAMPLES = json.loads((files("featx.serving") / "examples.json").read_text())


def is_no_mistake(context: Any, response: Any, case: Any) -> None:
    """503 says that it is not possible yet; 500 would be a mistake of ours."""
    assert response.status_code != 500


def run(server: featx.Server, examples: int, paths: Sequence[str] = ()) -> int:
    """Send requests to some operations, or all; return how many there were."""
    import schemathesis  # Takes a second, in each process that only collects tests, too.
    from schemathesis.checks import load_all_checks
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        status_code_conformance,
    )

    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    count = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if paths and operation.path not in paths:
            continue

        @settings(
            max_examples=examples, deadline=None, database=None, derandomize=True,
            phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @_given(operation)
        def send(case: Any) -> None:
            nonlocal count
            count += 1
            response = case.call()
            case.validate_response(
                response,
                checks=[is_no_mistake, status_code_conformance, content_type_conformance],
            )

        send()
    return count


def _given(operation: Any) -> Any:
    from hypothesis import given

    return given(case=operation.as_strategy())


def test_requests_that_are_made_up_get_answers(server: featx.Server) -> None:
    assert run(server, 3) >= 40


@pytest.mark.slow
def test_many_requests_that_are_made_up(server: featx.Server) -> None:
    assert run(server, 100) >= 1_000


def test_every_route_has_an_example(client: Client) -> None:
    document = client.get("/openapi.json").json
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answer = operation["responses"]["200"]["content"]
            if "application/json" in answer:
                assert answer["application/json"]["example"], path


KEYS = ("photos/dark/image_0.png", "photos/light/image_1.png")


@pytest.mark.parametrize("name", ["search", "predict", "features"])
def test_examples_have_the_fields_of_answers(client: Client, name: str) -> None:
    example = EXAMPLES[name]
    question = example["request"] | {"keys": [KEYS[0]]}
    question.pop("label", None)
    assert shape(client.ask(f"/{name}", question).json) == shape(example["answer"])


@pytest.mark.parametrize(
    ("path", "name"), [("/describe", "describe"), ("/items", "items"), ("/notes", "notes"),
                       (f"/items/{KEYS[0]}", "item"), ("/healthz", "health")]
)  # fmt: skip
def test_examples_name_fields_that_there_are(client: Client, path: str, name: str) -> None:
    answer, example = client.get(path).json, EXAMPLES[name]["answer"]
    assert set(example) <= set(answer)


def shape(value: Any) -> Any:
    """Return the names of fields, of the first element of lists."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def test_numbers_for_prometheus_name_routes_and_no_keys(client: Client) -> None:
    client.get("/items/photos/dark/image_0.png")
    text = client.get("/metrics").body.decode()
    assert 'featx_requests_total{route="/items/{key}",status="200"}' in text
    assert "image_0.png" not in text
    assert "featx_network_pictures_total" in text
