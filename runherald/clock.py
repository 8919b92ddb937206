"""Time, passed in as an argument so that tests can hold it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the time now, aware and in UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def system_clock() -> datetime:
    """Return the wall clock's time in UTC."""
    return datetime.now(UTC)


def to_micros(moment: datetime) -> int:
    """Return microseconds since 1970 of an aware time, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC time of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def micros_now() -> int:
    """Return the wall clock in microseconds since 1970."""
    return time.time_ns() // 1000
