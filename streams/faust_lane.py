"""A processor on Faust: an agent that reads, and the cycle that processes, flushes, and only then acknowledges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runherald.records import Outgoing, Processor, TopicPartition
from runherald.streams.arrivals import Arrivals
from runherald.streams.cycle import Cycle, FlushPolicy
from runherald.streams.fill import Fill
from runherald.streams.kafka_offsets import KafkaOffsets
from runherald.streams.log import group_of


class FaustLane:
    """Runs one processor on an app. What the processor raises ends `run`, with nothing acknowledged that was not flushed."""

    def __init__(self, app: Any, processor: Processor, offsets: KafkaOffsets, *, policy: FlushPolicy) -> None:
        self._app = app
        self._processor = processor
        self._offsets = offsets
        self._arrivals = Arrivals()
        self._cycle = Cycle(processor, _FaustChannel(app, self._arrivals), clock=time.monotonic, policy=policy)
        # The processor's calls must not overlap, and Faust tells of partitions whenever the group changes.
        self._calling = asyncio.Lock()
        self._new: dict[TopicPartition, int] = {}
        self._stopping = False
        self.called_since: float | None = None
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        topic = app.topic(*processor.topics, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)

        # Acknowledged by hand, in the order of offsets, by one reader alone: an acknowledgement must never overtake another.
        async def read(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._arrivals.put(event)

        app.agent(topic, name=f"runherald.{processor.name}", concurrency=1)(read)

    async def run(self) -> None:
        """Process until a stop is asked for; then flush and commit what was taken in."""
        while not self._stopping:
            await self._arrivals.wait(self._cycle.seconds_to_next())
            async with self._calling:
                self.called_since = time.monotonic()
                await self._take_on()
                records = self._arrivals.take()
                if records:
                    await self._cycle.take(records)
                await self._cycle.tick()
                self.called_since = None
        async with self._calling:
            await self._cycle.flush()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stopping = True
        self._arrivals.wake()

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to be taken, for each partition that this worker has."""
        return self._arrivals.positions()

    def fills(self) -> list[Fill]:
        """Return how full the places are where records wait here, in their order."""
        return [self._app.fill(), self._arrivals.fill(), self._cycle.fill()]

    async def _on_assigned(self, _app: Any, assigned: Collection[Any], **_: Any) -> None:
        partitions = _partitions(assigned, self._processor.topics)
        begins, ends, committed = await asyncio.to_thread(self._ask)
        # The processor is told in `run`: it asks history, which may be slow, and until this returns the client sends no heartbeats.
        self._new.update({partition: ends[partition] for partition in partitions})
        self._arrivals.assigned({partition: max(begins[partition], committed.get(partition, 0)) for partition in partitions})

    async def _on_revoked(self, _app: Any, revoked: Collection[Any], **_: Any) -> None:
        partitions = _partitions(revoked, self._processor.topics)
        self._arrivals.revoked(partitions)
        for partition in partitions:
            self._new.pop(partition, None)
        async with self._calling:
            # Again: what was being processed meanwhile is the old owner's, and must not be acknowledged for the next one.
            self._arrivals.revoked(partitions)
            await self._cycle.revoked(partitions)

    async def _take_on(self) -> None:
        """Hand new partitions to the processor, before the first record of them is taken."""
        while self._new:
            new, self._new = self._new, {}
            await self._cycle.assigned(new)

    def _ask(self) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
        topics = self._processor.topics
        return self._offsets.begin(topics), self._offsets.end(topics), self._offsets.committed(group_of(self._processor.name), topics)


class _FaustChannel:
    """Publishing and committing through the app."""

    def __init__(self, app: Any, arrivals: Arrivals) -> None:
        self._app = app
        self._arrivals = arrivals

    async def publish(self, records: Sequence[Outgoing]) -> None:
        producer = self._app.producer
        await producer.maybe_start()
        sent = [
            await producer.send(each.topic, each.key, each.value, partition=None, timestamp=None, headers=list(each.headers))
            for each in records
        ]
        await asyncio.gather(*sent)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._arrivals.acknowledge(offsets)
        # False says that the timer's commit was under way, perhaps without these: a second one surely has them.
        if not await self._app.consumer.commit():
            await self._app.consumer.commit()


def _partitions(partitions: Collection[Any], topics: Collection[str]) -> list[TopicPartition]:
    return [TopicPartition(each.topic, each.partition) for each in partitions if each.topic in topics]
