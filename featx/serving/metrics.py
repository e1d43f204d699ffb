"""Numbers about the server, as Prometheus reads them."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters of one server; several servers of a process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "featx_requests", "Requests", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "featx_request_seconds", "Time of answers", ["route"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.pictures = Counter(
            "featx_network_pictures", "Pictures that the network has computed",
            registry=self.registry,
        )  # fmt: skip
        self.passes = Histogram(
            "featx_network_batch", "Pictures in one pass of the network",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry,
        )  # fmt: skip
        self.searches = Histogram(
            "featx_search_batch", "Questions in one pass over the index",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry,
        )  # fmt: skip
        self.network_seconds = Counter(
            "featx_network_seconds", "Time in the network", registry=self.registry
        )
        self.inside = Gauge("featx_requests_inside", "Requests now", registry=self.registry)
        self.reloads = Gauge("featx_reloads", "Versions loaded since", registry=self.registry)

    def observe_pass(self, count: int, seconds: float) -> None:
        """Take note of a pass of the network."""
        self.pictures.inc(count)
        self.passes.observe(count)
        self.network_seconds.inc(seconds)

    def observe_search(self, count: int) -> None:
        """Take note of a pass over the index."""
        self.searches.observe(count)

    def render(self) -> bytes:
        """Return all of them in the text format."""
        return generate_latest(self.registry)


class Measured:
    """Measures answers.

    Args:
        app: What answers.
        metrics: Where it is noted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499

        async def send_measured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_measured)
        finally:
            # The route, never the path: keys of pictures would be counters without end.
            route = getattr(scope.get("route"), "path_format", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
