"""When to stop rather than go on filling the dead letters."""

from __future__ import annotations

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
        window: records over which the share is taken.
    """

    consecutive: int = 500
    share: float = 0.5
    window: int = 2_000


DEFAULT_LIMIT = DeadLetterLimit()


class DeadLetterTally:
    """Counts what a processor made of its records."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._consecutive = 0
        self._records = 0
        self._dead = 0

    def add(self, records: Sequence[Record], outgoing: Sequence[Outgoing]) -> None:
        """Count records and the dead letters among what came of them.

        Raises:
            TooManyDeadLetters: a limit is passed.
        """
        origins = {_origin(letter) for letter in outgoing if letter.topic == DEAD_LETTERS}
        for record in records:
            dead = (record.topic.encode(), str(record.partition).encode(), str(record.offset).encode()) in origins
            self._consecutive = self._consecutive + 1 if dead else 0
            self._records += 1
            self._dead += dead
            self._check(record)
            if self._records >= self._limit.window:
                self._records = self._dead = 0

    def add_late(self, outgoing: Sequence[Outgoing]) -> None:
        """Count dead letters of records that were counted before: rows that could not be stored.

        Raises:
            TooManyDeadLetters: the share is passed.
        """
        letters = sum(letter.topic == DEAD_LETTERS for letter in outgoing)
        self._dead += letters
        if letters and self._dead >= self._limit.share * self._limit.window:
            raise TooManyDeadLetters(self._message(f"{self._dead} rows of the last {self._records} records could not be stored"))

    def _check(self, record: Record) -> None:
        where = f"{record.topic}/{record.partition} offset {record.offset}"
        if self._consecutive >= self._limit.consecutive:
            raise TooManyDeadLetters(self._message(f"{self._consecutive} records one after another could not be taken, up to {where}"))
        if self._records >= self._limit.window and self._dead >= self._limit.share * self._records:
            raise TooManyDeadLetters(self._message(f"{self._dead} of {self._records} records could not be taken, up to {where}"))

    @staticmethod
    def _message(what: str) -> str:
        return f"{what}: this looks like a fault of the code, not of the data. See runherald dead-letters list; restart to go on"


def _origin(letter: Outgoing) -> tuple[bytes, bytes, bytes]:
    headers = dict(letter.headers)
    return (
        headers.get("rh_origin_topic", b""),
        headers.get("rh_origin_partition", b""),
        headers.get("rh_origin_offset", b""),
    )
