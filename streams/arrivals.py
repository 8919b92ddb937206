"""What a Faust agent has read and a processor has not taken yet: bounded, and only ever the next records of each partition."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from runherald.records import Record, TopicPartition
from runherald.streams.errors import OutOfOrder
from runherald.streams.fill import Fill

logger = logging.getLogger(__name__)

MAX_RECORDS = 4_000
MAX_BYTES = 16 * 1024 * 1024
STRAYS = 1
"""Records of an earlier assignment that an agent may have in hand when partitions change: it has one at a time."""


class Arrivals:
    """Events between an agent and a processor, and those that wait for their acknowledgement.

    A partition's events are taken only in an unbroken row from where its group has committed: whatever Faust makes of a rebalance, no
    record can be skipped and then committed past.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Any, Record]] = deque()
        self._bytes = 0
        self._next: dict[TopicPartition, int] = {}
        self._strays: dict[TopicPartition, int] = {}
        self._taken: dict[TopicPartition, deque[tuple[Any, int]]] = {}
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._assignment = 0

    async def put(self, event: Any) -> None:
        """Add an event, when there is room. One that waited while partitions changed hands is dropped: it comes again."""
        assignment = self._assignment
        while not self._room.is_set():
            await self._room.wait()
        if assignment != self._assignment:
            return
        record = record_of(event.message)
        self._waiting.append((event, record))
        self._bytes += len(record.value)
        if len(self._waiting) >= MAX_RECORDS or self._bytes >= MAX_BYTES:
            self._room.clear()
        self._arrived.set()

    async def wait(self, seconds: float) -> None:
        """Wait until there is something to take, at most so many seconds."""
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return

    def wake(self) -> None:
        """Let `wait` return."""
        self._arrived.set()

    def take(self) -> list[Record]:
        """Return the records that have come, those of a partition in an unbroken row.

        Faust may read a partition before it has told of it: such records wait until `assigned`.

        Raises:
            OutOfOrder: records are missing before one that came.
        """
        self._arrived.clear()
        records = []
        early: deque[tuple[Any, Record]] = deque()
        for event, record in self._waiting:
            if record.topic_partition not in self._next:
                early.append((event, record))
            elif self._follows(record):
                records.append(record)
                self._taken.setdefault(record.topic_partition, deque()).append((event, record.offset))
        self._hold(early)
        return records

    def acknowledge(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Acknowledge to Faust, in their order, the events below the offsets."""
        for partition, offset in offsets.items():
            taken = self._taken.get(partition, deque())
            while taken and taken[0][1] < offset:
                event, _ = taken.popleft()
                event.ack()

    def assigned(self, positions: Mapping[TopicPartition, int]) -> None:
        """Expect the records of these partitions from these offsets on."""
        for partition, position in positions.items():
            self._next[partition] = position
            self._strays[partition] = STRAYS
        self._hold(deque((event, record) for event, record in self._waiting if record.topic_partition in self._next))
        self._arrived.set()

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop what has come of these partitions, and what waits for its acknowledgement."""
        self._assignment += 1
        for partition in partitions:
            self._next.pop(partition, None)
            self._taken.pop(partition, None)
        self._hold(deque((event, record) for event, record in self._waiting if record.topic_partition not in partitions))

    def fill(self) -> Fill:
        """Return how full it is."""
        return Fill("arrivals", len(self._waiting), MAX_RECORDS, self._bytes, MAX_BYTES)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to be taken, for each partition."""
        return dict(self._next)

    def _hold(self, waiting: deque[tuple[Any, Record]]) -> None:
        self._waiting = waiting
        self._bytes = sum(len(record.value) for _, record in waiting)
        if len(waiting) < MAX_RECORDS and self._bytes < MAX_BYTES:
            self._room.set()

    def _follows(self, record: Record) -> bool:
        partition = record.topic_partition
        expected = self._next[partition]
        if record.offset < expected:
            return False
        if record.offset == expected:
            self._next[partition] = expected + 1
            return True
        if self._strays[partition] > 0:
            self._strays[partition] -= 1
            return False
        raise OutOfOrder(
            f"{record.topic}/{record.partition}: offset {record.offset} came where {expected} was due;"
            " the worker ends before anything is committed past it, and reads again from there"
        )


def record_of(message: Any) -> Record:
    """Return the record of a Faust message."""
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp=round(message.timestamp * 1000),
        key=message.key,
        value=message.value or b"",
        headers=tuple(message.headers.items() if isinstance(message.headers, Mapping) else message.headers or ()),
    )
