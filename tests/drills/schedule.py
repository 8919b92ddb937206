"""Which faults strike when: a pure function of a seed, so that a drill that fails can be run again."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from msgspec import Struct


class Fault(Struct, frozen=True, kw_only=True):
    """One fault.

    Attributes:
        at: seconds from the beginning of the drill.
        kind: one of those that the world under drill can strike with.
        lasts: seconds, for those that last.
        draw: from 0 to 1, for whatever is left to chance, such as which of several processes.
    """

    at: float
    kind: str
    lasts: float
    draw: float


def schedule(seed: int, seconds: float, kinds: Collection[str], *, every: float, longest: float = 4.0) -> Sequence[Fault]:
    """Return faults for so many seconds, one about every so many, each kind as often as any other, in an order of its own for each seed."""
    draw = random.Random(seed)
    faults: list[Fault] = []
    deck: list[str] = []
    at = every
    while at < seconds:
        if not deck:
            deck = sorted(kinds)
            draw.shuffle(deck)
        faults.append(Fault(at=at, kind=deck.pop(), lasts=draw.uniform(0.5, longest), draw=draw.random()))
        at += every * draw.uniform(0.5, 1.5)
    return faults
