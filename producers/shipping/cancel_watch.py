"""Asks the server whether runs are to stop, for transports that cannot say so themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from runherald.errors import RunheraldError
from runherald.events import Event
from runherald.producers.server.client import ApiClient
from runherald.producers.shipping.transport import Sent, Transport
from runherald.status import Status

ASK_SECONDS = 5.0


class CancelWatch:
    """Sends by another transport, then asks the server about the runs that were heard of, each at most every 5 seconds.

    A server that is away is no fault of the transport: nothing is asked then.
    """

    def __init__(self, transport: Transport, client: ApiClient, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._client = client
        self._monotonic = monotonic
        self._asked: dict[str, float] = {}

    def send(self, events: Sequence[Event]) -> Sent:
        """Send events; see `Transport.send`."""
        sent = self._transport.send(events)
        asked = [run_id for run_id in {event.run_id for event in events} if self._is_cancelled(run_id)]
        return sent._replace(cancel_requested=[*sent.cancel_requested, *asked])

    def close(self) -> None:
        """Close both."""
        self._transport.close()
        self._client.close()

    def _is_cancelled(self, run_id: str) -> bool:
        now = self._monotonic()
        if now - self._asked.get(run_id, -ASK_SECONDS) < ASK_SECONDS:
            return False
        self._asked[run_id] = now
        try:
            return self._client.get_run(run_id).status == Status.CANCEL_REQUESTED
        except RunheraldError:
            return False
