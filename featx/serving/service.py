"""What the routes share: the newest version, the network, notes, long work, numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Any, TypeVar

import anyio
import numpy as np
from anyio.to_thread import run_sync
from fastapi import Request

from featx.errors import InvalidValue
from featx.events import Listener
from featx.features.query_images import QueryImages
from featx.images.cropping import Crop, parse_crop
from featx.machine import available_cores
from featx.scratch import remove_leftovers
from featx.serving.chore_process import make_chore
from featx.serving.chores import Chore, Chores
from featx.serving.metrics import Metrics
from featx.serving.network import PictureNetwork, Results, Upload
from featx.serving.notes import NoteBook
from featx.serving.questions import Filters
from featx.serving.reloading import Collection
from featx.serving.search_queue import Search, SearchQueue
from featx.serving.settings import ServerOptions
from featx.serving.snapshot import Files, NetworkPlan, Snapshot
from featx.serving.store_notes import PlacedNotes
from featx.serving.web import Gate, Problem, wait_for

T = TypeVar("T")
NETWORK_SECONDS = 0.5
"""For which a server waits for its networks before it begins; TensorFlow takes longer."""

MOST_POINTS = 500
"""Of a lasso."""


class Service:
    """One collection, served.

    Args:
        files: What is served.
        query: How pictures are read and the network is run.
        options: Limits.
        listener: Is told what happens.
    """

    def __init__(
        self, files: Files, query: QueryImages, options: ServerOptions, listener: Listener
    ) -> None:
        self.is_ending: Callable[[], bool] = lambda: False
        self.options, self.listener = options, listener
        self.metrics = Metrics()
        self.gate = Gate(options.queue)
        self.collection = Collection(files, listener)
        self.notes = PlacedNotes(NoteBook.beside(self.collection.current.store.path))
        self.network = PictureNetwork(query, listener, self.metrics.observe_pass, files.model)
        self.searches = SearchQueue(self.metrics.observe_search)
        self.chores = Chores()
        self.query = query
        self._has_turn = False
        self._turns: set[asyncio.Future[None]] = set()
        self._cores = anyio.CapacityLimiter(max(2, available_cores()))
        self._prepare()

    def _prepare(self) -> None:
        """Make what first answers need before somebody waits for them; networks beside that."""
        snapshot = self.current
        plans = (snapshot.search_plan, snapshot.head_plan)
        networks = [self.network.prepare(plan) for plan in plans if plan is not None]
        self.collection.prepare()
        wait(networks, NETWORK_SECONDS)

    def start(self) -> None:
        """Begin what goes on beside the answers."""
        remove_leftovers()
        self.collection.start()

    def close(self) -> None:
        """End everything; pictures that were taken are computed first."""
        self.chores.close()
        self.network.close()
        self.collection.close()

    @property
    def current(self) -> Snapshot:
        """The newest version; an answer takes it once."""
        return self.collection.current

    def deadline(self) -> float:
        """Return when a request that begins now is given up, as `time.monotonic` counts."""
        return time.monotonic() + self.options.timeout

    async def run(self, request: Request, work: Callable[[], T], deadline: float) -> T:
        """Run something in a thread, as many at a time as there are cores."""
        return await wait_for(request, self.thread(work), deadline)

    async def thread(self, work: Callable[[], T]) -> T:
        """Run something in a thread; one that is given up keeps its place until it ends."""
        return await run_sync(work, limiter=self._cores)

    async def compute(
        self,
        request: Request,
        plan: NetworkPlan,
        pictures: Sequence[Upload],
        deadline: float,
        crop: str | None = None,
    ) -> Results:
        """Return features of pictures, or why there are none, in their order."""
        if not pictures:
            return []
        part: Crop | None = None if crop is None else parse_crop(crop)

        async def work() -> Results:
            with self.network.expecting(len(pictures)):
                job = await self.thread(lambda: self.network.read(plan, pictures, part))
            return await asyncio.wrap_future(self.network.submit(job, deadline))

        return await wait_for(request, work(), deadline)

    async def find(self, request: Request, search: Search) -> list[Any]:
        """Return what a search gives, which is made together with those that are like it."""
        self.searches.put(search)
        await asyncio.sleep(0)  # Those whose pictures were in the same pass put theirs meanwhile.
        self._take_turn()
        return await wait_for(request, asyncio.wrap_future(search.done), search.deadline)

    def _take_turn(self) -> None:
        """Let a thread answer what waits, unless one is about to."""
        if self._has_turn or self.searches.is_empty:
            return
        self._has_turn, loop = True, asyncio.get_running_loop()

        def work() -> None:
            self._has_turn = False  # Who comes from now on needs another one.
            self.searches.run_next(lambda: loop.call_soon_threadsafe(self._take_turn))

        turn = asyncio.ensure_future(self.thread(work))
        self._turns.add(turn)  # Otherwise, it could be collected as garbage.
        turn.add_done_callback(self._turns.discard)

    async def select(self, request: Request, filters: Filters, snapshot: Snapshot) -> Any:
        """Return which rows filters leave, bool (N,); None for all."""
        return await self.run(request, lambda: self.find_rows(filters, snapshot), self.deadline())

    def get_chore(self, name: str, snapshot: Snapshot) -> Chore:
        """Return the map, the duplicates or the audit of a version, which is made or will be."""
        return self.chores.get(name, snapshot, partial(make_chore, name))

    def find_rows(self, filters: Filters, snapshot: Snapshot) -> np.ndarray | None:
        """Return which rows filters leave, bool (N,); None for all."""
        found = snapshot.columns.select(filters.match_options())
        count = len(snapshot)
        if filters.with_label:
            found = _both(found, snapshot.columns.have_labels(filters.with_label))
        if filters.tag or filters.decision:
            found = _both(found, self._with_notes(filters, snapshot))
        polygon = None if filters.lasso is None else _parse_polygon(filters.lasso)
        if filters.cluster or polygon is not None:
            places = self.get_chore("map", snapshot).promise
            if not places.done():
                raise Problem(503, "The map is being made.", headers={"Retry-After": "2"})
            points = places.result()
            if filters.cluster:
                found = _both(found, points.in_clusters(count, filters.cluster))
            if polygon is not None:
                found = _both(found, points.inside(count, polygon))
        return found

    def _with_notes(self, filters: Filters, snapshot: Snapshot) -> np.ndarray:
        chosen = np.zeros(len(snapshot), bool)
        decided = np.zeros(len(snapshot), bool)
        for key, notes in self.notes.read(snapshot).all():
            row = snapshot.columns.find(key)
            if row is None:
                continue
            latest = notes.decision
            decided[row] = latest is not None
            is_so = latest is not None and latest.action in filters.decision
            chosen[row] = all(tag in notes.tags for tag in filters.tag) and (
                not filters.decision or is_so or (latest is None and "none" in filters.decision)
            )
        if "none" in filters.decision and not filters.tag:
            chosen |= ~decided
        return chosen


def _both(one: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    return other if one is None else one & other


def _parse_polygon(text: str) -> np.ndarray:
    try:
        values = np.array([float(part) for part in text.split(",")])
        polygon = values.reshape(-1, 2)
    except ValueError:
        polygon = np.zeros((0, 2))
    if not 3 <= len(polygon) <= MOST_POINTS or not np.isfinite(polygon).all():
        raise InvalidValue(f"A lasso is x,y,x,y,... of 3 to {MOST_POINTS} points, in [0, 1].")
    return polygon


def service_of(request: Request) -> Service:
    """Return the service of a request."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
