"""A processor that stops when too many of its records become dead letters, and remembers over a restart why.

What was counted before a start is read back from `ingest_batches`: each processor writes there, before it commits, how many records of a
range of offsets became dead letters. So the count is as durable as the offsets are, holds across workers that hand partitions over, and
needs no state of its own. Reading the letters themselves would be later than the offsets: another processor stores them.

A stop is a mark in the dead letters' topic, for status, page and metrics. After the mark nothing is flushed any more, so of the records
that passed the limit nothing is stored or committed, and their dead letters are not published.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from runherald.clock import Clock
from runherald.dead_letters import Stopped, mark_record
from runherald.records import Outgoing, Processor, Record, TopicPartition
from runherald.streams.dead_letter_limit import DEFAULT_LIMIT, DeadLetterLimit, DeadLetterTally, Recalled
from runherald.streams.errors import TooManyDeadLetters

logger = logging.getLogger(__name__)

Recall = Callable[[Collection[TopicPartition]], Awaitable[Recalled]]
"""Returns what a processor made of the last records of some partitions."""


def remedy(processor: str) -> str:
    """Return what to do about a processor that stopped."""
    return (
        f"see `runherald dead-letters list --processor {processor}`; where the program is at fault, correct it and start again; where the "
        f"data are, `runherald dead-letters go-on {processor}`, and start again"
    )


class LimitedProcessor:
    """Runs a processor within a limit. Once that is passed it takes nothing more, until a fresh one is started."""

    def __init__(self, processor: Processor, recall: Recall, clock: Clock, *, limit: DeadLetterLimit = DEFAULT_LIMIT) -> None:
        self._processor = processor
        self.name = processor.name
        self.topics: tuple[str, ...] = tuple(processor.topics)
        self._recall = recall
        self._clock = clock
        self._tally = DeadLetterTally(limit)
        self._partitions: set[TopicPartition] = set()
        self._fault: TooManyDeadLetters | None = None
        self._stopped = False

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Take partitions on, and what was counted of them before."""
        await self._processor.assigned(end_offsets)
        self._partitions |= end_offsets.keys()
        self._tally.recall(await self._recall(frozenset(self._partitions)))

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of partitions."""
        self._partitions.difference_update(partitions)
        await self._processor.revoked(partitions)

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Take records in; when that passes the limit, return nothing of them but the mark of the stop.

        Raises:
            TooManyDeadLetters: the limit was passed before.
        """
        self._check()
        if self._fault is not None and records:
            # What was flushed is committed: let the processor set its watermarks, so that its count is there after a restart.
            await self._processor.process(())
            return self._stop(records[0], self._fault)
        outgoing = await self._processor.process(records)
        try:
            self._tally.add(records, outgoing)
        except TooManyDeadLetters as fault:
            return self._stop(records[0], fault)
        return outgoing

    async def flush(self) -> Sequence[Outgoing]:
        """Make durable what was taken in. Rows that could not be stored are dead letters; above the limit nothing is taken after them.

        Raises:
            TooManyDeadLetters: the limit was passed.
        """
        self._check()
        outgoing = await self._processor.flush()
        try:
            self._tally.add_late(outgoing)
        except TooManyDeadLetters as fault:
            self._fault = fault
        return outgoing

    def _stop(self, before: Record, fault: TooManyDeadLetters) -> Sequence[Outgoing]:
        self._fault = fault
        self._stopped = True
        place = f"{before.topic}/{before.partition} offset {before.offset}"
        logger.error("processor=%s event=stopped before=%s reason=%s; %s", self.name, place, fault, remedy(self.name))
        mark = Stopped(
            processor=self.name,
            topic=before.topic,
            partition=before.partition,
            offset=before.offset,
            time=self._clock(),
            reason=str(fault),
        )
        return [mark_record(mark)]

    def _check(self) -> None:
        if self._stopped:
            raise TooManyDeadLetters(f"{self._fault}: this looks like a fault of the code, not of the data; {remedy(self.name)}")
