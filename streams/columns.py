"""A processor that turns each event into rows, and nothing else: metrics and logs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from runherald.errors import InvalidEvent
from runherald.events import Event
from runherald.limits import DEFAULT_LIMITS, Limits
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.rows import TableRows
from runherald.sinks.writer import TableWriter
from runherald.streams.intake import Intake

Placed = tuple[Record, Event]
"""A record and the event it carries."""

Projection = Callable[[Sequence[Placed]], tuple[TableRows, ...]]
"""Turns events of one partition, in the log's order, into rows by table, in the order in which they are to be written."""


class ColumnProcessor:
    """Buffers the events of a topic by partition and stores what a projection makes of them.

    Each partition has a projection of its own, made anew when the partition is assigned, so that what it remembers does not outlive that.
    """

    def __init__(
        self, name: str, topic: str, projection: Callable[[], Projection], writer: TableWriter, *, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.name = name
        self.topics: tuple[str, ...] = (topic,)
        self._new_projection = projection
        self._projections: dict[TopicPartition, Projection] = {}
        self._events: dict[TopicPartition, list[Placed]] = {}
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
            self._events.pop(partition, None)

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Take in what is not stored yet; what cannot be read is returned as dead letters."""
        letters = []
        for record in await self._intake.take(records):
            try:
                event = self._intake.read(record, self._limits)
            except InvalidEvent as error:
                letters.append(self._intake.bury(record, str(error)))
            else:
                self._events.setdefault(record.topic_partition, []).append((record, event))
        return letters

    async def flush(self) -> Sequence[Outgoing]:
        """Store the rows; what the database does not take is returned as dead letters."""
        tables = {partition: self._projection(partition)(events) for partition, events in self._events.items()}
        letters = await self._intake.store(tables)
        self._events.clear()
        return letters

    def _projection(self, partition: TopicPartition) -> Projection:
        return self._projections.setdefault(partition, self._new_projection())
