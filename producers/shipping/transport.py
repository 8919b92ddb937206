"""The seam between the shipper and whatever carries events away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from runherald.api import Rejected
from runherald.events import Event
from runherald.records import Position


class Sent(NamedTuple):
    """What became of events: where the last ones stand, which were refused (`index` is the place in what was sent), and which runs
    somebody asked to cancel."""

    positions: Sequence[Position] = ()
    rejected: Sequence[Rejected] = ()
    cancel_requested: Sequence[str] = ()


class Transport(Protocol):
    """Carries events to the log."""

    def send(self, events: Sequence[Event]) -> Sent:
        """Send events, in order, and return when all are in the log or refused.

        Raises:
            Unreachable: nobody there now; some of the events may have arrived, and all may be sent again.
            RunheraldError: it does not work, and will hardly do so by itself (a wrong token, no such server); all may be sent again.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
