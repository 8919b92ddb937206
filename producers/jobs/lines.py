"""What of a console goes to history: its lines, as a reader of the terminal would have seen them, and not more than history can take."""

from __future__ import annotations

import re
from collections import deque

MAX_LINE_BYTES = 16_000
"""What is kept of a line for history; what the program printed is whole in the console's file."""
BURST_BYTES = 32 << 20
BYTES_A_SECOND = 256 << 10
_LINE_BYTES = 32
"""What a line costs beside its text: its number and time."""
_LAST_LINES = 200
_SEQUENCE_BYTES = 16
"""Longer than what terminals are steered with: such a state may be the beginning of that."""
_NOTHING_SEEN = re.compile(r"(?:\x1b\[[0-9;?]*[A-Za-z]|\s)*")


class LineSplitter:
    """Turns the bytes of a console into lines. Of a line that was written over with `\\r`, as progress bars are, the last state counts."""

    def __init__(self) -> None:
        self._rest = b""
        self._left_out = 0

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that end in a chunk."""
        whole, end, rest = chunk.rpartition(b"\n")
        if not end:
            self._hold(chunk)
            return []
        if self._left_out:  # of an overlong line only the beginning is held
            last, end, whole = whole.partition(b"\n")
            self._hold(last)
            lines = [self._line(self._rest, self._left_out), *(self._lines(whole) if end else [])]
        else:
            lines = self._lines(self._rest + whole)
        self._rest, self._left_out = b"", 0
        self._hold(rest)
        return lines

    def close(self) -> list[str]:
        """Return the last line, if it has no end."""
        lines = [self._line(self._rest, self._left_out)] if self._rest else []
        self._rest, self._left_out = b"", 0
        return lines

    def _lines(self, whole: bytes) -> list[str]:
        return [self._line(line) if b"\r" in line or len(line) > MAX_LINE_BYTES else _text(line) for line in whole.split(b"\n")]

    def _line(self, line: bytes, left_out: int = 0) -> str:
        shown = _last_state(line)
        left_out += max(len(shown) - MAX_LINE_BYTES, 0)
        text = _text(shown[:MAX_LINE_BYTES])
        return f"{text}… ({left_out} more bytes of this line are in the run's file alone)" if left_out else text

    def _hold(self, part: bytes) -> None:
        """Keep the beginning of a line that has not ended."""
        if b"\r" in part:
            self._rest, self._left_out = _last_state(self._rest + part, keep_end=True), 0
        elif self._left_out:
            self._left_out += len(part)
            return
        else:
            self._rest += part
        if len(self._rest) > MAX_LINE_BYTES:
            self._left_out = len(self._rest) - MAX_LINE_BYTES
            self._rest = self._rest[:MAX_LINE_BYTES]


class Allowance:
    """Lets lines through to history as long as they are not too many: a burst at once, a rate in the long run.

    What is left out is said in a line of its own, and the last lines always come: they say how a program ended.

    Args:
        burst: bytes that are let through at once.
        rate: bytes a second after that.
    """

    def __init__(self, now: float, *, burst: float = BURST_BYTES, rate: float = BYTES_A_SECOND) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._at = now
        self._skipped: deque[str] = deque(maxlen=_LAST_LINES)
        self._skipped_lines = 0
        self._skipped_bytes = 0

    def admit(self, lines: list[str], now: float) -> list[str]:
        """Return what is to go to history of some lines."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        cost = sum(map(len, lines)) + _LINE_BYTES * len(lines)
        if self._skipped_lines and self._left < self._burst / 16:
            return self._skip(lines)  # until there is room for a stretch of them, not for one line in a hundred
        if cost <= self._left:
            self._left -= cost
            return [*self._gap(0), *lines]
        kept, following = self._fitting(lines)
        said = [*self._gap(0), *kept]
        self._skip(following)
        return said

    def close(self) -> list[str]:
        """Return what is to follow at the end: what was left out last, and the last lines of that."""
        last = list(self._skipped)
        return [*self._gap(len(last)), *last]

    def _fitting(self, lines: list[str]) -> tuple[list[str], list[str]]:
        for at, line in enumerate(lines):
            self._left -= len(line) + _LINE_BYTES
            if self._left < 0:
                self._left = 0.0
                return lines[:at], lines[at:]
        return lines, []

    def _skip(self, lines: list[str]) -> list[str]:
        self._skipped.extend(lines[-_LAST_LINES:])
        self._skipped_lines += len(lines)
        self._skipped_bytes += sum(map(len, lines))
        return []

    def _gap(self, shown: int) -> list[str]:
        """Return the line that says what was left out before; `shown` of the last lines follow after all."""
        count, size = self._skipped_lines - shown, self._skipped_bytes
        self._skipped.clear()
        self._skipped_lines = self._skipped_bytes = 0
        if not count:
            return []
        return [f"[runherald: {count} lines, {size} characters, are left out of history here; the run's file has them]"]


def _last_state(line: bytes, *, keep_end: bool = False) -> bytes:
    """Return what a terminal shows of a line last. `keep_end`: more may follow, so that what a short state replaces is kept, too."""
    if b"\r" not in line:
        return line
    *before, last = line.split(b"\r")
    if not (keep_end and len(last) < _SEQUENCE_BYTES) and not _is_blank(last):
        return last
    shown = next((part for part in reversed(before) if not _is_blank(part)), b"")
    if not keep_end:
        return shown
    return shown + b"\r" + last if shown else last


def _is_blank(part: bytes) -> bool:
    return _NOTHING_SEEN.fullmatch(_text(part[:MAX_LINE_BYTES])) is not None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
