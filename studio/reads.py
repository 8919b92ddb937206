"""The HTTP calls that read history. Each waits for the position that its request carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from runherald.api import QueryRequest, RunView
from runherald.errors import InvalidInput, RunheraldError
from runherald.sinks.queries import RunFilter
from runherald.studio.answers import RETRY_AFTER, json_answer
from runherald.studio.blocking import Blocking
from runherald.studio.parts import ServerParts
from runherald.studio.positions import Positions
from runherald.studio.user_queries import UserQueries
from runherald.studio.writes import no_run, read_struct


class Reads:
    """Answers from history."""

    def __init__(self, parts: ServerParts, blocking: Blocking, positions: Positions, queries: UserQueries) -> None:
        self._parts = parts
        self._queries = queries
        self._reader = parts.reader
        self._blocking = blocking
        self._positions = positions

    async def list_runs(self, request: Request) -> Response:
        """Answer a page of runs."""
        limit = _number(request, "limit", 100)
        page = await self._read(request, self._reader.runs, run_filter(request), cursor=request.query_params.get("cursor", ""), limit=limit)
        return json_answer(page)

    async def show_run(self, request: Request) -> Response:
        """Answer a run."""
        return json_answer(await self.run(request))

    async def run(self, request: Request) -> RunView:
        """Return the run that a path names.

        Raises:
            NotFound: there is no such run.
        """
        run_id: str = request.path_params["run_id"]
        run: RunView | None = await self._read(request, self._reader.run, run_id)
        if run is None:
            raise no_run(run_id)
        return run

    async def list_transitions(self, request: Request) -> Response:
        """Answer the changes of a run's status."""
        return json_answer(await self._of_run(request, self._reader.transitions))

    async def list_children(self, request: Request) -> Response:
        """Answer the children of a run, or all its descendants."""
        return json_answer(await self._of_run(request, self._reader.children, recursive=_flag(request, "recursive")))

    async def list_metrics(self, request: Request) -> Response:
        """Answer what a run logged."""
        name = request.query_params.get("name", "")
        return json_answer(await self._of_run(request, self._reader.metrics, name=name, recursive=_flag(request, "recursive")))

    async def list_logs(self, request: Request) -> Response:
        """Answer the lines that a run printed."""
        tail = _number(request, "tail", None)
        return json_answer(await self._of_run(request, self._reader.logs, tail=tail))

    async def list_run_notices(self, request: Request) -> Response:
        """Answer the notices about a run."""
        return json_answer(await self._of_run(request, self._reader.notices))

    async def list_notices(self, request: Request) -> Response:
        """Answer all notices."""
        return json_answer(await self._read(request, self._reader.notices))

    async def run_query(self, request: Request) -> Response:
        """Answer a user's query."""
        asked = await read_struct(request, QueryRequest)
        await self._positions.wait_for_request(request)
        return json_answer(await self._queries.answer(asked))

    async def show_status(self, request: Request) -> Response:
        """Answer what the server runs and how far it is."""
        return json_answer(await self._read(request, self._parts.status))

    async def show_health(self, _: Request) -> Response:
        """Answer `ok`, or 503 with the reason."""
        try:
            ailment = await self._blocking(self._parts.ailment)
            if not ailment:
                await self._blocking(self._reader.check)
        except RunheraldError as error:
            ailment = str(error)
        return PlainTextResponse(ailment, 503, RETRY_AFTER) if ailment else PlainTextResponse("ok")

    async def _of_run(self, request: Request, read: Callable[..., Any], **arguments: Any) -> Any:
        """Return what is read of a run; what is empty may be so because there is no such run."""
        run_id: str = request.path_params["run_id"]
        found = await self._read(request, read, run_id, **arguments)
        if not found and await self._blocking(self._reader.state, run_id) is None:
            raise no_run(run_id)
        return found

    async def _read(self, request: Request, read: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        await self._positions.wait_for_request(request)
        return await self._blocking(read, *arguments, **named)


def run_filter(request: Request) -> RunFilter:
    """Return which runs a request asks for; `status` may name several, with commas between them or repeated."""
    asked = request.query_params
    statuses = tuple(status.strip() for value in asked.getlist("status") for status in value.split(",") if status.strip())
    life = asked.get("life", "Active")
    if life not in ("Active", "Archived", "Deleted", "all"):
        raise InvalidInput("life: neither Active, Archived, Deleted nor all")
    return RunFilter(
        experiment=asked.get("experiment", ""),
        statuses=statuses,
        parent=asked.get("parent", ""),
        root_only=_flag(request, "root_only"),
        tag=asked.get("tag", ""),
        life="" if life == "all" else life,
    )


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "").lower()
    if value not in ("", "true", "false", "1", "0"):
        raise InvalidInput(f"{name}: neither true nor false")
    return value in ("true", "1")


def _number(request: Request, name: str, default: int | None) -> Any:
    value = request.query_params.get(name, "")
    if not value:
        return default
    if not value.isdecimal() or len(value) > 9:
        raise InvalidInput(f"{name}: is not a whole number from 0")
    return int(value)
