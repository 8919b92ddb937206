"""Data in words for people: durations, local times, text that is safe on a terminal."""

from __future__ import annotations

import re
from datetime import datetime

from runherald.durations import short_duration

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_BRIEF = 60


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: `35 ms`, `2.35 s`, `12.3 s`, `4m 05s`, `3h 20m`, `2d 4h`."""
    if seconds is not None and seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return short_duration(seconds)


def local_time(moment: datetime | None) -> str:
    """Return a time in the zone of the machine, to the second."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_time(moment: datetime | None) -> str:
    """Return a time in the zone of the machine, for a narrow column."""
    return "" if moment is None else moment.astimezone().strftime("%b %d %H:%M")


def number(value: object) -> str:
    """Return a metric's value, shortened to six digits where it is a fraction."""
    return f"{value:.6g}" if isinstance(value, float) else plain(str(value))


def brief(value: object) -> str:
    """Return a metric's value for a table's cell: of what is long, as charts and texts can be, the beginning."""
    text = number(value)
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 1]}…"


def first_line(text: str) -> str:
    """Return a text's first line, safe to show."""
    return plain(text.strip().partition("\n")[0])


def plain(text: str) -> str:
    """Return a text with its control characters written out, so that what a run was named cannot steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)
