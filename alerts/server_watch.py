"""Whether the SMTP server is there: while it is not, one notice at a time asks, and the others wait without being counted as tried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from runherald.alerts.backoff import is_over
from runherald.alerts.outbox import Notice
from runherald.alerts.smtp import Accepted, Delivery

LONGEST_SECONDS = 60.0


class ServerWatch:
    """Remembers how the last attempts went. Kept in memory only: a restart asks afresh."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._failures = 0
        self._wait: tuple[datetime, datetime] | None = None
        self._back_since: datetime | None = None

    @property
    def away(self) -> bool:
        """Whether the last that was heard of it is that it was not there."""
        return self._wait is not None

    def at_once(self, now: datetime, most: int) -> int:
        """Return how many notices may be attempted now."""
        if self._wait is None:
            return most
        return 1 if is_over(*self._wait, now) else 0

    def heard(self, delivery: Delivery, now: datetime) -> None:
        """Take in how an attempt went. A server that answers, whatever it says, is there."""
        if isinstance(delivery, Accepted) or delivery.fault == "reply":
            if self.away:
                self._back_since = now
            self._failures, self._wait = 0, None
            return
        if self._wait is not None and not is_over(*self._wait, now):
            return  # tried side by side with the one that found out
        self._failures += 1
        ceiling = min(LONGEST_SECONDS, 2.0 ** min(self._failures - 1, 16))
        self._wait = now, now + timedelta(seconds=ceiling * (1 - self._chance() / 2))

    def came_back_for(self, notice: Notice) -> bool:
        """Say whether a notice that failed for want of a server may go at once, since the server is back."""
        return (
            notice.fault == "connection"
            and not self.away
            and self._back_since is not None
            and (notice.last_attempt_time is None or notice.last_attempt_time < self._back_since)
        )
