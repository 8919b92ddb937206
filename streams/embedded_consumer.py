"""Reading the embedded log: where its partitions end, and the consumer that waits for more."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from runherald.records import Headers, Record, TopicPartition
from runherald.streams.embedded_schema import OFFSET_BITS, position_of
from runherald.streams.errors import CommitRefused, LogClosed
from runherald.streams.log import OnPartitions

POLL_BYTES = 16 * 1024 * 1024
"""A poll returns no more than this and one record, whatever the number of records asked for."""

_SELECT = "SELECT position, timestamp, key, value, headers FROM records WHERE position >= ? AND position < ? ORDER BY position LIMIT ?"
_HEADERS = msgspec.msgpack.Decoder(Headers)
_OFFSET = (1 << OFFSET_BITS) - 1


class Tail:
    """Where each partition begins and ends. Whoever waits for more is woken when it ends further on."""

    def __init__(self, bounds: Mapping[TopicPartition, tuple[int, int]]) -> None:
        self._bounds = dict(bounds)
        self._changed = threading.Condition()
        self._closed = False

    def end(self, partition: TopicPartition) -> int:
        """Return the offset of the next record."""
        return self._bounds[partition][1]

    def bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return the oldest offset kept and the next one, for each partition."""
        with self._changed:
            return {partition: self._bounds[partition] for partition in partitions}

    def advance(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take note that partitions end further on."""
        with self._changed:
            for partition, end in ends.items():
                self._bounds[partition] = (self._bounds[partition][0], end)
            self._changed.notify_all()

    def drop(self, partition: TopicPartition, begin: int) -> None:
        """Take note that records below `begin` are gone."""
        with self._changed:
            self._bounds[partition] = (begin, self._bounds[partition][1])

    def close(self) -> None:
        """Wake whoever waits: there will be no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, positions: Mapping[TopicPartition, int], timeout: float) -> dict[TopicPartition, tuple[int, int]]:
        """Wait until a partition has a record at its position or above, and return the range to read of each that has.

        Raises:
            LogClosed: the log was closed.
        """

        def ahead() -> dict[TopicPartition, tuple[int, int]]:
            return {
                partition: (max(position, self._bounds[partition][0]), self._bounds[partition][1])
                for partition, position in positions.items()
                if self._bounds[partition][1] > position
            }

        with self._changed:
            self._changed.wait_for(lambda: self._closed or ahead(), timeout)
            if self._closed:
                raise LogClosed("the log is closed")
            return ahead()


class EmbeddedConsumer:
    """The consumer of a group: it has all the partitions from its first poll until it is closed."""

    def __init__(
        self,
        *,
        path: Path,
        partitions: Mapping[TopicPartition, int],
        positions: Mapping[TopicPartition, int],
        tail: Tail,
        commit: Callable[[Mapping[TopicPartition, int]], None],
        released: Callable[[], None],
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
    ) -> None:
        self._numbers = dict(partitions)
        self._positions = dict(positions)
        self._tail = tail
        self._commit = commit
        self._released = released
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._assigned = False
        self._closed = False
        self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)

    def reads(self, partition: TopicPartition) -> bool:
        """Say whether this consumer reads a partition."""
        return partition in self._numbers

    def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return the next records, waiting for the first; see `Consumer.poll`."""
        if not self._assigned:
            self._assigned = True
            self._on_assigned(list(self._numbers))
        ranges = self._tail.wait(self._positions, timeout)
        records: list[Record] = []
        size = 0
        for partition, (begin, end) in ranges.items():
            for record in self._read(partition, begin, end, max_records - len(records)):
                records.append(record)
                self._positions[partition] = record.offset + 1
                size += len(record.value)
                if size >= POLL_BYTES:
                    break
            # What has more goes to the back, so that one busy partition does not starve the others.
            self._positions[partition] = self._positions.pop(partition)
            if len(records) >= max_records or size >= POLL_BYTES:
                break
        return records

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offset to read, for each partition."""
        if self._closed:
            raise CommitRefused("the consumer is closed")
        self._commit(offsets)

    def close(self) -> None:
        """Let go of the group, for its next consumer."""
        if self._closed:
            return
        self._closed = True
        self._connection.close()
        self._released()
        if self._assigned:
            self._on_revoked(self._partitions())

    def _partitions(self) -> Collection[TopicPartition]:
        return list(self._numbers)

    def _read(self, partition: TopicPartition, begin: int, end: int, limit: int) -> Iterable[Record]:
        number = self._numbers[partition]
        cursor = self._connection.execute(_SELECT, (position_of(number, begin), position_of(number, end), limit))
        try:
            for position, timestamp, key, value, headers in cursor:
                yield Record(
                    topic=partition.topic,
                    partition=partition.partition,
                    offset=position & _OFFSET,
                    timestamp=timestamp,
                    key=key,
                    value=value,
                    headers=_HEADERS.decode(headers) if headers else (),
                )
        finally:
            # An open cursor keeps an old view of the file alive, and the WAL growing.
            cursor.close()
