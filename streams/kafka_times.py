"""When records on Kafka were appended: one record of each partition is read, by a connection of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from runherald.clock import from_micros
from runherald.records import TopicPartition
from runherald.streams.kafka_clients import KafkaConsumer, KafkaPartition
from runherald.streams.kafka_offsets import BOOTSTRAP_SECONDS, reaching

logger = logging.getLogger(__name__)

READ_SECONDS = 3
_FETCH_BYTES = 16 * 1024
"""Of a partition in one answer. A batch that is larger comes whole all the same, where it is the first of an answer."""


class KafkaTimes:
    """Reads times. Thread-safe: one question at a time, and nobody who asks for offsets waits behind it.

    Kafka finds offsets by time and not times by offset, so a record is read. The connection is made with the first question.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._lock = threading.Lock()
        self._reader: Any = None

    def read(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
        """Return when the first record at each offset or above was appended; what did not come within three seconds is left out.

        Raises:
            Unreachable: no broker answers.
        """
        waiting = {KafkaPartition(at.topic, at.partition): offset for at, offset in positions.items()}
        times: dict[TopicPartition, datetime] = {}
        if not waiting:
            return times
        with self._lock, reaching(self._servers):
            reader = self._opened()
            # Anew each time: of the same partitions it would keep those that were paused.
            reader.unsubscribe()
            reader.assign(list(waiting))
            for partition, offset in waiting.items():
                reader.seek(partition, offset)
            deadline = time.monotonic() + READ_SECONDS
            while waiting:
                left = deadline - time.monotonic()
                if left <= 0:
                    where = ", ".join(f"{partition.topic}/{partition.partition}" for partition in sorted(waiting))
                    logger.warning("no record came, so its age is not known partitions=%s seconds=%d", where, READ_SECONDS)
                    # A connection that gives nothing may be what is wrong: the next question gets a fresh one.
                    reader.close()
                    self._reader = None
                    break
                for partition, records in reader.poll(timeout_ms=int(left * 1000)).items():
                    if waiting.pop(partition, None) is not None and records:
                        times[TopicPartition(partition.topic, partition.partition)] = from_micros(records[0].timestamp * 1000)
                        # The rest of an answer is for those that still wait.
                        reader.pause(partition)
        return times

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _opened(self) -> Any:
        if self._reader is None:
            self._reader = KafkaConsumer(
                bootstrap_servers=self._servers,
                bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000,
                client_id="runherald-times",
                group_id=None,
                enable_auto_commit=False,
                # Retention may pass an offset between the question and the reading.
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=_FETCH_BYTES,
                metrics_enabled=False,
            )
        return self._reader
