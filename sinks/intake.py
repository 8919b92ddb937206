"""What a processor has taken in and not stored yet, by partition."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from runherald.dead_letters import dead_letter
from runherald.records import Outgoing, Record, TopicPartition
from runherald.sinks.errors import LogReplaced
from runherald.sinks.rows import BadRecord, Range, TableRows


class RangeWriter(Protocol):
    """Stores the rows of ranges of offsets once; `runherald.sinks.writer.TableWriter` is one."""

    async def watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the highest stored offset of each partition, or -1."""
        ...

    async def write(self, ranges: Sequence[Range]) -> list[BadRecord]:
        """Store rows and return the records that could not be stored."""
        ...

    async def settle(self) -> None:
        """Set the watermarks that wait for dead letters to be published."""
        ...

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of partitions."""
        ...


class Intake:
    """Drops what is stored already, and keeps the records of the rest until their rows are stored.

    A record is kept because its row may turn out bad, and then it becomes a dead letter.
    """

    def __init__(self, writer: RangeWriter, processor: str) -> None:
        self._writer = writer
        self._processor = processor
        self._taken_to: dict[TopicPartition, int] = {}
        self._kept: dict[TopicPartition, dict[int, Record]] = {}
        self._dead: dict[TopicPartition, int] = {}

    @property
    def taken_to(self) -> Mapping[TopicPartition, int]:
        """The highest offset of each partition that is stored or taken in, or -1."""
        return self._taken_to

    @property
    def pending(self) -> int:
        """How many records were taken in since the last flush."""
        return sum(len(kept) for kept in self._kept.values())

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Read the watermarks of partitions; whatever is kept of them comes again, and is dropped.

        Raises:
            LogReplaced: a watermark is not below the log's end. To go on would skip whatever is appended from now on, and tell nobody.
        """
        self.revoked(end_offsets.keys())
        for partition, watermark in (await self._writer.watermarks(end_offsets.keys())).items():
            end = end_offsets[partition]
            if watermark >= end:
                raise LogReplaced(
                    f"{self._processor}: history has stored {partition.topic}/{partition.partition} up to offset {watermark}, but the log "
                    f"ends before {end}: it was emptied or replaced. Use the log that belongs to this history, or let history go on "
                    "with this one: runherald rebuild --new-log"
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
