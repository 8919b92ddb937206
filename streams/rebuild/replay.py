"""Records through a processor into the fresh tables: what is published in live is dropped here, the rows are the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from runherald.clock import Clock
from runherald.records import Processor, Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.streams.cycle import DEFAULT_POLICY
from runherald.streams.log import Log
from runherald.streams.rebuild.derived import Derived
from runherald.streams.rebuild.plan import Part
from runherald.streams.rebuild.reading import log_records, stored_events
from runherald.topics import DEAD_LETTERS

Say = Callable[[str], None]
"""Takes a line about the progress."""

SAY_EVERY = 2.0


class Replay:
    """Makes the rows of one processor again, part by part. May be called again for what has come since.

    Attributes:
        records: how many were read.
        dead: how many of them could not be taken; live they are dead letters.
        first_times: when the first record read of each partition was appended, in milliseconds since 1970.
    """

    def __init__(self, derived: Derived, log: Log, history: HistoryDatabase, fresh: HistoryDatabase, *, clock: Clock, say: Say) -> None:
        self._derived = derived
        self._log = log
        self._history = history
        self._fresh = fresh
        self._clock = clock
        self._say = say
        self._said = time.monotonic()
        self.records = 0
        self.dead = 0
        self.first_times: dict[TopicPartition, int] = {}

    async def run(self, parts: Sequence[Part]) -> None:
        """Read the parts to their ends and store what comes of them."""
        total = sum(part.from_log + (part.log_from if part.older == "run_events" else 0) for part in parts) + self.records
        processor = self._derived.make(self._fresh, self._clock)
        await processor.assigned({part.at: part.until for part in parts})
        taken = size = 0
        for records in self._read(parts):
            self._count(await processor.process(records), len(records))
            taken += len(records)
            size += sum(len(record.value) for record in records)
            if taken >= DEFAULT_POLICY.records or size >= DEFAULT_POLICY.size:
                await self._flush(processor)
                taken = size = 0
            self._progress(total)
        await self._flush(processor)
        self._say(f"{self._derived.processor}: {self.records} records read{f', {self.dead} of them dead letters' if self.dead else ''}")

    def _read(self, parts: Sequence[Part]) -> Iterator[Sequence[Record]]:
        for part in parts:
            if part.older == "run_events":
                yield from stored_events(self._history, part)
        for records in log_records(self._log, self._derived.processor, parts):
            for record in records:
                self.first_times.setdefault(record.topic_partition, record.timestamp)
            yield records

    async def _flush(self, processor: Processor) -> None:
        self._count(await processor.flush(), 0)

    def _count(self, outgoing: Sequence[object], records: int) -> None:
        self.records += records
        self.dead += sum(getattr(each, "topic", "") == DEAD_LETTERS for each in outgoing)

    def _progress(self, total: int) -> None:
        now = time.monotonic()
        if now - self._said >= SAY_EVERY:
            self._said = now
            self._say(f"{self._derived.processor}: {self.records} of {total} records")
