"""A processor that turns each event into rows, and nothing else: metrics and logs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from runherald.errors import InvalidEvent
from runherald.events import Event
from runherald.limits import SERVER_LIMITS, Limits
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.intake import Intake
from runherald.sinks.rows import TableRows
from runherald.sinks.writer import TableWriter
from runherald.streams.reported_event import reported_event


class Projection(Protocol):
    """Collects the rows that the events of one partition are in history."""

    def add(self, record: Record, event: Event) -> None:
        """Take an event in, in the log's order.

        Raises:
            InvalidEvent: it has no place in these tables; nothing of it was taken.
        """

    def drain(self) -> tuple[TableRows, ...]:
        """Return the rows since the last drain, by table, in the order in which they are to be written."""
        ...


class ColumnProcessor:
    """Buffers the rows of a topic's events by partition and stores them.

    Each partition has a projection of its own, made anew when the partition is assigned, so that what it remembers does not outlive that.
    """

    def __init__(
        self, name: str, topic: str, projection: Callable[[], Projection], writer: TableWriter, *, limits: Limits = SERVER_LIMITS
    ) -> None:
        self.name = name
        self.topics: tuple[str, ...] = (topic,)
        self._new_projection = projection
        self._projections: dict[TopicPartition, Projection] = {}
        self._intake = Intake(writer, name)
        self._limits = limits

    @property
    def pending(self) -> int:
        """How many records were taken in since the last flush."""
        return self._intake.pending

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read how far these partitions are stored."""
        await self._intake.assigned(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop what is buffered of these partitions."""
        self._intake.revoked(partitions)
        for partition in partitions:
            self._projections.pop(partition, None)

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Take in what is not stored yet; what cannot be read is returned as dead letters."""
        letters = []
        for record in await self._intake.take(records):
            try:
                self._projection(record.topic_partition).add(record, reported_event(record, self._limits))
            except InvalidEvent as error:
                letters.append(self._intake.bury(record, str(error)))
        return letters

    async def flush(self) -> Sequence[Outgoing]:
        """Store the rows; what the database does not take is returned as dead letters."""
        return await self._intake.store({partition: projection.drain() for partition, projection in self._projections.items()})

    def _projection(self, partition: TopicPartition) -> Projection:
        known = self._projections.get(partition)
        if known is None:
            known = self._projections[partition] = self._new_projection()
        return known
