"""The HTTP calls that write to the log: events, and requests to cancel a run."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from runherald.api import CancelRequest, Intake, latest
from runherald.errors import InvalidEvent, InvalidInput
from runherald.events import Actor, AmlRunStatusChangedEvent, new_event
from runherald.status import Cause, Status, may_follow
from runherald.studio.answers import json_answer
from runherald.studio.batch import read_batch
from runherald.studio.blocking import Blocking
from runherald.studio.cancel_requests import CancelRequests
from runherald.studio.errors import NotFound
from runherald.studio.headers import read_body
from runherald.studio.intake_room import IntakeRoom
from runherald.studio.parts import ServerParts
from runherald.studio.positions import Positions
from runherald.studio.telemetry import Telemetry
from runherald.validation import check_event
from runherald.wire import to_outgoing

T = TypeVar("T", bound=Struct)

_MAX_REQUEST = 256 * 1024


class Writes:
    """Appends to the log on behalf of callers."""

    def __init__(
        self, parts: ServerParts, blocking: Blocking, positions: Positions, cancel_requests: CancelRequests, telemetry: Telemetry
    ) -> None:
        self._parts = parts
        self._blocking = blocking
        self._positions = positions
        self._cancel_requests = cancel_requests
        self._telemetry = telemetry
        self.room = IntakeRoom(telemetry.turned_away.inc)

    async def take_events(self, request: Request) -> Response:
        """Take a batch of events: the good are appended in one go, the bad are named one by one."""
        async with self.room.share() as share:
            body = await read_body(request, self._parts.max_body, make_room=partial(self.room.add, share))
            await self.room.read(share)
            batch = await self._blocking(read_batch, body, self._parts.limits)
            positions = await self._blocking(self._parts.log.append, batch.records) if batch.records else []
        for record in batch.records:
            self._telemetry.events.labels(record.topic).inc()
        self._telemetry.rejected.inc(len(batch.rejected))
        return json_answer(
            Intake(
                accepted=len(batch.records),
                rejected=batch.rejected,
                positions=latest(positions),
                cancel_requested=await self._cancel_requests.among(batch.run_ids),
            )
        )

    async def cancel_run(self, request: Request) -> Response:
        """Ask a run to stop, over the API."""
        await self._positions.wait_for_request(request)
        asked = await read_struct(request, CancelRequest)
        return json_answer(await self.cancel(request.path_params["run_id"], asked))

    async def cancel(self, run_id: str, asked: CancelRequest) -> Intake:
        """Report that somebody asks a run to stop; the run obeys when it hears of it.

        Raises:
            NotFound: there is no such run.
            InvalidInput: it has ended, or is past stopping; or the reason is too long.
        """
        state = await self._blocking(self._parts.reader.state, run_id)
        if state is None:
            raise no_run(run_id)
        status = state.status
        if status is not None and status is not Status.CANCEL_REQUESTED and not may_follow(status, Status.CANCEL_REQUESTED):
            raise InvalidInput(f"run {run_id}: is {status}; there is nothing to cancel any more")
        event = new_event(
            AmlRunStatusChangedEvent(
                status=Status.CANCEL_REQUESTED,
                attempt=state.attempt,
                cause=Cause.USER,
                message=asked.reason,
                actor=Actor(kind="user", name=asked.user),
            ),
            workspace=state.workspace,
            run_id=run_id,
            producer=self._parts.new_producer(),
            sequence=0,
            time=self._parts.clock(),
            recorded_time=self._parts.clock(),
        )
        check_event(event, self._parts.limits)
        positions = await self._blocking(self._parts.log.append, [to_outgoing(event)])
        self._cancel_requests.add(run_id, positions[0])
        return Intake(accepted=1, positions=positions, cancel_requested=[run_id])


async def read_struct(request: Request, kind: type[T]) -> T:
    """Return the JSON body of a request as a Struct; an empty body is one without fields.

    Raises:
        InvalidEvent: it is not of that form; names the field.
    """
    body = await read_body(request, _MAX_REQUEST)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message, _, path = str(error).partition(" - at `$")
        raise InvalidEvent("body" + path.rstrip("`"), message[:300]) from None


def no_run(run_id: str) -> NotFound:
    """Return the error that there is no such run."""
    return NotFound(f"run {run_id[:256]}: there is no such run; ids are whole (`runherald run list`), its first event may not be here yet")
