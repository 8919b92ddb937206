"""The server's own figures, in Prometheus' format."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runherald.clock import Clock
from runherald.streams.fill import Filled, fill_figures
from runherald.streams.health import ProcessorHealth
from runherald.studio.lag_figures import damage_figure, lag_figures, notice_figures, processor_up
from runherald.studio.letter_figures import letter_figures
from runherald.studio.server_status import KnownStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset(method.value for method in HTTPMethod)


class Telemetry:
    """Counts what the server does; lag, notices and dead letters are read when somebody asks."""

    def __init__(
        self,
        status: Callable[[], KnownStatus],
        live_readers: Callable[[], float],
        health: Callable[[], Sequence[ProcessorHealth]],
        clock: Clock,
        fills: Callable[[], Iterable[Filled]] = tuple,
    ) -> None:
        self._registry = CollectorRegistry()
        self.events = Counter("runherald_intake_events", "Events taken.", ["topic"], registry=self._registry)
        self.rejected = Counter("runherald_intake_rejected", "Members of batches that were refused.", registry=self._registry)
        self.turned_away = Counter(
            "runherald_intake_turned_away", "Requests that write and found no room: they are sent again.", registry=self._registry
        )
        self.requests = Histogram(
            "runherald_http_request_seconds",
            "Time to answer a request; of a stream, until it began.",
            ["method", "route", "status"],
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        Gauge("runherald_live_readers", "Open streams of changes.", registry=self._registry).set_function(live_readers)
        self._registry.register(_Progress(status, health, clock))
        self._registry.register(_Fills(fills))
        ProcessCollector(namespace="runherald", registry=self._registry)

    def text(self) -> bytes:
        """Return all figures; blocks."""
        return generate_latest(self._registry)


class RequestTimes:
    """Observes how long requests take, by route."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and observe it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def observe(message: Message) -> None:
            if message["type"] == "http.response.start":
                route: BaseRoute | None = scope.get("route")
                # The route's pattern and not the path, which would make a time series of each run.
                pattern = getattr(route, "path", "") or "other"
                # Nor would a method that a caller makes up be told apart from others like it.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._telemetry.requests.labels(method, pattern, str(message["status"])).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, observe)


class _Fills(Collector):
    def __init__(self, fills: Callable[[], Iterable[Filled]]) -> None:
        self._fills = fills

    def collect(self) -> Iterable[Metric]:
        return fill_figures(self._fills())


class _Progress(Collector):
    def __init__(self, status: Callable[[], KnownStatus], health: Callable[[], Sequence[ProcessorHealth]], clock: Clock) -> None:
        self._status = status
        self._health = health
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        known = self._status()
        for part in ("log", "history"):
            up = GaugeMetricFamily(f"runherald_{part}_up", f"Whether the {part} answers.")
            up.add_metric([], part not in known.faults)
            yield up
        yield processor_up(self._health())
        # What is not known has no figure: a zero would say that all is well.
        if "log" not in known.faults:
            yield from lag_figures(known.status)
        if "history" not in known.faults:
            yield from notice_figures(known.status, self._clock())
            yield GaugeMetricFamily("runherald_dead_letters", "Dead letters that wait for somebody.", value=known.status.dead_letters)
            yield from letter_figures(known.status)
            yield damage_figure(known.status)
