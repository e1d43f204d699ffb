"""The tools that agents have, over the protocol's own client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.server import MCPServer

import featx
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.index.ready import IndexRequest
from featx.serving.agents import make_agent_server
from featx.serving.service import Service
from featx.serving.settings import ServerOptions
from featx.serving.snapshot import Files

KEY = "photos/dark/image_4.png"


@pytest.fixture(scope="module")
def agent(store: Path) -> Iterator[MCPServer]:
    files = Files(IndexRequest(store, None, "mean"), store.parent / "head")
    service = Service(files, QueryImages(()), ServerOptions(), Listener())
    service.start()
    yield make_agent_server(service, store.parent)
    service.close()


def call(agent: Any, tool: str, **arguments: Any) -> Any:
    async def ask() -> Any:
        async with Client(agent) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(ask())


def test_tools_are_described(agent: MCPServer) -> None:
    async def ask() -> Any:
        async with Client(agent) as client:
            return await client.list_tools()

    tools = {tool.name: tool for tool in asyncio.run(ask()).tools}
    assert set(tools) == {"describe_store", "search_images", "predict", "find_duplicates"}
    assert all(tool.description for tool in tools.values())


def test_tools_answer_as_the_interface_does(agent: MCPServer, store: Path) -> None:
    known = call(agent, "describe_store").structured_content
    assert (known["num_images"], known["classes"]) == (24, {"dark": 12, "light": 12})
    expected = featx.search(keys=[KEY], features=store, layer="mean", k=3, label="light")
    keys = [match.key for match in expected.results[0].matches]
    for query in ({"keys": [KEY]}, {"pictures": [KEY]}):
        found = call(agent, "search_images", k=3, label=["light"], **query).structured_content
        assert [match["key"] for match in found["results"][0]["matches"]] == keys
        predicted = call(agent, "predict", top=1, **query).structured_content
        assert predicted["results"][0]["predictions"][0]["class"] == "dark"
    groups = call(agent, "find_duplicates").structured_content
    assert groups["total"] == len(featx.find_duplicates(store))


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("search_images", {"keys": ["no.png"]}, "no image in the store"),
        ("search_images", {}, "Send a picture"),
        ("search_images", {"keys": [KEY], "label": ["x"]}, "no class"),
        ("search_images", {"pictures": ["/etc/hostname"]}, "below the folder"),
        ("predict", {"pictures": ["../x.png"]}, "below the folder"),
        ("predict", {"pictures": ["x" * 300]}, "below the folder"),
        ("predict", {"pictures": ["a\0.png"]}, "below the folder"),
        ("predict", {"pictures": ["photos"] * 33}, "At most 32 pictures"),
        ("predict", {"keys": [KEY], "top": 0}, "top"),
        ("search_images", {"keys": [KEY], "labels": ["light"]}, "labels"),
    ],
)
def test_mistakes_are_sentences(
    agent: MCPServer, tool: str, arguments: dict[str, Any], message: str
) -> None:
    result = call(agent, tool, **arguments)
    assert result.is_error
    assert message in result.content[0].text
    assert "Traceback" not in result.content[0].text


@pytest.mark.slow
def test_the_command_speaks_the_protocol(store: Path) -> None:
    options = ["serve", str(store), "--layer", "mean", "--mcp"]
    process = StdioServerParameters(
        command=sys.executable,
        args=["-m", "featx", *options],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        cwd=str(store.parent),
    )
    found = call(process, "search_images", keys=[KEY], k=2).structured_content
    assert len(found["results"][0]["matches"]) == 2
