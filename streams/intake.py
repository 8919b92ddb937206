"""What a processor of history has taken in and not stored yet, by partition."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from runherald.dead_letters import dead_letter
from runherald.errors import InvalidEvent, RunheraldError
from runherald.events import Event
from runherald.limits import DEFAULT_LIMITS, Limits
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.rows import BadRecord, Range, TableRows
from runherald.sinks.writer import TableWriter
from runherald.topics import topic_of
from runherald.validation import check_event
from runherald.wire import from_record


class LogBehindHistory(RunheraldError):
    """History holds more of a partition than the log does: the log was emptied or replaced."""


class Intake:
    """Drops what is stored already, and keeps the records of the rest until their rows are stored.

    A record is kept because its row may turn out bad, and then it becomes a dead letter.
    """

    def __init__(self, writer: TableWriter, processor: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._writer = writer
        self._limits = limits
        self._processor = processor
        self._taken_to: dict[TopicPartition, int] = {}
        self._kept: dict[TopicPartition, dict[int, Record]] = {}
        self._dead: dict[TopicPartition, int] = {}

    @property
    def pending(self) -> int:
        """How many records were taken in since the last flush."""
        return sum(len(kept) for kept in self._kept.values())

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read the watermarks of the partitions.

        Raises:
            LogBehindHistory: a watermark is not below the log's end. To go on would skip whatever is appended from now on.
        """
        for partition, watermark in (await self._writer.watermarks(end_offsets.keys())).items():
            end = end_offsets[partition]
            if watermark >= end:
                raise LogBehindHistory(
                    f"{self._processor}: history has stored {partition.topic}/{partition.partition} up to offset {watermark}, but the log "
                    f"ends before {end}: it was emptied or replaced. Use the log that belongs to this history, or another history"
                )
            self._taken_to[partition] = watermark

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drop what is kept of partitions."""
        for partition in partitions:
            self._taken_to.pop(partition, None)
            self._kept.pop(partition, None)
            self._dead.pop(partition, None)
        self._writer.forget(partitions)

    async def take(self, records: Sequence[Record]) -> list[Record]:
        """Return the records that are new, and keep them."""
        await self._writer.settle()
        missing = {record.topic_partition for record in records} - self._taken_to.keys()
        if missing:
            self._taken_to.update(await self._writer.watermarks(missing))
        fresh = []
        for record in records:
            partition = record.topic_partition
            if record.offset > self._taken_to[partition]:
                self._taken_to[partition] = record.offset
                self._kept.setdefault(partition, {})[record.offset] = record
                fresh.append(record)
        return fresh

    def read(self, record: Record) -> Event:
        """Return the event of a record when it may be taken from this topic.

        Raises:
            InvalidEvent: it may not; names the field.
        """
        event = from_record(record)
        check_event(event, self._limits)
        if topic_of(event.type) != record.topic:
            raise InvalidEvent("ce_type", f"events of this type belong to {topic_of(event.type)}")
        if record.key != event.run_id.encode():
            raise InvalidEvent("key", "is not the run id (ce_subject): events of a run would not stay in order")
        return event

    def bury(self, record: Record, reason: str) -> Outgoing:
        """Return the dead letter of a record taken in, and count it."""
        partition = record.topic_partition
        self._dead[partition] = self._dead.get(partition, 0) + 1
        return dead_letter(record, processor=self._processor, reason=reason)

    async def store(self, tables: Mapping[TopicPartition, tuple[TableRows, ...]]) -> list[Outgoing]:
        """Write the rows of what is kept, let go of it, and return the dead letters of what the database does not take."""
        bad = await self._writer.write(list(self._ranges(tables)))
        letters = [self._letter(record) for record in _one_a_record(bad)]
        self._kept.clear()
        self._dead.clear()
        return letters

    def _ranges(self, tables: Mapping[TopicPartition, tuple[TableRows, ...]]) -> Iterator[Range]:
        for partition, kept in self._kept.items():
            yield Range(partition, min(kept), max(kept), tables.get(partition, ()), self._dead.get(partition, 0))

    def _letter(self, bad: BadRecord) -> Outgoing:
        return dead_letter(self._kept[bad.partition][bad.offset], processor=self._processor, reason=bad.reason)


def _one_a_record(bad: Sequence[BadRecord]) -> Collection[BadRecord]:
    """A record may have bad rows in several tables: the first reason is enough."""
    first: dict[tuple[TopicPartition, int], BadRecord] = {}
    for record in bad:
        first.setdefault((record.partition, record.offset), record)
    return first.values()
