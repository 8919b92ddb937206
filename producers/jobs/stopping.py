"""When a program is told to end, and when it is ended: decided here, done elsewhere."""

from __future__ import annotations

import signal

from msgspec.structs import replace

from runherald.status import Cause

from .verdict import Stopped

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the one way only


class Stopping:
    """Says which signal the program is to be sent next.

    Args:
        now: when the program began; seconds that never go back, as in all calls.
        max_seconds: how long it may run; 0 for ever.
        grace_seconds: how long it has to end, after it was told to.
    """

    def __init__(self, now: float, *, max_seconds: float, grace_seconds: float) -> None:
        self._limit_at = now + max_seconds if max_seconds else None
        self._max_seconds = max_seconds
        self._grace_seconds = grace_seconds
        self._kill_at: float | None = None
        self._asked: Stopped | None = None

    @property
    def asked(self) -> Stopped | None:
        """Why the program was told to end; None while it was not."""
        return self._asked

    def grace_left(self, now: float) -> float:
        """Return how many seconds what was told to end still has; 0 where nothing was, or where it was killed."""
        if self._kill_at is None or (self._asked is not None and self._asked.killed):
            return 0.0
        return max(self._kill_at - now, 0.0)

    def cancel(self, reason: str, now: float, *, signal_number: int = signal.SIGTERM) -> int | None:
        """Take a request to cancel; return the signal that is to be sent. The first one counts."""
        return self._ask(Stopped(cause=Cause.USER, reason=reason), now, signal_number)

    def interrupt(self, now: float) -> int | None:
        """Take a Ctrl-C: the program gets it, and a second one ends the waiting."""
        if self._asked is None:
            return self.cancel("Interrupted by the user (Ctrl-C).", now, signal_number=signal.SIGINT)
        return self._kill("It was killed by a second Ctrl-C.")

    def due(self, now: float) -> int | None:
        """Return the signal that is to be sent now because of the time that has passed."""
        if self._kill_at is not None and now >= self._kill_at:
            return self._kill(f"It did not end within {self._grace_seconds:g} s of that, and was killed.")
        if self._limit_at is not None and now >= self._limit_at:
            reason = f"Ran longer than its limit of {self._max_seconds:g} s."
            return self._ask(Stopped(cause=Cause.TIME_LIMIT, reason=reason), now, signal.SIGTERM)
        return None

    def _ask(self, asked: Stopped, now: float, signal_number: int) -> int | None:
        if self._asked is not None:
            return None
        self._asked = asked
        self._kill_at = now + self._grace_seconds
        return signal_number

    def _kill(self, how: str) -> int | None:
        if self._asked is None or self._asked.killed:
            return None
        self._asked = replace(self._asked, killed=how)
        return KILL
