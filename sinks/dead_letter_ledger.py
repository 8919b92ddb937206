"""What became of a processor's last records, from history."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.retry import Retry

_WENT_ON = (
    "SELECT toUnixTimestamp64Micro(time), allow FROM dead_letter_stops FINAL"
    " WHERE processor = {processor:String} AND kind = 'went_on' ORDER BY time DESC LIMIT 1"
)
_RANGES = (
    "SELECT toUInt64(last - first + 1), dead FROM ingest_batches FINAL"
    " WHERE processor = {processor:String} AND (topic, partition) IN arrayZip({topics:Array(String)}, {partitions:Array(UInt32)})"
    " AND toUnixTimestamp64Micro(written_time) > {after:Int64} ORDER BY written_time DESC, last DESC LIMIT {window:UInt64}"
)
_DEAD = (
    "SELECT sum(dead) FROM ingest_batches FINAL"
    " WHERE processor = {processor:String} AND toUnixTimestamp64Micro(written_time) > {after:Int64}"
)


class LastRanges(NamedTuple):
    """Ranges of records, newest first, as pairs of records and dead letters; and the dead letters still to be let through."""

    ranges: list[tuple[int, int]]
    allowed: int


class DeadLetterLedger:
    """Reads what one processor wrote of its ranges of offsets since it was last let go on."""

    def __init__(self, db: HistoryDatabase, processor: str, retry: Retry | None = None) -> None:
        self._db = db
        self._processor = processor
        self._retry = retry or Retry()

    async def last(self, partitions: Collection[TopicPartition], window: int) -> LastRanges:
        """Return the last ranges of some partitions: as many as hold `window` records, if there are so many."""
        return await self._retry.until_done("dead letters before", partial(self._read, partitions, window))

    def _read(self, partitions: Collection[TopicPartition], window: int) -> LastRanges:
        client = self._db.client()
        after, allow = next(iter(client.query(_WENT_ON, {"processor": self._processor}).result_rows), (0, 0))
        parameters = {
            "processor": self._processor,
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
            "after": after,
            "window": window,
        }
        ranges: list[tuple[int, int]] = []
        left = window
        for records, dead in client.query(_RANGES, parameters).result_rows:
            if left <= 0:
                break
            ranges.append((records, dead))
            left -= records
        if allow:
            allow = max(0, allow - client.query(_DEAD, {"processor": self._processor, "after": after}).result_rows[0][0])
        return LastRanges(ranges, allow)
