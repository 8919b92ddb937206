"""Lengths of time as people write and read them."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_LENGTH = re.compile(r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?")
_LONGEST_SECONDS = 10 * 366 * 86_400.0


def parse_length(text: str) -> timedelta | None:
    """Return the length that a text such as `90s`, `10m` or `1h30m` says, or None when it says none or one above ten years."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None or not text.strip():
        return None
    seconds = sum(_UNITS[unit] * float(number) for unit, number in found.groupdict().items() if number)
    return timedelta(seconds=seconds) if seconds <= _LONGEST_SECONDS else None


def say_length(length: timedelta) -> str:
    """Return a length in words: its two largest units, such as `0.4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes, rest = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60, whole % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
