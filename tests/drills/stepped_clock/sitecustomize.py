"""Python imports this when a process starts with this folder on its PYTHONPATH: the wall clock is the machine's plus what a file says.

All of the process's Python follows, but for `datetime.now` of code that does not go by `runherald.clock`.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, tzinfo
from typing import Any

import runherald.clock

_LOOK_SECONDS = 0.1
_NANOS = 1_000_000_000

_file = os.environ["RUNHERALD_DRILL_CLOCK"]
_time_ns = time.time_ns
_offset = 0
_looked = 0.0


def stepped_time_ns() -> int:
    """Return nanoseconds since 1970 by the stepped clock."""
    global _offset, _looked
    now = time.monotonic()
    if now - _looked >= _LOOK_SECONDS:
        with open(_file) as file:
            _offset = int(file.read()) * _NANOS
        _looked = now
    return _time_ns() + _offset


def stepped_time() -> float:
    """Return seconds since 1970 by the stepped clock."""
    return stepped_time_ns() / _NANOS


class SteppedDatetime(datetime):
    """Tells the time by the stepped clock; what it returns is a plain one, which encoders know."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        """Return the time now."""
        return datetime.fromtimestamp(stepped_time(), tz)


time.time_ns = stepped_time_ns
time.time = stepped_time
runherald.clock.datetime = SteppedDatetime  # type: ignore[attr-defined]
