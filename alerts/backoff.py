"""When to try again."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_SECONDS = 1.0
GROWTH = 4.0
LONGEST_SECONDS = 3_600.0
"""Twelve attempts then reach over some six hours: quick at first, since news ages, slow later."""


def next_delay(failures: int, chance: float) -> timedelta:
    """Return how long to wait after so many failures, at least 1. `chance`, from 0 to 1, takes off up to half: not all come at once."""
    ceiling = min(LONGEST_SECONDS, FIRST_SECONDS * GROWTH ** min(failures - 1, 16))
    return timedelta(seconds=ceiling * (1 - chance / 2))


def is_over(since: datetime, until: datetime, now: datetime) -> bool:
    """Say whether a wait is over. By a clock that was set back to before the wait began nobody knows how long it was: then it is over."""
    return not since <= now < until
