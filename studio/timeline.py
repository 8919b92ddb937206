"""The way of a run as a bar: which status it had for how long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from runherald.api import TransitionView
from runherald.status import TERMINAL

WIDTH = 1000.0
_LEAST = 4.0
"""A status that lasted milliseconds can still be seen and pointed at."""


class Segment(Struct, frozen=True, kw_only=True):
    """A status while it lasted.

    Attributes:
        end: when the next status came; None while it lasts and for the status a run ended with.
        seconds: how long it lasted or has lasted; None for the status a run ended with.
        x, width: of the bar, of `WIDTH` in all.
    """

    step: TransitionView
    end: datetime | None
    seconds: float | None
    x: float
    width: float


def segments(transitions: Sequence[TransitionView], now: datetime) -> list[Segment]:
    """Return the accepted transitions as parts of a bar, in order."""
    steps = [step for step in transitions if step.accepted]
    ends = [following.time for following in steps[1:]]
    lasts = [_seconds(step, end, now) for step, end in zip(steps, [*ends, None], strict=True)] if steps else []
    total = sum(seconds or 0.0 for seconds in lasts)
    room = WIDTH - _LEAST * len(steps)
    drawn: list[Segment] = []
    x = 0.0
    for step, end, seconds in zip(steps, [*ends, None], lasts, strict=True) if steps else ():
        width = _LEAST + (room * (seconds or 0.0) / total if total > 0 else room / len(steps))
        drawn.append(Segment(step=step, end=end, seconds=seconds, x=round(x, 2), width=round(width, 2)))
        x += width
    return drawn


def _seconds(step: TransitionView, end: datetime | None, now: datetime) -> float | None:
    if end is None and step.status in TERMINAL:
        return None
    # Two producers' clocks may differ: the later transition can have the earlier time.
    return max(0.0, ((end or now) - step.time).total_seconds())
