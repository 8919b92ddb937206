"""Durations as people write and read them."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")
_LONGEST_SECONDS = 10 * 366 * 86_400.0


def parse_duration(text: str) -> timedelta | None:
    """Return the duration that a text such as `90s`, `10m` or `1h30m` says, or None when it says none or one above ten years."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not text.strip():
        return None
    seconds = sum(_UNITS[unit] * float(number) for unit, number in found.groupdict().items() if number)
    return timedelta(seconds=seconds) if seconds <= _LONGEST_SECONDS else None


def short_duration(seconds: float | None) -> str:
    """Return seconds for a column, where durations stand below each other: `0.35 s`, `12.3 s`, `4m 05s`, `3h 20m`, `2d 4h`.

    `static/live.js` of the studio counts on in the same form.
    """
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    days, hours, minutes, rest = _split(seconds)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def duration_in_words(length: timedelta) -> str:
    """Return a duration for a sentence, in its two largest units: `0.4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`; below zero is 0."""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    parts = list(zip(_split(seconds), ("d", "h", "min", "s"), strict=True))
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def _split(seconds: float) -> tuple[int, int, int, int]:
    """Return days, hours, minutes and seconds, rounded to the second."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return days, hours, minutes, rest
