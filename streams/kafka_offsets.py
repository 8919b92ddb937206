"""Where partitions begin and end on Kafka, and what groups have committed, asked of the brokers by a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from runherald.errors import Unreachable
from runherald.records import TopicPartition
from runherald.streams.errors import UnknownTopic
from runherald.streams.kafka_clients import (
    BROKER_CHANGES,
    STALE_MEMBER,
    STALE_PLACES,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaError,
    KafkaPartition,
    UnknownTopicOrPartitionError,
)

BOOTSTRAP_SECONDS = 10
ANSWER_SECONDS = 3
PATIENCE_SECONDS = 20
"""Of several brokers one may be away: within some ten seconds another has taken its partitions over."""
PAUSE_SECONDS = 0.2

T = TypeVar("T")


class KafkaOffsets:
    """Asks for offsets. Thread-safe: one question at a time.

    Raises:
        Unreachable: no broker answers within ten seconds, or none knows the answer within twenty.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._lock = threading.Lock()
        with reaching(self._servers):
            self._reader, self._admin = self._opened()

    def begin(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record kept, for each partition."""
        return self._ask(lambda: _ours(self._reader.beginning_offsets(self._partitions_of(topics), ANSWER_SECONDS * 1000)))

    def end(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset that the next record gets, for each partition."""
        return self._ask(lambda: _ours(self._reader.end_offsets(self._partitions_of(topics), ANSWER_SECONDS * 1000)))

    def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed; partitions without a commit are left out."""
        offsets: Mapping[Any, Any] = self._ask(lambda: self._admin.list_group_offsets({group: self._partitions_of(topics)})[group])
        return _ours({partition: each.offset for partition, each in offsets.items() if each.offset >= 0})

    def check_topics(self, topics: Collection[str]) -> None:
        """Refuse topics that are not there.

        Raises:
            UnknownTopic: names the first of them, and how topics are made.
        """
        self._ask(lambda: self._partitions_of(topics))

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._admin.close()

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask until there is an answer, as long as patience lasts."""
        with self._lock, reaching(self._servers):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    return question()
                except (*STALE_PLACES, *BROKER_CHANGES) as error:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(PAUSE_SECONDS)
                    if isinstance(error, STALE_PLACES):
                        self._reopen()

    def _reopen(self) -> None:
        """Ask by fresh clients from now on, if brokers answer at all."""
        try:
            fresh = self._opened()
        except STALE_PLACES:
            return
        self.close()
        self._reader, self._admin = fresh

    def _opened(self) -> tuple[Any, Any]:
        at: dict[str, Any] = {"bootstrap_servers": self._servers, "bootstrap_timeout_ms": BOOTSTRAP_SECONDS * 1000}
        reader = KafkaConsumer(
            **at,
            client_id="runherald-offsets",
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        try:
            return reader, KafkaAdminClient(**at, client_id="runherald-admin")
        except BaseException:
            reader.close()
            raise

    def _partitions_of(self, topics: Collection[str]) -> list[Any]:
        partitions = []
        for topic in topics:
            numbers = self._reader.partitions_for_topic(topic)
            if not numbers:
                raise UnknownTopic(f"topic {topic!r}: not in this Kafka; make the topics: runherald topics create")
            partitions += [KafkaPartition(topic, number) for number in sorted(numbers)]
        return partitions


@contextmanager
def reaching(servers: Sequence[str]) -> Iterator[None]:
    """Say that Kafka cannot be reached, and where, instead of the client's errors about it."""
    try:
        yield
    except STALE_MEMBER:
        raise
    except UnknownTopicOrPartitionError as error:
        raise UnknownTopic(f"Kafka has not all the topics ({error}); make them: runherald topics") from error
    except KafkaError as error:
        where = ",".join(servers)
        raise Unreachable(f"log: Kafka at {where} does not answer ({error}); is it running, and is the address right?") from error


def _ours(offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(at.topic, at.partition): offset for at, offset in offsets.items()}
