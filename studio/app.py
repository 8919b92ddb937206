"""The server as an ASGI application: `make_app(parts)`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from runherald.api import API
from runherald.errors import RunheraldError
from runherald.streams.fill import Filled
from runherald.studio.access import Access
from runherald.studio.answers import error_answer, fault_of
from runherald.studio.blocking import Blocking
from runherald.studio.cancel_requests import CancelRequests
from runherald.studio.dead_letters import DeadLetterCalls
from runherald.studio.headers import SafeHeaders
from runherald.studio.hosts import host_name
from runherald.studio.live_look import LiveLook
from runherald.studio.operations import operations
from runherald.studio.pages import Pages
from runherald.studio.parts import ServerParts
from runherald.studio.positions import Positions
from runherald.studio.reads import Reads
from runherald.studio.server_status import BoundedStatus
from runherald.studio.status_page import StatusPage
from runherald.studio.telemetry import RequestTimes, Telemetry
from runherald.studio.user_queries import UserQueries
from runherald.studio.writes import Writes

logger = logging.getLogger(__name__)

_WRITERS = 16
_READERS = 8
_WATCHERS = 4


def make_app(parts: ServerParts) -> Starlette:
    """Return the application. `parts.live.close()` ends its streams; call it when the server is to stop.

    Intake, reads, users' queries and figures have threads of their own: slow reads never delay what is being written, nor queries the
    pages, and figures are there when all else waits.
    """
    writing, reading, watching = Blocking(_WRITERS), Blocking(_READERS), Blocking(_WATCHERS)
    known = BoundedStatus(parts.status, parts.status_wait)

    def fills() -> Iterator[Filled]:
        yield from parts.fills()
        yield from (("", fill) for fill in (writes.room.fill(), queries.fill(), *parts.live.fills()))

    telemetry = Telemetry(known, parts.live.count, parts.health, parts.clock, fills)
    positions = Positions(parts.log, reading, wait_seconds=parts.position_wait)
    writes = Writes(parts, writing, positions, CancelRequests(parts.reader, reading, positions), telemetry)
    queries = UserQueries(parts.guard)
    reads = Reads(parts, reading, positions, queries)
    pages = Pages(parts, reading, reads, writes, queries)
    letters = DeadLetterCalls(parts, reading, positions, pages.render)
    status = StatusPage(known, telemetry, watching, pages.render, lag_seconds=parts.lag_seconds)
    api = operations(reads, writes, letters, status, parts.live, version=version("runherald"))
    look = LiveLook(parts.live, parts.reader, reading, interval=parts.live_interval)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(look.run())
        try:
            yield
        finally:
            parts.live.close()
            known.close()
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def answer_fault(request: Request, error: Exception) -> Response:
        fault = fault_of(error)
        # What nobody foresaw goes on to the server, which logs it whole.
        if fault.status >= 500 and isinstance(error, RunheraldError):
            logger.warning("event=request_failed path=%s status=%d reason=%s", request.url.path, fault.status, error)
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(API)
        return pages.fault(fault) if wants_page else error_answer(fault)

    handlers: dict[int | type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        RunheraldError: answer_fault,
        HTTPException: answer_fault,
        ClientDisconnect: answer_fault,
        Exception: answer_fault,
    }
    return Starlette(
        routes=[*(operation.route() for operation in api), *letters.routes(), *status.routes(), *_pages(pages)],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(RequestTimes, telemetry=telemetry),
            Middleware(Access, token=parts.token, names=(host_name(parts.public_url), socket.gethostname().lower())),
        ],
        exception_handlers=handlers,
        lifespan=lifespan,
    )


def _pages(pages: Pages) -> list[BaseRoute]:
    return [
        Route("/", pages.runs),
        Route("/runs/{run_id}", pages.run),
        Route("/runs/{run_id}/charts", pages.charts),
        Route("/runs/{run_id}/cancel", pages.cancel, methods=["POST"]),
        Route("/mails", pages.mails),
        Route("/mails/{name}", pages.mail),
        Route("/mails/{name}/body", pages.mail_body),
        Route("/query", pages.query),
        Route("/sign-in", pages.sign_in, methods=["GET", "POST"]),
        Mount("/static", StaticFiles(packages=[("runherald.studio", "static")])),
        Mount("/vendor/uplot", StaticFiles(packages=[("uplot", "static")])),
    ]
