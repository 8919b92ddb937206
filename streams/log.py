"""The log: topics of partitions of records, with a committed offset for each consumer group.

Two implementations stand behind one contract (`tests/contract/test_log.py`): the embedded log, one SQLite file, and Kafka. Both are
synchronous and may be used from any thread; a consumer belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from runherald.errors import SettingsError
from runherald.records import Outgoing, Position, Record, TopicPartition
from runherald.streams.errors import RecordTooLarge

OnPartitions = Callable[[Collection[TopicPartition]], None]
"""Told of partitions that a consumer gets or loses, within `poll`, in the thread that polls."""

KAFKA_SCHEME = "kafka://"


class Consumer(Protocol):
    """A member of a consumer group, reading from what the group has committed, or from the beginning."""

    def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Return the next records, those of a partition in order; none if there are none within `timeout` seconds.

        The callbacks for partitions that changed hands are called first: the records returned are of partitions assigned at that moment.
        """
        ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offset to read, for each partition.

        Raises:
            CommitRefused: the group has rebalanced; the records are delivered again.
        """
        ...

    def close(self) -> None:
        """Leave the group, committing nothing."""
        ...


class Log(Protocol):
    """Topics of partitions of records."""

    def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append records and return where each stands. When it returns, they survive the death of every process.

        Raises:
            RecordTooLarge: a record is above its topic's bound; none was appended.
            UnknownTopic: there is no such topic; none was appended.
            LogFull: the disk is full; none was appended.
            Unreachable: Kafka did not acknowledge in time; some may have been appended.
        """
        ...

    def begin_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record kept, for each partition."""
        ...

    def end_offsets(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the offset that the next record gets, for each partition."""
        ...

    def times(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
        """Return when the first record kept at each offset or above it was appended; partitions without one are left out.

        Reads a record of each partition and blocks for it: not for where time counts.
        """
        ...

    def committed(self, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return what the group has committed; partitions without a commit are left out."""
        ...

    def consumer(self, group: str, topics: Collection[str], *, on_assigned: OnPartitions, on_revoked: OnPartitions) -> Consumer:
        """Return a new member of the group.

        Raises:
            GroupTaken: the embedded log has one consumer for each group.
        """
        ...

    def close(self) -> None:
        """Close the log; what waits in `poll` raises LogClosed."""
        ...


def group_of(processor: str) -> str:
    """Return the consumer group of a processor: each has its own, so that none waits for another."""
    return f"runherald.{processor}"


def open_log(url: str, *, folder: Path | None = None) -> Log:
    """Open the log of a URL: `embedded`, kept in `folder`, or `kafka://host:port,host:port`.

    Raises:
        SettingsError: the URL is neither.
        FolderHeld: another server holds the folder.
        Unreachable: no broker answers.
    """
    # Imported here because a server on Kafka needs no SQLite, and an embedded one no Kafka client.
    if url == "embedded":
        from runherald.streams.embedded_log import EmbeddedLog

        if folder is None:
            raise SettingsError("log: embedded needs a data folder; set `data`")
        return EmbeddedLog(folder)
    from runherald.streams.kafka_log import KafkaLog

    return KafkaLog(bootstrap_servers(url))


def bootstrap_servers(url: str) -> list[str]:
    """Return the `host:port` of each broker of a `kafka://host:port,host:port` URL.

    Raises:
        SettingsError: it is no such URL.
    """
    servers = url.removeprefix(KAFKA_SCHEME).rstrip("/").split(",")
    if not url.startswith(KAFKA_SCHEME) or not all(_is_server(server) for server in servers):
        raise SettingsError("log: neither `embedded` nor of the form kafka://host:port,host:port")
    return servers


def check_size(record: Outgoing, bound: int) -> None:
    """Refuse a record whose key, value and headers are more than `bound` bytes.

    Raises:
        RecordTooLarge: names the topic, the size and the bound.
    """
    size = len(record.value) + len(record.key or b"") + sum(len(name) + len(value) for name, value in record.headers)
    if size > bound:
        raise RecordTooLarge(f"topic {record.topic!r}: a record of {size} bytes is above the bound of {bound}; send it in parts")


def _is_server(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and "@" not in host and "/" not in host and port.isdecimal() and 0 < int(port) < 65_536
