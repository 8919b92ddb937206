"""Records of the log and the contract of what processes them.

The log is Kafka or the embedded one (`runherald.streams`); both hold topics of partitions of records, and keep a committed offset for each
consumer group. A processor sees neither: it is given records and returns records.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(Struct, frozen=True, order=True):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(Struct, frozen=True):
    """One record as it stands in the log. `timestamp` is when it was appended, in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Headers = ()

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it stands in."""
        return TopicPartition(self.topic, self.partition)


class Outgoing(Struct, frozen=True):
    """A record to append. The key decides the partition; records of one key keep their order."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()


class Position(Struct, frozen=True, order=True):
    """Where a record stands. History has passed a position when what is committed is above `offset`."""

    topic: str
    partition: int
    offset: int


class Processor(Protocol):
    """What turns records into records and rows.

    The runner's promise: the records of a partition come in order; what `process` returns is published and acknowledged before `flush`;
    offsets are committed only after `flush` has returned and what it returned is published; calls never overlap. Anything may be delivered
    again. A partition is assigned before its first record and its state is dropped when it is revoked, so nothing survives a rebalance
    by accident.

    The processor's promise: given the same records again, the same events with the same ids and the same rows come out.
    """

    name: str
    topics: tuple[str, ...]

    async def assigned(self, end_offsets: Mapping[TopicPartition, int]) -> None:
        """Take partitions on. `end_offsets` are those of the log at this moment: a record below them is from before."""

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of partitions, dropping what is buffered for them; whatever was not committed will come again, here or elsewhere."""

    async def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """Take records in and return what is to be published. Called without records when time has passed (about each second)."""
        ...

    async def flush(self) -> Sequence[Outgoing]:
        """Make durable whatever was taken in so far. What it returns (dead letters of rows that could not be stored) is published and
        acknowledged before the offsets are committed."""
        ...
