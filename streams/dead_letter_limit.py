"""When to stop rather than go on filling the dead letters."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from runherald.records import Outgoing, Record
from runherald.streams.errors import TooManyDeadLetters
from runherald.topics import DEAD_LETTERS


class DeadLetterLimit(Struct, frozen=True):
    """Above these the code, not the data, is taken to be broken.

    Attributes:
        consecutive: so many records one after another.
        share: so much of a window, once the window is full.
        window: records over which the share is taken, the last ones.
    """

    consecutive: int = 500
    share: float = 0.5
    window: int = 2_000


DEFAULT_LIMIT = DeadLetterLimit()


class Counted(Struct, frozen=True):
    """Some records one after another, and how many of them became dead letters."""

    records: int
    dead: int


class Recalled(Struct, frozen=True):
    """What was counted before a start: the last records, oldest first, and how many dead letters more somebody said not to count."""

    counted: Sequence[Counted] = ()
    allowed: int = 0


class DeadLetterTally:
    """Counts what a processor made of its records. Only a dead letter can pass a limit: after a start, good records always go on."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._window: deque[Counted] = deque()
        self._consecutive = 0
        self._records = 0
        self._dead = 0
        self._allowed = 0

    def recall(self, recalled: Recalled) -> None:
        """Go on from what was counted before, in place of what is counted now."""
        self._window.clear()
        self._consecutive = self._records = self._dead = 0
        for counted in recalled.counted:
            self._consecutive = self._consecutive + counted.dead if counted.dead >= counted.records else 0
            self._count(counted)
        self._allowed = recalled.allowed

    def add(self, records: Sequence[Record], outgoing: Sequence[Outgoing]) -> None:
        """Count records and the dead letters among what came of them.

        Raises:
            TooManyDeadLetters: a limit is passed.
        """
        origins = {_origin(letter) for letter in outgoing if letter.topic == DEAD_LETTERS}
        dead = 0
        for record in records:
            if (record.topic.encode(), str(record.partition).encode(), str(record.offset).encode()) not in origins:
                self._consecutive = 0
            elif self._allowed:
                self._allowed -= 1
            else:
                dead += 1
                self._consecutive += 1
                if self._consecutive >= self._limit.consecutive:
                    raise TooManyDeadLetters(f"{self._consecutive} records one after another could not be taken, up to {_place(record)}")
        if records:
            self._count(Counted(len(records), dead))
        if dead and self._records >= self._limit.window and self._dead >= self._limit.share * self._records:
            raise TooManyDeadLetters(f"{self._dead} of {self._records} records could not be taken, up to {_place(records[-1])}")

    def add_late(self, outgoing: Sequence[Outgoing]) -> None:
        """Count dead letters of records that were counted before: rows that could not be stored.

        Raises:
            TooManyDeadLetters: the share is passed.
        """
        letters = sum(letter.topic == DEAD_LETTERS for letter in outgoing)
        forgiven = min(letters, self._allowed)
        self._allowed -= forgiven
        self._count(Counted(0, letters - forgiven))
        if letters > forgiven and self._dead >= self._limit.share * self._limit.window:
            raise TooManyDeadLetters(f"{self._dead} rows of the last {self._records} records could not be stored")

    def _count(self, counted: Counted) -> None:
        self._window.append(counted)
        self._records += counted.records
        self._dead += counted.dead
        # What was counted at once leaves at once, so the window holds a little more than its size.
        while self._records - self._window[0].records >= self._limit.window:
            oldest = self._window.popleft()
            self._records -= oldest.records
            self._dead -= oldest.dead


def _place(record: Record) -> str:
    return f"{record.topic}/{record.partition} offset {record.offset}"


def _origin(letter: Outgoing) -> tuple[bytes, bytes, bytes]:
    headers = dict(letter.headers)
    return (
        headers.get("rh_origin_topic", b""),
        headers.get("rh_origin_partition", b""),
        headers.get("rh_origin_offset", b""),
    )
