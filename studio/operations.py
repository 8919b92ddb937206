"""The operations of the HTTP API: `runherald.api` is the same as data."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runherald.api import (
    API,
    CancelRequest,
    Intake,
    LogLineView,
    MetricPage,
    MetricSeries,
    NoticeView,
    QueryAnswer,
    QueryRequest,
    RunPage,
    RunView,
    ServerStatus,
    TransitionView,
)
from runherald.letters_api import GoOnRequest, LetterDetail, LetterPage, ReplayAnswer, ReplayRequest
from runherald.studio import dead_letters, reads
from runherald.studio.dead_letters import DeadLetterCalls
from runherald.studio.live import FOLLOWED, LiveFeed, live_stream
from runherald.studio.openapi import describe
from runherald.studio.operation import JSON, Operation
from runherald.studio.reads import Reads
from runherald.studio.status_page import StatusPage
from runherald.studio.writes import Writes
from runherald.wire import CONTENT_TYPE, CloudEvent

DESCRIPTION = f"{API}/openapi.json"
_RUN = f"{API}/runs/{{run_id}}"
_TEXT = "text/plain; charset=utf-8"


def operations(
    reading: Reads, writing: Writes, letters: DeadLetterCalls, status: StatusPage, live: LiveFeed, *, version: str
) -> tuple[Operation, ...]:
    """Return all operations, the one that describes them among them."""

    async def follow_changes(request: Request) -> Response:
        """Send the ids of runs that change, as server-sent events `change`."""
        return live_stream(live, request)

    async def describe_api(_: Request) -> Response:
        """Answer the description of this API."""
        return Response(description, media_type=JSON)

    every = (
        Operation(
            method="POST",
            path=f"{API}/events",
            handler=writing.take_events,
            body=list[CloudEvent],
            body_media=CONTENT_TYPE,
            answer=Intake,
        ),
        Operation(path=f"{API}/runs", handler=reading.list_runs, parameters=reads.RUN_LIST, answer=RunPage, waits=True),
        Operation(path=_RUN, handler=reading.show_run, answer=RunView, waits=True),
        Operation(path=f"{_RUN}/transitions", handler=reading.list_transitions, answer=list[TransitionView], waits=True),
        Operation(
            path=f"{_RUN}/children",
            handler=reading.list_children,
            parameters=(reads.RECURSIVE, reads.CHILDREN_CURSOR, reads.CHILDREN_LIMIT),
            answer=list[RunView] | RunPage,
            waits=True,
        ),
        Operation(
            path=f"{_RUN}/metrics",
            handler=reading.list_metrics,
            parameters=(reads.METRIC, reads.RECURSIVE, reads.CHILDREN_CURSOR, reads.CHILDREN_LIMIT),
            answer=list[MetricSeries] | MetricPage,
            waits=True,
        ),
        Operation(path=f"{_RUN}/logs", handler=reading.list_logs, parameters=(reads.TAIL,), answer=list[LogLineView], waits=True),
        Operation(path=f"{_RUN}/notices", handler=reading.list_run_notices, answer=list[NoticeView], waits=True),
        Operation(method="POST", path=f"{_RUN}/cancel", handler=writing.cancel_run, body=CancelRequest, answer=Intake, waits=True),
        Operation(path=f"{API}/notices", handler=reading.list_notices, answer=list[NoticeView], waits=True),
        Operation(method="POST", path=f"{API}/query", handler=reading.run_query, body=QueryRequest, answer=QueryAnswer, waits=True),
        Operation(
            path=f"{API}/dead-letters", handler=letters.list_letters, parameters=dead_letters.LETTER_LIST, answer=LetterPage, waits=True
        ),
        Operation(method="POST", path=f"{API}/dead-letters/replay", handler=letters.replay, body=ReplayRequest, answer=ReplayAnswer),
        Operation(method="POST", path=f"{API}/dead-letters/go-on", handler=letters.let_go_on, body=GoOnRequest, answer=Intake),
        Operation(path=f"{API}/dead-letters/{{letter_id}}", handler=letters.show_letter, answer=LetterDetail, waits=True),
        Operation(path=f"{API}/status", handler=reading.show_status, answer=ServerStatus, waits=True),
        Operation(path=f"{API}/live", handler=follow_changes, parameters=(FOLLOWED,), answer_media="text/event-stream"),
        Operation(path=DESCRIPTION, handler=describe_api, answer=dict[str, Any]),
        Operation(path="/healthz", handler=reading.show_health, answer_media=_TEXT, guarded=False),
        Operation(path="/metrics", handler=status.show_figures, answer_media="text/plain; version=0.0.4; charset=utf-8"),
    )
    description = msgspec.json.encode(describe(every, version=version))
    return every
