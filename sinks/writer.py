"""Writing rows into history once, however often they come.

Three layers, each for what the one above cannot see:

1. An insert carries a token made of its range of offsets: a repeat of the same insert (the reply was lost) is not stored again.
2. The offsets that are stored are kept in history itself (`ingest_batches`): a restarted worker skips what is at or below its watermark.
3. The tables' keys are made of what never changes: whatever comes twice nevertheless is one row when read with FINAL.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from runherald.clock import Clock, to_micros
from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import classify
from runherald.sinks.retry import Retry
from runherald.sinks.rows import BadRecord, Range, TableRows

logger = logging.getLogger(__name__)

TOKEN_VERSION = 1
"""Part of each token. To be raised when the same records become other rows, else the database takes the new rows for a repeat."""

_LEDGER = "ingest_batches"
_SETTINGS = {
    # Servers differ in their defaults, and some flipped them: say each.
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # One event may hold times of many months; the refusal would look like "too many parts" and be retried for ever.
    "max_partitions_per_insert_block": 0,
}


class TableWriter:
    """Writes the rows of one processor.

    Order of effects of `write`: for each range its tables in their order, then the watermarks. Where a record turned out bad, its
    partition's watermark is held back until `settle`, to be called once the dead letter is published; a crash before that brings the
    records again.
    """

    def __init__(self, db: HistoryDatabase, processor: str, clock: Clock, *, retry: Retry | None = None, writer: str = "") -> None:
        self._db = db
        self._processor = processor
        self._clock = clock
        self._retry = retry or Retry()
        self._writer = writer or socket.gethostname()
        self._types: dict[str, Mapping[str, ClickHouseType]] = {}
        self._held: list[Range] = []

    async def watermarks(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the highest stored offset of each partition, or -1."""
        stored = await self._retry.until_done("watermarks", self._read_watermarks)
        return {partition: stored.get(partition, -1) for partition in partitions}

    async def write(self, ranges: Sequence[Range]) -> list[BadRecord]:
        """Store the rows of some ranges of offsets and return the records that could not be stored.

        Raises:
            Exception: whatever the database raised that is neither retriable nor about a value.
        """
        await self.settle()
        bad: list[BadRecord] = []
        done: list[Range] = []
        for written in ranges:
            found = [record for rows in written.tables if len(rows) for record in await self._insert(written, rows)]
            if found:
                bad += found
                self._held.append(replace(written, dead=written.dead + len({record.offset for record in found})))
            else:
                done.append(written)
        await self._confirm(done)
        return bad

    async def settle(self) -> None:
        """Set the watermarks that were held back: the dead letters of the last `write` are published."""
        held, self._held = self._held, []
        await self._confirm(held)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of partitions: their records come again, here or elsewhere."""
        self._held = [held for held in self._held if held.partition not in partitions]

    async def _insert(self, written: Range, rows: TableRows) -> list[BadRecord]:
        """Insert the rows; where a value is the fault, the two halves, down to the record that has it."""
        try:
            await self._retry.until_done(rows.table, partial(self._insert_now, rows, self._token(written, rows)))
        except Exception as error:
            if classify(error) != "data":
                raise
            if rows.first != rows.last:
                return [record for half in rows.halves() for record in await self._insert(written, half)]
            code = getattr(error, "code", None)
            fault = type(error).__name__ if code is None else f"ClickHouse error {code}"
            logger.warning("record refused table=%s partition=%s offset=%d fault=%s", rows.table, written.partition, rows.first, fault)
            return [BadRecord(written.partition, rows.first, f"table {rows.table} does not take a value of this event ({fault})")]
        return []

    def _insert_now(self, rows: TableRows, token: str) -> None:
        client = self._db.client()
        types = self._column_types(client, rows.table)
        client.insert(
            rows.table,
            cast("list[Sequence[Any]]", list(rows.columns.values())),  # arrays are taken as well
            column_names=list(rows.columns),
            column_types=[types[name] for name in rows.columns],
            column_oriented=True,
            settings={**_SETTINGS, "insert_deduplication_token": token},
        )

    def _token(self, written: Range, rows: TableRows) -> str:
        topic, number = written.partition.topic, written.partition.partition
        whole = f"{TOKEN_VERSION}:{self._processor}:{rows.table}:{topic}:{number}:{written.first}-{written.last}"
        complete = next(table for table in written.tables if table.table == rows.table)
        # A part says which part of what: the same offsets in a smaller range may have become other rows.
        return whole if len(rows) == len(complete) else f"{whole}/{rows.first}-{rows.last}"

    def _column_types(self, client: Client, table: str) -> Mapping[str, ClickHouseType]:
        known = self._types.get(table)
        if known is None:
            described = client.query("DESCRIBE TABLE {table:Identifier}", {"table": table}).result_rows
            known = self._types[table] = {row[0]: get_from_name(row[1]) for row in described}
        return known

    async def _confirm(self, ranges: Sequence[Range]) -> None:
        if ranges:
            now = to_micros(self._clock())
            await self._retry.until_done(_LEDGER, partial(self._confirm_now, ranges, now))

    def _confirm_now(self, ranges: Sequence[Range], now: int) -> None:
        self._db.client().insert(
            _LEDGER,
            list(self._ledger_rows(ranges, now)),
            column_names=["processor", "topic", "partition", "first", "last", "rows", "dead", "writer", "written_time"],
            settings={**_SETTINGS, "insert_deduplication_token": f"{TOKEN_VERSION}:{self._processor}:{_LEDGER}:{_spans(ranges)}"},
        )

    def _ledger_rows(self, ranges: Sequence[Range], now: int) -> Iterator[tuple[object, ...]]:
        for done in ranges:
            count = sum(len(rows) for rows in done.tables)
            topic, number = done.partition.topic, done.partition.partition
            yield (self._processor, topic, number, done.first, done.last, count, done.dead, self._writer, now)

    def _read_watermarks(self) -> dict[TopicPartition, int]:
        rows = self._db.client().query(
            "SELECT topic, partition, max(last) FROM ingest_watermarks WHERE processor = {processor:String} GROUP BY topic, partition",
            {"processor": self._processor},
        )
        return {TopicPartition(topic, number): last for topic, number, last in rows.result_rows}


def _spans(ranges: Sequence[Range]) -> str:
    return ",".join(f"{done.partition.topic}:{done.partition.partition}:{done.first}-{done.last}" for done in ranges)
