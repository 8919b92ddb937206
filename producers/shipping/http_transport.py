"""Sends events to a server as CloudEvents batches (`POST /api/v1/events`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from runherald.api import API, ApiErrorAnswer, Intake, Rejected, latest
from runherald.errors import InvalidInput, RunheraldError
from runherald.events import Event
from runherald.limits import DEFAULT_LIMITS
from runherald.producers.server.client import UNREADABLE, error_of
from runherald.producers.server.connection import Answer, Connection
from runherald.producers.shipping.transport import Sent
from runherald.wire import CONTENT_TYPE, encode_batch

MAX_BODY = DEFAULT_LIMITS.event_bytes


class HttpTransport:
    """Posts batches over one kept connection. A batch that is too large for the server is halved."""

    def __init__(self, url: str, token: str = "", *, timeout_seconds: float = 30.0, max_body: int = MAX_BODY) -> None:
        self._connection = Connection(url, token, timeout_seconds=timeout_seconds)
        self._max_body = max_body

    def send(self, events: Sequence[Event]) -> Sent:
        """Post the events; see `Transport.send`."""
        intakes = list(self._post(events, 0))
        return Sent(
            positions=latest([position for intake in intakes for position in intake.positions]),
            rejected=[rejected for intake in intakes for rejected in intake.rejected],
            cancel_requested=[run_id for intake in intakes for run_id in intake.cancel_requested],
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, events: Sequence[Event], first: int) -> Iterator[Intake]:
        if not events:
            return
        body = encode_batch(events)
        if len(body) > self._max_body and len(events) > 1:
            yield from self._halves(events, first)
            return
        answer = self._connection.request("POST", f"{API}/events", body=body, headers={"Content-Type": CONTENT_TYPE})
        if answer.status in (400, 413) and _is_ours(answer):
            if len(events) > 1:
                yield from self._halves(events, first)
            else:
                yield Intake(accepted=0, rejected=[Rejected(index=first, field="event", reason=str(self._error(answer)), id=events[0].id)])
        elif answer.status >= 300:
            raise self._error(answer)
        else:
            yield self._intake(answer, first, len(events))

    def _halves(self, events: Sequence[Event], first: int) -> Iterator[Intake]:
        half = len(events) // 2
        yield from self._post(events[:half], first)
        yield from self._post(events[half:], first + half)

    def _intake(self, answer: Answer, first: int, count: int) -> Intake:
        try:
            intake = msgspec.json.decode(answer.body, type=Intake)
        except UNREADABLE as error:
            raise RunheraldError(
                f"{self._connection.url} answered something else than its API says ({error}); is it a runherald server?"
            ) from None
        refused = {rejected.index for rejected in intake.rejected if 0 <= rejected.index < count}
        if intake.accepted + len(refused) != count:
            raise RunheraldError(
                f"{self._connection.url} took {intake.accepted} events of {count} and refused {len(refused)}; is it a runherald server?"
            )
        return replace(intake, rejected=[replace(rejected, index=rejected.index + first) for rejected in intake.rejected])

    def _error(self, answer: Answer) -> RunheraldError:
        error = error_of(answer, self._connection.url)
        if isinstance(error, InvalidInput) and not _is_ours(answer):
            return RunheraldError(f"{self._connection.url} answered {answer.status} in no way of runherald; is RUNHERALD_URL right?")
        return error


def _is_ours(answer: Answer) -> bool:
    """Say whether a refusal comes from a runherald server; a proxy's 413 counts as well, it means what it says."""
    if answer.status == 413:
        return True
    try:
        msgspec.json.decode(answer.body, type=ApiErrorAnswer)
    except UNREADABLE:
        return False
    return True
