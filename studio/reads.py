"""The HTTP calls that read history. Each waits for the position that its request carries."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from runherald.api import QueryRequest, RunView
from runherald.errors import RunheraldError
from runherald.sinks.queries import MAX_LINES, MAX_LISTED, RunFilter
from runherald.sinks.run_list import MAX_PAGE
from runherald.status import Status
from runherald.studio.answers import RETRY_AFTER, json_answer
from runherald.studio.blocking import Blocking
from runherald.studio.parameters import Choice, Choices, Flag, Number, Text
from runherald.studio.parts import ServerParts
from runherald.studio.positions import Positions
from runherald.studio.user_queries import UserQueries
from runherald.studio.writes import no_run, read_struct

RECURSIVE = Flag("recursive", "Of all descendants, not of the children alone.")
METRIC = Text("name", "The metric's name; without it all.")
TAIL = Number("tail", f"How many of the last lines; at most {MAX_LINES}.", least=0, most=999_999_999, default=MAX_LINES)
_PAGE = 100
_EXPERIMENT = Text("experiment", "The experiment's name.")
_STATUS = Choices("status", "Runs of any of these statuses.", tuple(Status))
_PARENT = Text("parent", "The id of the parent.")
_ROOT_ONLY = Flag("root_only", "Only runs without a parent.")
_TAG = Text("tag", "`key`, or `key=value`.")
_LIFE = Choice("life", "What became of the run's entry.", ("Active", "Archived", "Deleted", "all"))
_CURSOR = Text("cursor", "The `next` of the page before.")
_LIMIT = Number("limit", "How many.", least=1, most=MAX_PAGE, default=100)
CHILDREN_CURSOR = Text("cursor", "The `next` of the page before: the answer is a page.")
CHILDREN_LIMIT = Number(
    "limit",
    f"How many runs below this one, as a page; 0 for all in a list, which is refused where they are more than {MAX_LISTED}.",
    least=0,
    most=MAX_PAGE,
    default=0,
)
RUN_LIST = (_EXPERIMENT, _STATUS, _PARENT, _ROOT_ONLY, _TAG, _LIFE, _CURSOR, _LIMIT)
"""The parameters of a list of runs."""


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
        wanted, cursor, limit = run_filter(request), _CURSOR.of(request), _LIMIT.of(request)
        return json_answer(await self._read(request, self._reader.runs, wanted, cursor=cursor, limit=limit))

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
        """Answer the children of a run, or all its descendants: a list, or a page if a limit or cursor is said."""
        recursive, cursor, limit = RECURSIVE.of(request), CHILDREN_CURSOR.of(request), CHILDREN_LIMIT.of(request)
        if not cursor and not limit:
            return json_answer(await self._of_run(request, self._reader.children, recursive=recursive))
        page = await self._read(
            request, self._reader.children_page, request.path_params["run_id"], recursive=recursive, cursor=cursor, limit=limit or _PAGE
        )
        await self._check_known(request, page.runs)
        return json_answer(page)

    async def list_metrics(self, request: Request) -> Response:
        """Answer what a run logged, or all its descendants, too: a list, or a page if these and a limit or cursor are said."""
        name, recursive = METRIC.of(request), RECURSIVE.of(request)
        cursor, limit = CHILDREN_CURSOR.of(request), CHILDREN_LIMIT.of(request)
        if not recursive or (not cursor and not limit):
            return json_answer(await self._of_run(request, self._reader.metrics, name=name, recursive=recursive))
        run_id = request.path_params["run_id"]
        page = await self._read(request, self._reader.metrics_page, run_id, name=name, cursor=cursor, limit=limit or _PAGE)
        await self._check_known(request, page.series)
        return json_answer(page)

    async def list_logs(self, request: Request) -> Response:
        """Answer the lines that a run printed."""
        return json_answer(await self._of_run(request, self._reader.logs, tail=TAIL.of(request)))

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
        """Answer `ok`, or 503 with the reason; with a token set, the reason is for those who have it."""
        try:
            ailment = await self._blocking(self._parts.ailment)
            if not ailment:
                await self._blocking(self._reader.check)
        except RunheraldError as error:
            ailment = str(error)
        if ailment and self._parts.token:
            ailment = "not well: /status and `runherald status` say why, with the token"
        return PlainTextResponse(ailment, 503, RETRY_AFTER) if ailment else PlainTextResponse("ok")

    async def _of_run(self, request: Request, read: Callable[..., Any], **arguments: Any) -> Any:
        """Return what is read of a run; what is empty may be so because there is no such run."""
        found = await self._read(request, read, request.path_params["run_id"], **arguments)
        await self._check_known(request, found)
        return found

    async def _check_known(self, request: Request, found: Sized) -> None:
        run_id: str = request.path_params["run_id"]
        if not found and await self._blocking(self._reader.state, run_id) is None:
            raise no_run(run_id)

    async def _read(self, request: Request, read: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        await self._positions.wait_for_request(request)
        return await self._blocking(read, *arguments, **named)


def run_filter(request: Request) -> RunFilter:
    """Return which runs a request asks for."""
    life = _LIFE.of(request)
    return RunFilter(
        experiment=_EXPERIMENT.of(request),
        statuses=_STATUS.of(request),
        parent=_PARENT.of(request),
        root_only=_ROOT_ONLY.of(request),
        tag=_TAG.of(request),
        life="" if life == "all" else life,
    )
