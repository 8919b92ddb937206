"""The page and the figures that say how far the server is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from runherald.api import DAMAGE_REMEDY, PartitionStatus, ProcessorStatus, ServerStatus
from runherald.studio.blocking import Blocking
from runherald.studio.server_status import KnownStatus
from runherald.studio.telemetry import CONTENT_TYPE, Telemetry

Render = Callable[..., Response]
"""Returns a page of a template and its values."""


class ListedProcessor(Struct, frozen=True):
    """A processor in the list, with its partitions. `late` says that it lags."""

    total: ProcessorStatus
    partitions: list[PartitionStatus]
    late: bool


class StatusPage:
    """Answers with page and figures. From `lag_seconds` on a processor is said to lag; 0 for never."""

    def __init__(
        self, known: Callable[[], KnownStatus], telemetry: Telemetry, blocking: Blocking, render: Render, *, lag_seconds: float
    ) -> None:
        self._known = known
        self._telemetry = telemetry
        self._blocking = blocking
        self._render = render
        self._lag_seconds = lag_seconds

    def routes(self) -> list[BaseRoute]:
        """Return where the page is."""
        return [Route("/status", self.show)]

    async def show(self, _: Request) -> Response:
        """Show as much as is known: the page is looked at when something is away."""
        known = await self._blocking(self._known)
        return self._render(
            "status.html",
            server=known.status,
            faults=known.faults,
            processors=listed(known.status, self._lag_seconds),
            damage_remedy=DAMAGE_REMEDY,
        )

    async def show_figures(self, _: Request) -> Response:
        """Answer the figures for Prometheus."""
        return Response(await self._blocking(self._telemetry.text), media_type=CONTENT_TYPE)


def listed(status: ServerStatus, lag_seconds: float) -> Sequence[ListedProcessor]:
    """Return the processors of a status, those first that lag."""
    found = [
        ListedProcessor(
            total,
            [part for part in status.partitions if (part.processor, part.topic) == (total.processor, total.topic)],
            late=0 < lag_seconds <= total.age_seconds,
        )
        for total in status.processors
    ]
    return sorted(found, key=lambda each: not each.late)
