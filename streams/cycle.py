"""The order of effects: the one place where it is written.

    process → publish what it returned, acknowledged → … → flush → publish what it returned, acknowledged → commit

A crash between any two steps means that records come again, never that one is skipped: an offset is committed only when everything that
came of the records below it is in the log or in the tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from runherald.records import Outgoing, Processor, Record, TopicPartition
from runherald.streams.fill import Fill

TICK_SECONDS = 1.0
"""How often a processor is called without records, so that it notices time passing."""

Monotonic = Callable[[], float]
"""Returns seconds that never go back."""


class FlushPolicy(Struct, frozen=True):
    """When what was taken in is made durable: at so many records, so many bytes, or so many seconds after the first.

    A lane that has rested for `age` flushes `quiet` seconds after the last record already: what comes alone, such as the end of a run, is
    there at once, and a trickle still costs no more than one flush in each `age`.
    """

    records: int = 20_000
    size: int = 16 * 1024 * 1024
    age: float = 0.5
    quiet: float = 0.05


DEFAULT_POLICY = FlushPolicy()


class Taken(Struct, frozen=True):
    """What was taken in since the last flush.

    Attributes:
        since: when the first of it was taken, if there is any.
        last: when the last of it was.
        flushed: when the flush before was.
    """

    records: int = 0
    size: int = 0
    since: float | None = None
    last: float = 0.0
    flushed: float = -math.inf


def flush_due(taken: Taken, policy: FlushPolicy, now: float) -> bool:
    """Say whether it is time to flush."""
    if taken.since is None:
        return False
    return taken.records >= policy.records or taken.size >= policy.size or now >= flush_time(taken, taken.since, policy)


def fitting(records: Sequence[Record], taken: Taken, policy: FlushPolicy) -> int:
    """Return how many of the records fit in before a flush: at least one, and no more than the one that makes it due."""
    size = taken.size
    for count, record in enumerate(records[: max(1, policy.records - taken.records)], 1):
        size += len(record.value)
        if size >= policy.size:
            return count
    return min(len(records), max(1, policy.records - taken.records))


def flush_time(taken: Taken, since: float, policy: FlushPolicy) -> float:
    """Return when it is time to flush if nothing more comes; `since` is when the first record was taken."""
    return min(since + policy.age, max(taken.last + policy.quiet, taken.flushed + policy.age))


class Channel(Protocol):
    """What a runner does on the log for a cycle."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append records; returns when they are acknowledged."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offset to read, for each partition."""
        ...


class Cycle:
    """Drives one processor in the order of effects. Calls must not overlap.

    What the processor or the channel raises goes through: the runner then drops the processor, and starts a fresh one from the committed
    offsets.
    """

    def __init__(
        self,
        processor: Processor,
        channel: Channel,
        *,
        clock: Monotonic,
        policy: FlushPolicy = DEFAULT_POLICY,
    ) -> None:
        self._processor = processor
        self._channel = channel
        self._clock = clock
        self._policy = policy
        self._taken = Taken()
        self._offsets: dict[TopicPartition, int] = {}
        self._ticked = clock()

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Hand partitions to the processor."""
        await self._processor.assigned(end_offsets)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions from the processor. What was not committed of them is not ours to commit any more."""
        for partition in partitions:
            self._offsets.pop(partition, None)
        await self._processor.revoked(partitions)

    async def take(self, records: Sequence[Record]) -> None:
        """Process records and publish what comes of them; flush whenever it is time, so that no more is held than the policy says."""
        while records:
            count = fitting(records, self._taken, self._policy)
            await self._process(records[:count])
            if flush_due(self._taken, self._policy, self._clock()):
                await self.flush()
            records = records[count:]

    def fill(self) -> Fill:
        """Return how much was taken in and is not durable yet."""
        return Fill("taken", self._taken.records, self._policy.records, self._taken.size, self._policy.size)

    async def tick(self) -> None:
        """Let the processor notice time, about once a second; flush if it is time."""
        now = self._clock()
        if now - self._ticked >= TICK_SECONDS:
            self._ticked = now
            await self._process(())
        if flush_due(self._taken, self._policy, self._clock()):
            await self.flush()

    async def flush(self) -> None:
        """Make durable what was taken in, publish what that returned, and commit."""
        await self._publish(await self._processor.flush())
        offsets, self._offsets = self._offsets, {}
        self._taken = Taken(flushed=self._clock())
        if offsets:
            await self._channel.commit(offsets)

    def seconds_to_next(self) -> float:
        """Return how long may be waited for records before `tick` is due."""
        now = self._clock()
        wait = self._ticked + TICK_SECONDS - now
        if self._taken.since is not None:
            wait = min(wait, flush_time(self._taken, self._taken.since, self._policy) - now)
        return max(0.0, wait)

    async def _process(self, records: Sequence[Record]) -> None:
        outgoing = await self._processor.process(records)
        await self._publish(outgoing)
        for record in records:
            self._offsets[record.topic_partition] = record.offset + 1
        if records or outgoing:
            now = self._clock()
            self._taken = Taken(
                records=self._taken.records + len(records),
                size=self._taken.size + sum(len(record.value) for record in records),
                since=now if self._taken.since is None else self._taken.since,
                last=now,
                flushed=self._taken.flushed,
            )

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        if outgoing:
            await self._channel.publish(outgoing)
