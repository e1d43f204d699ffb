"""The same calls for agents: tools of the Model Context Protocol, over stdin and stdout."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel

from featx.errors import FeatxError, InvalidValue
from featx.images.cropping import parse_crop
from featx.serving.bodies import MOST_PICTURES, check_fields
from featx.serving.listings import Listing
from featx.serving.network import Results, Upload
from featx.serving.predicting import predict_question
from featx.serving.questions import PredictQuestion, SearchQuestion
from featx.serving.route_status import describe_service
from featx.serving.searching import plan_search, prepare_search
from featx.serving.service import Service
from featx.serving.snapshot import NetworkPlan
from featx.serving.web import Problem, describe_error
from featx.specs import DEFAULT_K, DEFAULT_TOP
from featx.version import __version__

T = TypeVar("T")
LOOK_EVERY = 5.0
MOST_GROUPS = 50
"""Of duplicates in one answer: what a model reads is limited."""

_INSTRUCTIONS = (
    "A collection of images whose features are stored. Images are named by keys. Call "
    "describe_store first: it lists classes, splits, folders and columns to filter by."
)


def make_agent_server(service: Service, folder: Path) -> MCPServer:
    """Return a server with the tools.

    Args:
        service: What is served.
        folder: Pictures are read below it, and nowhere else.
    """
    tools = AgentTools(service, folder)
    functions = (tools.describe_store, tools.search_images, tools.predict, tools.find_duplicates)
    return MCPServer(
        "featx",
        instructions=_INSTRUCTIONS,
        version=__version__,
        tools=list(map(_make_tool, functions)),
    )


def _make_tool(function: Callable[..., Any]) -> Tool:
    """Return a tool that refuses arguments which it does not have."""
    tool = Tool.from_function(function)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema(by_alias=True)
    return tool


class AgentTools:
    """What an agent can call; each answer is JSON, as the HTTP interface gives it.

    Args:
        service: What is served.
        folder: Pictures are read below it.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        self._service, self._folder = service, folder.resolve()

    async def describe_store(self) -> dict[str, Any]:
        """Describe the collection: number of images, classes, splits, folders, columns, head."""
        service = self._service
        return await _run(lambda: describe_service(service, service.current))

    async def search_images(
        self,
        keys: list[str] | None = None,
        pictures: list[str] | None = None,
        k: int = DEFAULT_K,
        label: list[str] | None = None,
        path: list[str] | None = None,
        split: list[str] | None = None,
        where_column: str | None = None,
        crop: str | None = None,
    ) -> dict[str, Any]:
        """Find the stored images that look most like others.

        Args:
            keys: Keys of stored images to search for.
            pictures: Paths of picture files, below the folder in which the server was started.
            k: Matches for each.
            label: Only images of these classes.
            path: Only keys, file names or folders that match one of these globs.
            split: Only images of these splits.
            where_column: Only images for which this holds, such as "price < 20".
            crop: Only this part of the queries: X,Y,W,H in pixels or per cent ("10%,10%,50%,50%").
        """
        fields: dict[str, Any] = {"keys": keys, "k": k, "label": label, "path": path}
        fields |= {"split": split, "where_column": where_column, "crop": crop}
        return await _run(lambda: self._search(fields, pictures or []))

    def _search(self, fields: dict[str, Any], pictures: list[str]) -> dict[str, Any]:
        question, deadline = _check(SearchQuestion, fields), self._service.deadline()
        snapshot = self._service.current
        prepared = prepare_search(snapshot, question, self._read(pictures))
        plan = snapshot.search_plan
        whole = self._compute(plan, prepared.whole)
        parts = self._compute(plan, prepared.parts, question.crop)
        allowed = self._service.find_rows(question, snapshot)
        planned = plan_search(snapshot, prepared, (whole, parts), allowed)
        results: list[Any] = []
        for some in planned.divide(deadline):
            self._service.searches.put(some)
            self._service.searches.run_next()
            results += some.done.result(self._service.options.timeout)
        return planned.describe(results)

    async def predict(
        self,
        keys: list[str] | None = None,
        pictures: list[str] | None = None,
        top: int = DEFAULT_TOP,
    ) -> dict[str, Any]:
        """Say the most probable classes of images, by the head that is served.

        Args:
            keys: Keys of stored images.
            pictures: Paths of picture files, below the folder in which the server was started.
            top: Classes for each.
        """
        return await _run(lambda: self._predict({"keys": keys, "top": top}, pictures or []))

    def _predict(self, fields: dict[str, Any], pictures: list[str]) -> dict[str, Any]:
        question = _check(PredictQuestion, fields)
        snapshot = self._service.current
        computed: Results = []
        if snapshot.head_plan is not None:
            computed = self._compute(snapshot.head_plan, self._read(pictures))
        return predict_question(snapshot, question, computed)

    async def find_duplicates(self, offset: int = 0) -> dict[str, Any]:
        """List groups of copies among the stored images, the largest first, 50 at a time.

        Args:
            offset: Groups to skip.
        """
        service = self._service
        listing: Listing = await _run(lambda: _wait(service))
        total, groups = listing.cut(max(0, offset), MOST_GROUPS)
        return listing.about | {"total": total, "groups": groups}

    def _read(self, pictures: list[str]) -> list[Upload]:
        """Read picture files below the folder."""
        if len(pictures) > MOST_PICTURES:
            raise InvalidValue(f"At most {MOST_PICTURES} pictures. Received: {len(pictures)}.")
        return [Upload(name, self._read_file(name)) for name in pictures]

    def _read_file(self, name: str) -> bytes:
        most = self._service.options.max_upload
        data = None
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # Of names that are none.
            path = (self._folder / name).resolve()
            if path.is_relative_to(self._folder) and path.is_file():
                with path.open("rb") as file:
                    data = file.read(most + 1)
        if data is None:
            raise InvalidValue(
                f"{name!r} is no file below the folder in which the server was started."
            )
        if len(data) > most:
            raise InvalidValue(f"{name!r} is larger than a request may be.")
        return data

    def _compute(
        self, plan: NetworkPlan, pictures: list[Upload], crop: str | None = None
    ) -> Results:
        if not pictures:
            return []
        network = self._service.network
        job = network.read(plan, pictures, None if crop is None else parse_crop(crop))
        seconds = self._service.options.timeout
        return network.submit(job, time.monotonic() + seconds).result(seconds)


def _wait(service: Service) -> Any:
    """Return the duplicates when they are there; the agent waits, so they are wanted."""
    while True:
        chore = service.get_chore("duplicates", service.current)
        with contextlib.suppress(FutureTimeout):
            return chore.promise.result(LOOK_EVERY)


Model = TypeVar("Model", bound=BaseModel)


def _check(model: type[Model], fields: dict[str, Any]) -> Model:
    """Return fields, checked; those that are None are left out."""
    return check_fields(model, {name: one for name, one in fields.items() if one is not None})


async def _run(work: Callable[[], T]) -> T:
    """Run something in a thread; its errors are sentences for the agent."""
    try:
        return await run_sync(work)
    except Problem as error:
        raise ToolError(str(error.detail)) from error
    except (FeatxError, TimeoutError, CancelledError) as error:
        raise ToolError(describe_error(error)[1]) from error
