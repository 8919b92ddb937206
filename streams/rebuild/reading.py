"""The records that a replay reads: those that the log holds, and events that `run_events` holds where the log no longer does."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Raw

from runherald.clock import EPOCH
from runherald.errors import Unreachable
from runherald.events import Event, Unknown
from runherald.records import Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.select import select
from runherald.streams.errors import LogMoved, ProcessorsRun
from runherald.streams.log import Log, group_of
from runherald.streams.rebuild.plan import Part
from runherald.wire import to_outgoing

POLL_RECORDS = 2_000
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
"""How long the log may give nothing: a member of a group that was killed holds its partitions on Kafka for 15 seconds."""
CHUNK = 20_000
"""Offsets of stored events read at once."""

_EVENTS = """
SELECT _offset, event_id, type, data_version, workspace, run_id, producer, sequence, time, recorded_time, payload
FROM run_events PREWHERE _partition = {partition:UInt32} AND _offset >= {first:UInt64} AND _offset < {until:UInt64}
WHERE _topic = {topic:String} ORDER BY _offset LIMIT 1 BY _offset
"""


def log_records(log: Log, name: str, parts: Sequence[Part]) -> Iterator[Sequence[Record]]:
    """Yield what the log holds of the parts, in batches, each partition in order; nothing is committed.

    Raises:
        LogMoved: the log dropped some of it meanwhile.
        ProcessorsRun: another rebuild reads the same.
        Unreachable: the log gives nothing for two minutes.
    """
    wanted = {part.at: part for part in parts if part.from_log}
    if not wanted:
        return
    following = {at: part.log_from for at, part in wanted.items()}
    members = _Members()
    consumer = log.consumer(
        group_of(f"rebuild.{name}"), sorted({at.topic for at in wanted}), on_assigned=members.assigned, on_revoked=members.revoked
    )
    try:
        heard = time.monotonic()
        while any(following[at] < part.until for at, part in wanted.items()):
            polled = consumer.poll(POLL_RECORDS, POLL_SECONDS)
            members.check(name)
            records = [record for record in polled if _is_wanted(record, following, wanted)]
            if _jumps(records, following):
                _check_kept(log, following, wanted)
            following.update({record.topic_partition: record.offset + 1 for record in records})
            if records:
                heard = time.monotonic()
                yield records
            elif time.monotonic() - heard > PATIENCE_SECONDS:
                raise Unreachable(f"log: nothing was read of {', '.join(sorted({at.topic for at in wanted}))} for {PATIENCE_SECONDS:.0f} s")
            else:
                _check_kept(log, following, wanted)
    finally:
        members.left = True
        consumer.close()


def stored_events(history: HistoryDatabase, part: Part) -> Iterator[Sequence[Record]]:
    """Yield the events that `run_events` holds of a part below `log_from`, as records, in order."""
    for first in range(0, part.log_from, CHUNK):
        where = {"topic": part.topic, "partition": part.partition, "first": first, "until": min(part.log_from, first + CHUNK)}
        records = [_record(part.topic, part.partition, *row) for row in select(history, _EVENTS, where)]
        if records:
            yield records


class _Members:
    """Notices when another member of the group takes partitions away."""

    def __init__(self) -> None:
        self.left = False
        self._lost = False

    def assigned(self, _partitions: Collection[TopicPartition]) -> None:
        """Take note of nothing: which partitions these are shows in the records."""

    def revoked(self, _partitions: Collection[TopicPartition]) -> None:
        """Take note that somebody else reads on."""
        self._lost = not self.left

    def check(self, name: str) -> None:
        """Raise `ProcessorsRun` when partitions were taken away."""
        if self._lost:
            raise ProcessorsRun(f"{name}: another rebuild has begun to read; run one at a time")


def _is_wanted(record: Record, following: Mapping[TopicPartition, int], wanted: Mapping[TopicPartition, Part]) -> bool:
    part = wanted.get(record.topic_partition)
    return part is not None and following[part.at] <= record.offset < part.until


def _jumps(records: Sequence[Record], following: Mapping[TopicPartition, int]) -> bool:
    """Say whether a partition does not go on where it was: the log dropped records, or Kafka holds marks of its own there."""
    firsts: dict[TopicPartition, int] = {}
    for record in records:
        firsts.setdefault(record.topic_partition, record.offset)
    return any(offset > following[at] for at, offset in firsts.items())


def _check_kept(log: Log, following: Mapping[TopicPartition, int], wanted: Mapping[TopicPartition, Part]) -> None:
    begins = log.begin_offsets({at.topic for at in wanted})
    for at, part in wanted.items():
        if following[at] < part.until and begins[at] > following[at]:
            raise LogMoved(
                f"{at.topic}/{at.partition}: the log dropped offsets {following[at]} to {begins[at] - 1} while it was read; run again"
            )


def _record(
    topic: str,
    partition: int,
    offset: int,
    event_id: str,
    kind: str,
    version: int,
    workspace: str,
    run_id: str,
    producer: str,
    sequence: int,
    time: datetime,
    recorded: datetime,
    payload: str,
) -> Record:
    event = Event(
        id=event_id,
        type=kind,
        version=version,
        workspace=workspace,
        run_id=run_id,
        producer=producer,
        sequence=sequence,
        time=time,
        recorded_time=None if recorded == EPOCH else recorded,
        data=Unknown(Raw(payload.encode())),
    )
    outgoing = to_outgoing(event, topic)
    return Record(topic, partition, offset, 0, outgoing.key, outgoing.value, outgoing.headers)
