"""Writing rows into history once, however often they come.

A flush is one insert for each table, with the rows of all partitions, and one for the watermarks. Three layers keep what comes again from
being there twice, each for what the one above cannot see:

1. An insert carries a token that lists the ranges of offsets it covers, and how many rows each of them brings: a repeat of the same
   insert (the reply was lost) is not stored again.
2. The offsets that are stored are kept in history itself (`ingest_batches`): a restarted worker skips what is at or below its watermark.
3. The tables' keys are made of what never changes: whatever comes twice nevertheless is one row when read with FINAL.

Why that holds past a crash. The watermarks are set last, in one insert: once one is set, every table has all rows up to it. A crash before
leaves whole inserts, or a part of one, above the watermarks, and their records come again. Where they come in the same ranges, to the
same worker, layer 1 takes them for what they are. Mostly they do not: the batches are cut elsewhere, or the partitions now belong to
several workers. The tokens then differ and the rows are stored once more, which is safe because a row is made of its record and what
came before it, wherever the batch was cut: it has the same key and the same values, and layer 3 makes one of the two. A table whose row
does depend on the cut (the state of a run after the last event of a batch) has a version that grows with the offset, so that FINAL has
the latest. The other way round, a token never hides a row that is missing: rows that come again under a token that is known are as many,
from the same records, as those that were stored under it.

The embedded engine may say that an insert went well whose files a full disk has left empty. So there the parts are looked at before the
watermarks are set, and after, and where any was damaged since the inserts began, they are done again. Layer 1 knows the tokens of before,
and not that their rows are gone: so a token there names the opening of the engine, and how often parts were set aside since.

What a materialised view makes of an insert is not stored in one step with it. So whatever comes again of rows that feed a view is to be
inserted again, although it is there: layer 1 hides a repeat from the table alone, and the view's table takes it if it lacks it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, cast

from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from runherald.clock import Clock, to_micros
from runherald.records import TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.damaged_parts import damages, heal_tables
from runherald.sinks.errors import classify
from runherald.sinks.retry import Retry
from runherald.sinks.rows import BadRecord, Column, Range
from runherald.sinks.shares import Share, by_table, halves, joined

logger = logging.getLogger(__name__)

TOKEN_VERSION = 1
"""Part of each token. To be raised when the same records become other rows, else the database takes the new rows for a repeat."""

_LEDGER = "ingest_batches"
_LONGEST_SPANS = 4_096
"""Characters: settings travel in the address of a request, and a worker may have hundreds of partitions."""
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

    Order of effects of `write`: the tables in their order, each for all ranges, then the watermarks. Where a record turned out bad, its
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
        bad = await self._store(list(by_table(ranges)))
        dead = [len({record.offset for record in bad if record in written}) for written in ranges]
        self._held += [replace(written, dead=written.dead + count) for written, count in zip(ranges, dead, strict=True) if count]
        await self._confirm([written for written, count in zip(ranges, dead, strict=True) if not count])
        return bad

    async def settle(self) -> None:
        """Set the watermarks that were held back: the dead letters of the last `write` are published."""
        held, self._held = self._held, []
        await self._confirm(held)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of partitions: their records come again, here or elsewhere."""
        self._held = [held for held in self._held if held.partition not in partitions]

    async def _store(self, tables: Sequence[Sequence[Share]]) -> list[BadRecord]:
        """Insert rows of tables, and return the records that could not be stored."""
        bad: list[BadRecord] = []

        async def insert() -> None:
            bad[:] = [record for shares in tables for record in await self._insert(shares)]

        await self._until_there(insert)
        return bad

    async def _until_there(self, insert: Callable[[], Awaitable[None]]) -> None:
        """Insert; into the embedded engine until it is there."""
        while True:
            before = damages(self._db)
            await insert()
            if not self._db.embedded:
                return
            await self._retry.until_done("parts", partial(heal_tables, self._db, new_alone=True))
            if damages(self._db) == before:
                return

    async def _insert(self, shares: Sequence[Share]) -> list[BadRecord]:
        """Insert rows of one table; where a value is the fault, the two halves, down to the record that has it."""
        table = shares[0].rows.table
        try:
            await self._retry.until_done(table, partial(self._insert_now, shares))
        except Exception as error:
            if classify(error) != "data":
                raise
            halved = halves(shares)
            if halved is not None:
                return [record for half in halved for record in await self._insert(half)]
            partition, offset = shares[0].written.partition, shares[0].rows.first
            code = getattr(error, "code", None)
            fault = type(error).__name__ if code is None else f"ClickHouse error {code}"
            logger.warning("record refused table=%s partition=%s offset=%d fault=%s", table, partition, offset, fault)
            return [BadRecord(partition, offset, f"table {table} does not take a value of this event ({fault})")]
        return []

    def _insert_now(self, shares: Sequence[Share]) -> None:
        self._insert_columns(shares[0].rows.table, joined([share.rows for share in shares]), [share.span for share in shares])

    def _insert_columns(self, table: str, columns: Mapping[str, Column], spans: Sequence[str]) -> None:
        client = self._db.client()
        types = self._column_types(client, table)
        client.insert(
            table,
            cast("list[Sequence[Any]]", list(columns.values())),  # arrays are taken as well
            column_names=list(columns),
            column_types=[types[name] for name in columns],  # else each insert begins with a query for them
            column_oriented=True,
            settings={**_SETTINGS, "insert_deduplication_token": self._token(table, spans)},
        )

    def _token(self, table: str, spans: Sequence[str]) -> str:
        covered = ",".join(spans)
        if len(covered) > _LONGEST_SPANS:
            covered = sha256(covered.encode()).hexdigest()
        token = f"{TOKEN_VERSION}:{self._processor}:{table}:{covered}"
        engine = self._db.engine
        return token if engine is None else f"{token}:{engine.parts.opened}:{damages(self._db)}"

    def _column_types(self, client: Client, table: str) -> Mapping[str, ClickHouseType]:
        known = self._types.get(table)
        if known is None:
            described = client.query("DESCRIBE TABLE {table:Identifier}", {"table": table}).result_rows
            known = self._types[table] = {row[0]: get_from_name(row[1]) for row in described}
        return known

    async def _confirm(self, ranges: Sequence[Range]) -> None:
        if ranges:
            now = to_micros(self._clock())
            await self._until_there(partial(self._retry.until_done, _LEDGER, partial(self._confirm_now, ranges, now)))

    def _confirm_now(self, ranges: Sequence[Range], now: int) -> None:
        rows: dict[str, Column] = {
            "processor": [self._processor] * len(ranges),
            "topic": [done.partition.topic for done in ranges],
            "partition": [done.partition.partition for done in ranges],
            "first": [done.first for done in ranges],
            "last": [done.last for done in ranges],
            "rows": [sum(len(rows) for rows in done.tables) for done in ranges],
            "dead": [done.dead for done in ranges],
            "writer": [self._writer] * len(ranges),
            "written_time": [now] * len(ranges),
        }
        self._insert_columns(_LEDGER, rows, [done.span for done in ranges])

    def _read_watermarks(self) -> dict[TopicPartition, int]:
        rows = self._db.client().query(
            "SELECT topic, partition, max(last) FROM ingest_watermarks WHERE processor = {processor:String} GROUP BY topic, partition",
            {"processor": self._processor},
        )
        return {TopicPartition(topic, number): last for topic, number, last in rows.result_rows}
