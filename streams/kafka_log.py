"""The log on Kafka, by kafka-python.

Records are sent with acks=all by an idempotent producer, so that a resend within the client makes no second record; which topics there
are, and how they are kept, is `runherald.streams.topic_admin`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from runherald.records import Outgoing, Position, Record, TopicPartition
from runherald.streams.errors import CommitRefused, LogClosed
from runherald.streams.kafka_clients import (
    METADATA_SECONDS,
    STALE_MEMBER,
    ConsumerRebalanceListener,
    KafkaConsumer,
    KafkaPartition,
    KafkaProducer,
    OffsetAndMetadata,
)
from runherald.streams.kafka_offsets import BOOTSTRAP_SECONDS, KafkaOffsets, reaching
from runherald.streams.kafka_times import KafkaTimes
from runherald.streams.log import OnPartitions, check_size
from runherald.topics import TOPICS

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 60
"""An append that is not acknowledged after this is given up, and may be sent again: the identity of events makes that harmless."""
DEFAULT_MAX_BYTES = 1_048_576
_SLACK = 65_536
"""What Kafka adds to a record's key, value and headers, at most."""


class KafkaLog:
    """The log of a Kafka cluster.

    Raises:
        Unreachable: no broker answers within ten seconds.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._known: set[str] = set()
        self._closed = False
        with reaching(self._servers):
            self._producer = KafkaProducer(
                bootstrap_servers=self._servers,
                bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000,
                client_id="runherald",
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                # No lingering: whoever appends waits for the acknowledgement, and what many threads append meanwhile is one batch.
                linger_ms=0,
                batch_size=256 * 1024,
                max_request_size=DEFAULT_MAX_BYTES + _SLACK,
                max_block_ms=BOOTSTRAP_SECONDS * 1000,
                request_timeout_ms=30_000,
                delivery_timeout_ms=DELIVERY_SECONDS * 1000,
                metrics_enabled=False,
            )
        self._offsets = KafkaOffsets(self._servers)
        self._times = KafkaTimes(self._servers)

    def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append records; see `Log.append`."""
        for record in records:
            topic = TOPICS.get(record.topic)
            check_size(record, topic.max_message_bytes if topic else DEFAULT_MAX_BYTES)
        self._check_open()
        unknown = {record.topic for record in records} - self._known
        if unknown:
            self._offsets.check_topics(unknown)
            self._known |= unknown
        with reaching(self._servers):
            sent = [
                self._producer.send(record.topic, value=record.value, key=record.key, headers=list(record.headers)) for record in records
            ]
            metadata = [future.get(timeout=DELIVERY_SECONDS) for future in sent]
        return [Position(each.topic, each.partition, each.offset) for each in metadata]

    def begin_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record kept, for each partition."""
        return self._offsets.begin(topics)

    def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset that the next record gets, for each partition."""
        return self._offsets.end(topics)

    def times(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
        """Return when the first record kept at each offset or above it was appended; partitions without one are left out."""
        self._check_open()
        topics = {at.topic for at in positions}
        begins, ends = self._offsets.begin(topics), self._offsets.end(topics)
        kept = {at: max(offset, begins[at]) for at, offset in positions.items() if max(offset, begins[at]) < ends[at]}
        return self._times.read(kept)

    def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed."""
        return self._offsets.committed(group, topics)

    def consumer(self, group: str, topics: Collection[str], *, on_assigned: OnPartitions, on_revoked: OnPartitions) -> KafkaGroupConsumer:
        """Return a new member of the group; partitions are shared among its members."""
        self._check_open()
        self._offsets.check_topics(topics)
        return KafkaGroupConsumer(self._servers, group, topics, on_assigned=on_assigned, on_revoked=on_revoked)

    def close(self) -> None:
        """Send what is under way, and close the connections."""
        if self._closed:
            return
        self._closed = True
        self._producer.close(timeout=10)
        self._times.close()
        self._offsets.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LogClosed("the log is closed")


class KafkaGroupConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of a group. What the group hands out and takes back is told within `poll`, before the records that follow it."""

    def __init__(
        self, servers: Sequence[str], group: str, topics: Collection[str], *, on_assigned: OnPartitions, on_revoked: OnPartitions
    ) -> None:
        self._servers = servers
        self._group = group
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._assigned: frozenset[TopicPartition] = frozenset()
        # The client calls the listener in its own thread, where work would hold up its heartbeats: changes wait here for poll's thread.
        self._changes: list[tuple[OnPartitions, frozenset[TopicPartition]]] = []
        self._closed = False
        with reaching(servers):
            self._consumer = KafkaConsumer(
                bootstrap_servers=list(servers),
                bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000,
                client_id=group,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                session_timeout_ms=15_000,
                heartbeat_interval_ms=3_000,
                metadata_max_age_ms=int(METADATA_SECONDS * 1000),
                # A flush waits for ClickHouse as long as it is away; somebody else would have to wait as well.
                max_poll_interval_ms=600_000,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                metrics_enabled=False,
            )
            self._consumer.subscribe(topics=list(topics), listener=self)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Take note of what the group hands out."""
        self._changes.append((self._on_assigned, _partitions(assigned)))

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Take note of what the group takes back."""
        self._changes.append((self._on_revoked, _partitions(revoked)))

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """Take note of what went to somebody else while this member was not heard of."""
        self.on_partitions_revoked(lost)

    def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return the next records; see `Consumer.poll`."""
        with reaching(self._servers):
            # The client joins the group within its poll and before it fetches, so what is fetched is of the assignment noted last.
            batches = self._consumer.poll(timeout_ms=int(timeout * 1000), max_records=max_records)
        while self._changes:
            tell, partitions = self._changes.pop(0)
            if tell is self._on_revoked:
                partitions &= self._assigned
            self._assigned = self._assigned | partitions if tell is self._on_assigned else self._assigned - partitions
            if partitions:
                tell(partitions)
        return [
            Record(
                topic=each.topic,
                partition=each.partition,
                offset=each.offset,
                timestamp=each.timestamp,
                key=each.key,
                value=each.value or b"",
                headers=tuple(each.headers),
            )
            for batch in batches.values()
            for each in batch
        ]

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offset to read, for each partition."""
        try:
            with reaching(self._servers):
                self._consumer.commit(
                    {KafkaPartition(at.topic, at.partition): OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()},
                    timeout_ms=30_000,
                )
        except STALE_MEMBER as error:
            raise CommitRefused(
                f"group {self._group!r} has rebalanced ({type(error).__name__}); its records are delivered again"
            ) from error

    def close(self) -> None:
        """Leave the group, committing nothing."""
        if self._closed:
            return
        self._closed = True
        self._consumer.close(autocommit=False, timeout_ms=5_000)
        assigned, self._assigned = self._assigned, frozenset()
        if assigned:
            self._on_revoked(assigned)


def _partitions(partitions: Collection[Any]) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(at.topic, at.partition) for at in partitions)
